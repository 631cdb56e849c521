"""Data symbols that a kernel exports to modules, for kernels whose kallsyms has code alone.

``struct kernel_symbol`` (include/linux/export.h; since 5.4): the value, the name and the namespace,
as pointers, or on arm64 as 32-bit distances from where they stand themselves. The tables are sorted
by name (scripts/link-vmlinux.sh), which is what tells an entry from other words.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_LONGEST_NAME = 128


@dataclass(frozen=True)
class ExportedSymbols:
    """Looks symbols up in the bytes of a kernel's ``image``, which runs at ``start``.

    ``word``: bytes of a pointer; with 8 the entries hold distances.
    """

    image: bytes
    start: int
    word: int

    def get(self, name: str) -> int | None:
        """The run-time address of an exported symbol; None where it is not found for certain."""
        wanted = name.encode()
        found = {
            address
            for text in self._texts(wanted)
            for place in self._named(text)
            if self._is_sorted(place, wanted) and (address := self._pointed(place - 4)) is not None
        }
        return self.start + found.pop() if len(found) == 1 else None

    def _texts(self, name: bytes) -> list[int]:
        """Where the name ends a string: linkers let it be the end of a longer one."""
        places, at = [], self.image.find(name + b"\0")
        while at >= 0:
            places.append(at)
            at = self.image.find(name + b"\0", at + 1)
        return places

    def _named(self, text: int) -> list[int]:
        """Where in the image something points to that text."""
        places: list[int] = (4 * np.flatnonzero(self._targets == np.uint32(text))).tolist()
        return places

    @cached_property
    def _targets(self) -> NDArray[np.uint32]:
        """The offset that each word would lead to, modulo 2^32, if it were part of an entry."""
        words = np.frombuffer(self.image[: len(self.image) // 4 * 4], "<u4")
        if self.word == 4:
            return words - np.uint32(self.start)
        return words + np.arange(0, 4 * len(words), 4, dtype=np.uint32)

    def _pointed(self, place: int) -> int | None:
        """The offset in the image that the pointer or distance at a place leads to, or None."""
        if not 0 <= place <= len(self.image) - 4:
            return None
        value = int.from_bytes(self.image[place : place + 4], "little", signed=self.word == 8)
        target = value - self.start if self.word == 4 else place + value
        return target if 0 <= target < len(self.image) else None

    def _is_sorted(self, place: int, name: bytes) -> bool:
        """Whether the names of the entries before and behind are names, on their sides of it."""
        before, behind = (self._text(place + step) for step in (-12, 12))
        return before is not None and behind is not None and before < name < behind

    def _text(self, place: int) -> bytes | None:
        at = self._pointed(place)
        if at is None:
            return None
        text = self.image[at : at + _LONGEST_NAME].partition(b"\0")[0]
        return text if text.isascii() and text.replace(b".", b"_").decode().isidentifier() else None
