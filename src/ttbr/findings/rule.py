"""Rules: one function each, registered with its code, severity, the kernel's words and a text.

`check` has its rules over a boot; whoever has rules over something else (an image, say) makes a
`Rules` of its own. Reports take findings of any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import cleandoc
from typing import Generic, TypeVar

from ttbr.findings.finding import Found, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known of a rule beside its function.

    ``code`` never changes once it is released. ``title`` names the fault in a few words.
    ``text`` says what it means and how Linux comes to it, ``source`` where in Linux, ``remedy``
    what to do, ``example`` shows an input that it is found in. ``kernel`` are the kernel's own
    messages, with names in braces for what differs; none if the kernel is silent.
    """

    code: str
    severity: Severity
    title: str
    text: str
    source: str
    remedy: str
    example: str
    kernel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and the rule that found it."""

    rule: Rule
    found: Found

    @property
    def code(self) -> str:
        """The rule's code."""
        return self.rule.code

    @property
    def severity(self) -> Severity:
        """The rule's severity."""
        return self.rule.severity


Subject = TypeVar("Subject")


class Rules(Generic[Subject]):
    """The rules over one kind of subject, in the order of their registration."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Rule, Callable[[Subject], Iterable[Found]]]] = {}

    def rule(
        self,
        code: str,
        severity: Severity,
        title: str,
        *,
        source: str,
        remedy: str,
        example: str,
        kernel: tuple[str, ...] = (),
    ) -> Callable[[Callable[[Subject], Iterable[Found]]], Callable[[Subject], Iterable[Found]]]:
        """Register a function, whose documentation becomes `Rule.text`."""

        def register(
            find: Callable[[Subject], Iterable[Found]],
        ) -> Callable[[Subject], Iterable[Found]]:
            assert code not in self._entries, code
            text = cleandoc(find.__doc__ or "")
            made = Rule(code, severity, title, text, source, remedy, cleandoc(example), kernel)
            self._entries[code] = made, find
            return find

        return register

    def __iter__(self) -> Iterator[Rule]:
        return (rule for rule, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, code: str) -> Rule | None:
        """The rule of a code, or None."""
        entry = self._entries.get(code)
        return entry[0] if entry else None

    def findings(self, subject: Subject) -> list[Finding]:
        """What the rules find in a subject, the worst first."""
        found = [
            Finding(rule, one) for rule, find in self._entries.values() for one in find(subject)
        ]
        return sorted(found, key=lambda finding: -finding.severity)
