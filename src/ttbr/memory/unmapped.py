"""ELF cores that cannot be memory-mapped, as /proc/kcore: read piece by piece, when asked for."""

import os
from collections.abc import Iterable
from typing import BinaryIO
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.memory.elf import Extent, read_layout
from ttbr.memory.extents import merged
from ttbr.memory.notes import Note
from ttbr.memory.packed import PackedMemory
from ttbr.memory.physical import Bank

BLOCK = 1 << 16  # bytes that are read at once


class _FileBlocks:
    """The bytes of a file in blocks of `BLOCK`; see `ttbr.memory.packed.Blocks`.

    A block's number is its number in its extent, counted on over all extents.
    """

    def __init__(self, name: str, file: BinaryIO, extents: list[Extent]) -> None:
        self._name = name
        self._file = os.dup(file.fileno())
        finalize(self, os.close, self._file)
        self._extents = extents
        self._bases = np.array([extent.base for extent in extents], np.uint64)
        self._sizes = np.array([extent.size for extent in extents], np.uint64)
        self._held = np.array([extent.offset is not None for extent in extents], np.bool_)
        counts = [-(-extent.size // BLOCK) for extent in extents]
        self._first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.largest = BLOCK

    def find(
        self, pa: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Number, start and size of the block of each address, all of which are in a bank."""
        places = np.searchsorted(self._bases, pa, side="right") - 1
        inside = pa - self._bases[places]
        number = self._first[places] + (inside // np.uint64(BLOCK)).astype(np.int64)
        start = inside // np.uint64(BLOCK) * np.uint64(BLOCK)
        size = np.minimum(self._sizes[places] - start, np.uint64(BLOCK))
        return np.where(self._held[places], number, -1), self._bases[places] + start, size

    def between(self, start: int, end: int) -> Iterable[tuple[int, int]]:
        """Number and first address of every block with bytes in start…end-1."""
        at = start
        while at < end:
            (number,), (base,), (size,) = (c.tolist() for c in self.find(np.array([at], np.uint64)))
            if number >= 0:
                yield number, base
            at = base + size

    def unpack(self, number: int) -> NDArray[np.uint8]:
        """The bytes of a block as they are now; `InputError` if they cannot be read."""
        place = int(np.searchsorted(self._first, number, side="right")) - 1
        extent = self._extents[place]
        inside = (number - int(self._first[place])) * BLOCK
        size = min(BLOCK, extent.size - inside)
        assert extent.offset is not None  # find gives no number for zeros
        try:
            data = os.pread(self._file, size, extent.offset + inside)
        except (OSError, OverflowError) as error:
            raise InputError(f"{self._name}: cannot be read: {error}") from error
        if len(data) < size:
            raise InputError(
                f"{self._name}: physical {extent.base + inside:#x} cannot be read: the file ends"
            )
        return np.frombuffer(data, np.uint8)

    def written(self) -> list[Bank]:
        """The runs that the file has bytes for."""
        return merged(Bank(e.base, e.size) for e in self._extents if e.offset is not None)


def read_unmapped_core(name: str, file: BinaryIO) -> tuple[PackedMemory, list[Note], str]:
    """Memory, notes and machine of a core; `InputError` as `ttbr.memory.elf.read_core`.

    The file of a running kernel changes: what was read stays as it was for a while.
    """
    layout = read_layout(name, os.fstat(file.fileno()).st_size, file)
    blocks = _FileBlocks(name, file, layout.extents)
    banks = merged(Bank(extent.base, extent.size) for extent in layout.extents)
    return PackedMemory(banks, blocks), layout.notes, layout.machine
