"""Memory by virtual address: what an address space maps, read like memory itself.

The whole space is walked once; after that every read is a look-up in a few sorted arrays.
"""

from bisect import bisect_right
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import TtbrError
from ttbr.memory.physical import OutsideMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.mappings import Mappings

ADDRESSES = 1 << 64


class NotMapped(TtbrError):
    """A read of virtual addresses that are not mapped to memory; ``address`` is the first one."""

    def __init__(self, address: int, why: str = "is not mapped") -> None:
        super().__init__(f"virtual address {address:#x} {why}")
        self.address = address


class VirtualMemory:
    """Reads through the tables of one address space.

    ``word``: bytes of a pointer, 4 or 8. Words are little-endian.
    """

    def __init__(self, space: AddressSpace, word: int) -> None:
        self.space = space
        self.word = word

    @cached_property
    def mappings(self) -> Mappings:
        """Everything that the space maps."""
        return self.space.mappings()

    @cached_property
    def extents(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Ranges that follow each other in VA and PA: first VA, last VA (inclusive), first PA."""
        runs = self.mappings.runs
        head = np.ones(len(runs), np.bool_)
        head[1:] = runs.va[1:] != runs.last[:-1] + np.uint64(1)
        head[1:] |= runs.pa[1:] != runs.pa[:-1] + runs.bytes[:-1]
        first = np.flatnonzero(head)
        final = np.append(first[1:], len(runs)) - 1 if len(first) else first
        return runs.va[first], runs.last[final], runs.pa[first]

    @cached_property
    def _starts(self) -> list[int]:
        return [int(va) for va in self.extents[0]]

    def locate(self, vas: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """For each address: its physical address, and how many bytes follow it in one piece.

        Zero bytes: it is not mapped, and the physical address is 0. The addresses can be in any
        order.
        """
        first, last, pa = self.extents
        found, left = np.zeros(len(vas), np.uint64), np.zeros(len(vas), np.uint64)
        if not len(first):
            return found, left
        row = np.searchsorted(first, vas, side="right") - 1
        inside = row >= 0
        inside[inside] = vas[inside] <= last[row[inside]]
        at, row = vas[inside], row[inside]
        found[inside] = pa[row] + (at - first[row])
        left[inside] = last[row] - at + np.uint64(1)
        return found, left

    def pa(self, va: int) -> int | None:
        """The physical address of ``va``, or None."""
        where = self._piece(va)
        return None if where is None else where[0]

    def _piece(self, va: int) -> tuple[int, int] | None:
        """(physical address, bytes that follow in one piece), or None."""
        row = bisect_right(self._starts, va) - 1
        if row < 0:
            return None
        first, last, pa = (int(column[row]) for column in self.extents)
        return (pa + va - first, last - va + 1) if va <= last else None

    def read(self, va: int, size: int) -> bytes:
        """The ``size`` bytes from ``va`` on; `NotMapped` if one of them is not there."""
        parts: list[bytes] = []
        at = va
        while at < va + size:
            piece = self._piece(at)
            if piece is None:
                raise NotMapped(at)
            step = min(piece[1], va + size - at)
            try:
                parts.append(self.space.memory.read(piece[0], step))
            except OutsideMemory as error:
                raise NotMapped(at, "is mapped to what is no memory") from error
            at += step
        return b"".join(parts)

    def try_read(self, va: int, size: int) -> bytes | None:
        """As `read`, but None where it fails."""
        try:
            return self.read(va, size)
        except NotMapped:
            return None

    def number(self, va: int, size: int = 0) -> int | None:
        """The unsigned number of ``size`` bytes (a pointer's without) at ``va``, or None."""
        data = self.try_read(va, size or self.word)
        return None if data is None else int.from_bytes(data, "little")

    def words(
        self, vas: NDArray[np.uint64], count: int, word: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """``count`` words of ``word`` (4 or 8) bytes from each address: (n, count), present (n,).

        Rows that are not wholly mapped to memory are zeros.
        """
        size = count * word
        pa, left = self.locate(vas)
        whole = left >= np.uint64(size)
        words = np.zeros((len(vas), count), np.uint64)
        present = np.zeros(len(vas), np.bool_)
        if whole.any():
            words[whole], present[whole] = self.space.memory.read_words(pa[whole], count, word)
        for row in np.flatnonzero(~whole & (left > 0)).tolist():  # those that cross into a piece
            data = self.try_read(int(vas[row]), size)
            if data is not None:
                words[row], present[row] = np.frombuffer(data, f"<u{word}"), True
        return words, present

    def records(
        self, vas: NDArray[np.uint64], size: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """``size`` bytes from each address, as rows (n, size); present (n,)."""
        out = np.zeros((len(vas), size), np.uint8)
        present = np.zeros(len(vas), np.bool_)
        if len(vas) and size % 4 == 0 and not (vas % np.uint64(4)).any():
            words, present = self.words(vas, size // 4, 4)
            return words.astype("<u4").view(np.uint8).reshape(len(vas), size), present
        for row, va in enumerate(vas.tolist()):
            data = self.try_read(va, size)
            if data is not None:
                out[row], present[row] = np.frombuffer(data, np.uint8), True
        return out, present

    def text(self, va: int, most: int = 4096) -> str | None:
        """The zero-terminated string at ``va``, at most ``most`` bytes of it; None if unmapped.

        Bytes that are not UTF-8 come out as surrogates (``surrogateescape``).
        """
        parts: list[bytes] = []
        left = most
        while left > 0:
            piece = self._piece(va)
            if piece is None:
                return None
            step = min(left, piece[1], 256)
            try:
                data = self.space.memory.read(piece[0], step)
            except OutsideMemory:
                return None
            end = data.find(b"\0")
            if end >= 0:
                parts.append(data[:end])
                break
            parts.append(data)
            va, left = va + step, left - step
        return b"".join(parts).decode("utf-8", "surrogateescape")
