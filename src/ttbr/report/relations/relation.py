"""What a relation is: its name, its typed and documented columns, and how an image makes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.report.relations.source import Source

TYPES = ("uint64", "int64", "int32", "int16", "int8", "bool", "string", "category")
"""Arrow's names; ``category`` is text, stored once for each distinct value. What is uint64 is an
address or a word of bits, and is written in hexadecimal where there is text."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``type`` is one of `TYPES`; ``meaning`` in a line, with the unit."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers of which only those are known for which ``known`` holds."""

    values: NDArray[Any]
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Coded:
    """Text by index: ``values`` are distinct; an index below 0 is nothing."""

    codes: NDArray[Any]
    values: Sequence[str]


Values = NDArray[Any] | Known | Coded | Sequence[str | None]
"""What a column is made of; None in text is what is not known."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that an image holds.

    ``shows``: the command that prints the same. ``make``: its columns by name, all of one length;
    None where the image does not hold them.
    """

    name: str
    meaning: str
    shows: str
    columns: tuple[Column, ...]
    make: Callable[[Source], Mapping[str, Values] | None]


def coded(indices: NDArray[Any], values: Sequence[str]) -> Coded:
    """Text by index where several of the ``values`` may be the same."""
    distinct = {value: at for at, value in enumerate(dict.fromkeys(values))}
    place = np.array([distinct[value] for value in values], np.int32)
    codes = place[indices] if len(place) else np.zeros(len(indices), np.int32)
    return Coded(np.where(indices < 0, np.int32(-1), codes), list(distinct))


def known_from_zero(values: NDArray[Any]) -> Known:
    """Numbers of which those below 0 are not known."""
    return Known(values, values >= 0)


def of_member(values: NDArray[Any], member: str, unknown: Sequence[str]) -> Known:
    """The numbers of a structure's member, which as a whole may be unknown."""
    return Known(values, np.full(len(values), member not in unknown))
