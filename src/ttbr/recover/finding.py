"""What was found out about an image: a value, how sure it is, and from what evidence."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Confidence(StrEnum):
    """How sure a finding is.

    ``certain``: the kernel wrote it down, or nothing else explains what memory holds. ``likely``:
    a rule that Linux follows, with an exception that this image cannot exclude. ``guess``: one of
    several explanations, taken because it is the usual one.
    """

    CERTAIN = "certain"
    LIKELY = "likely"
    GUESS = "guess"


@dataclass(frozen=True, slots=True)
class Finding(Generic[T]):
    """A value, how sure it is, and a sentence that says why."""

    value: T
    confidence: Confidence
    evidence: str


def certain(value: T, evidence: str) -> Finding[T]:
    """A finding that nothing else explains."""
    return Finding(value, Confidence.CERTAIN, evidence)


def likely(value: T, evidence: str) -> Finding[T]:
    """A finding by a rule that has exceptions."""
    return Finding(value, Confidence.LIKELY, evidence)


def guess(value: T, evidence: str) -> Finding[T]:
    """The usual one of several explanations."""
    return Finding(value, Confidence.GUESS, evidence)
