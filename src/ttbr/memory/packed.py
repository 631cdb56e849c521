"""Memory whose bytes lie packed in a file: unpacked block by block, when somebody asks for them."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.banked import gather_words
from ttbr.memory.extents import Extents
from ttbr.memory.physical import Bank
from ttbr.memory.words import Words

CACHE = 128 << 20  # bytes of unpacked blocks that are kept


class Blocks(Protocol):
    """The packed blocks of a file, by number; each holds a run of physical memory."""

    @property
    def largest(self) -> int:
        """Bytes in the largest block."""

    def find(
        self, pa: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Where addresses lie: the number of the block, its first address and its size.

        The number is -1 for addresses that are zeros without a block; start and size are those of
        a run of such zeros then, which may be any that holds the address.
        """

    def between(self, start: int, end: int) -> Iterable[tuple[int, int]]:
        """Number and first address of every block with bytes in start…end-1, ascending."""

    def unpack(self, number: int) -> NDArray[np.uint8]:
        """The bytes of a block, as many as its size says; `InputError` if it is damaged."""

    def written(self) -> list[Bank]:
        """Runs, ascending, outside of which there are only zeros."""


class PackedMemory:
    """Read-only memory over packed blocks; implements `ttbr.memory.physical.PhysicalMemory`.

    A block is unpacked when it is read; `CACHE` bytes of those used last are kept. ``banks`` may
    be larger than the blocks: what no block holds is zeros. All reads raise `InputError` where the
    file is damaged.
    """

    def __init__(self, banks: Iterable[Bank], blocks: Blocks) -> None:
        self._extents = Extents(banks)
        self._blocks = blocks
        self._unpack = lru_cache(max(1, CACHE // blocks.largest))(blocks.unpack)

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The memory there is, ascending."""
        return self._extents.banks

    def contains(self, pa: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the addresses are in a bank."""
        return self._extents.covers(pa, 1)

    def written(self) -> list[Bank]:
        """The runs that the file has blocks for, ascending."""
        return self._blocks.written()

    def read(self, pa: int, size: int) -> bytes:
        """The ``size`` bytes from ``pa`` on; `OutsideMemory` if one of them is in no bank."""
        self._extents.check(pa, size)
        data = bytearray(size)
        view = memoryview(data)
        for number, base in self._blocks.between(pa, pa + size):
            block = self._unpack(number)
            start, end = max(base, pa), min(base + len(block), pa + size)
            view[start - pa : end - pa] = block[start - base : end - base].data
        return bytes(data)

    def in_place(self, pa: NDArray[np.uint64], count: int, word: int) -> Words | None:
        """None: the tables lie packed in the file."""
        return None

    def read_words(
        self, pa: NDArray[np.uint64], count: int, word: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Gather ``count`` words of ``word`` bytes from each address: (n, count), present (n,).

        Each block is unpacked once, however many rows are in it.
        """
        size = count * word
        present = self._extents.covers(pa, size)
        words = np.zeros((len(pa), count), np.uint64)
        inside = np.flatnonzero(present)
        numbers, starts, sizes = self._blocks.find(pa[inside])
        offsets = pa[inside] - starts
        whole = offsets + np.uint64(size) <= sizes
        packed = np.flatnonzero(whole & (numbers >= 0))
        packed = packed[np.argsort(numbers[packed], kind="stable")]
        cuts = np.flatnonzero(np.diff(numbers[packed])) + 1
        for rows in np.split(packed, cuts) if len(packed) else ():
            block = self._unpack(int(numbers[rows[0]]))
            places = offsets[rows].astype(np.int64)
            words[inside[rows]] = gather_words(block, places, count, word)
        for row in inside[~whole].tolist():  # they run from one block into the next
            words[row] = np.frombuffer(self.read(int(pa[row]), size), f"<u{word}")
        return words, present
