"""The kernel's messages as templates, and what a boot has said of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ttbr.boot.boot import Boot


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the boot: its whole text, and what stood where the template has names."""

    text: str
    fields: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    def number(self, name: str) -> int:
        """A field as a number (0x… is hexadecimal)."""
        return int(self.fields[name], 0)

    @property
    def lines(self) -> tuple[str, ...]:
        """The text as lines of the log."""
        return tuple(self.text.split("\n"))


def said(boot: Boot, *templates: str) -> Iterator[Said]:
    """The messages of a boot that fit one of the templates, in order.

    A template is a message with names in braces, such as ``cma: Failed to reserve {size} MiB``.
    """
    for message in boot.events.messages:
        for template in templates:
            match = _pattern(template).fullmatch(message.text)
            if match:
                yield Said(message.text, match.groupdict())
                break


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    text = [
        f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    ]
    return re.compile("".join(text), re.S)
