"""Writing translation-table entries of the running kernel: the only way by which run/ does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.ram import Ram
from ttbr.mmu.writer import TableWriter


class TableWrites:
    """Reads and writes descriptors; tables by physical address, entries by index."""

    def __init__(self, ram: Ram, entry_size: int) -> None:
        """`entry_size`: bytes of one descriptor, 8 or 4."""
        self._writer = TableWriter(ram, entry_size)

    @property
    def entry_size(self) -> int:
        """Bytes of one descriptor."""
        return self._writer.entry_size

    def get(self, table: int, index: int) -> int:
        """The descriptor at ``index`` of a table."""
        return self._writer.read(table, index)

    def set(self, table: int, index: int, new: int) -> None:
        """Store a descriptor."""
        self._writer.write(table, index, new)

    def fill(self, table: int, index: int, first: int, step: int, count: int) -> None:
        """Store ``count`` descriptors: ``first``, ``first + step``, …"""
        self._writer.fill(table, index, first, step, count)

    def get_many(self, table: int, index: int, count: int) -> NDArray[np.uint64]:
        """The ``count`` descriptors from ``index`` on."""
        place = np.array([table + index * self.entry_size], np.uint64)
        words, _ = self._writer.ram.read_words(place, count, self.entry_size)
        return words.reshape(-1)

    def store(self, table: int, index: int, values: NDArray[np.uint64]) -> None:
        """Store any descriptors from ``index`` on."""
        at = table + index * self.entry_size
        self._writer.ram.write_words(at, values, self.entry_size)

    def clear(self, table: int, index: int, count: int = 1) -> None:
        """Make entries invalid (zero)."""
        self._writer.clear(table, index, count)
