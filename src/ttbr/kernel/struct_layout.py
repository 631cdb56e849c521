"""Sizes of C structures, computed from tables of their fields by a kernel's configuration.

The boot allocator hands out memory by ``sizeof``, so the model has to know it. The tables are in
`ttbr.kernel.structs`; this is the arithmetic of the procedure call standards of AArch64 and
AArch32, which lay fields out in order, each at a multiple of its own alignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ttbr.kernel.config import Config

CACHELINE = "cacheline"
"""The type of a field without a size that begins a new cache line (CACHELINE_PADDING)."""
TWO_WORDS = "two words"
"""The type of a field without a size that aligns its structure to two words."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type, how many of it, and the options that it depends on.

    ``type`` is a primitive or a structure of the same table. ``count`` is a number, or the name of
    one of the counts that come with the table. ``when``: ``A`` or ``!A`` for an option that must be
    on or off, several with ``&`` (all of them) or ``|`` (one of them); empty: always there.
    """

    type: str
    count: int | str = 1
    when: str = ""


Struct = tuple[Field, ...]


@dataclass(frozen=True)
class Sizes:
    """What the sizes of one kernel's structures depend on.

    Args:
        structs: the tables, by structure.
        config: the kernel's configuration.
        word: bytes of a pointer and of ``unsigned long``.
        phys: bytes of ``phys_addr_t``.
        cacheline: bytes of a cache line (SMP_CACHE_BYTES).
        counts: lengths of arrays that depend on the configuration, by name.
    """

    structs: Mapping[str, Struct]
    config: Config
    word: int
    phys: int
    cacheline: int
    counts: Mapping[str, int]

    def of(self, name: str) -> int:
        """``sizeof`` of a structure or primitive, in bytes; KeyError for unknown names."""
        return self._measure(name)[0]

    def _measure(self, name: str) -> tuple[int, int]:
        """(size, alignment)."""
        primitives = {"ptr": self.word, "long": self.word, "phys": self.phys}
        primitives |= {"u64": 8, "int": 4, "short": 2, "u8": 1}
        if name == CACHELINE:
            return 0, self.cacheline
        if name == TWO_WORDS:
            return 0, 2 * self.word
        if name in primitives:
            return primitives[name], primitives[name]
        size, align = 0, 1
        for field in self.structs[name]:
            if not self._there(field.when):
                continue
            each, boundary = self._measure(field.type)
            count = field.count if isinstance(field.count, int) else self.counts[field.count]
            size = _up(size, boundary) + each * count
            align = max(align, boundary)
        return _up(size, align), align

    def _there(self, when: str) -> bool:
        if "|" in when:
            return any(self._there(part) for part in when.split("|"))
        return all(
            self.config.enabled(part.removeprefix("!")) != part.startswith("!")
            for part in when.split("&")
            if part
        )


def _up(value: int, align: int) -> int:
    return -(-value // align) * align
