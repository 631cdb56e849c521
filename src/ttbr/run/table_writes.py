"""Writing translation-table entries of the running kernel: the only way by which run/ does.

What has changed is told to whoever watches, so that translations which TLBs still hold, and
changes without a break between, can be found out.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.ram import Ram
from ttbr.mmu.writer import TableWriter


class TableWatch(Protocol):
    """Who is told of changes of descriptors, after they were written."""

    def changed(self, table: int, index: int, old: int, new: int) -> None:
        """A valid descriptor became another valid one."""

    def made(self, table: int, index: int, new: int) -> None:
        """An invalid descriptor became a valid one; only told of those that `held` names."""

    def held(self, first: int, last: int) -> bool:
        """Whether a TLB holds a translation from a descriptor between two physical addresses."""


class TableWrites:
    """Reads and writes descriptors; tables by physical address, entries by index.

    ``changes``: how often valid descriptors were changed or taken away. A translation that was
    read when there were fewer may be out of date. ``watch``: who is told; None for nobody.
    """

    def __init__(self, ram: Ram, entry_size: int) -> None:
        """`entry_size`: bytes of one descriptor, 8 or 4."""
        self._writer = TableWriter(ram, entry_size)
        self._valid = 1 if entry_size == 8 else 3
        self.changes = 0
        self.watch: TableWatch | None = None

    @property
    def entry_size(self) -> int:
        """Bytes of one descriptor."""
        return self._writer.entry_size

    def get(self, table: int, index: int) -> int:
        """The descriptor at ``index`` of a table."""
        return self._writer.read(table, index)

    def set(self, table: int, index: int, new: int) -> None:
        """Store a descriptor."""
        old = self._writer.read(table, index)
        self._writer.write(table, index, new)
        if old == new:
            return
        if old & self._valid:
            self.changes += 1
            if self.watch is not None and new & self._valid:
                self.watch.changed(table, index, old, new)
        elif self.watch is not None and new & self._valid:
            place = table + index * self.entry_size
            if self.watch.held(place, place):
                self.watch.made(table, index, new)

    def get_many(self, table: int, index: int, count: int) -> NDArray[np.uint64]:
        """The ``count`` descriptors from ``index`` on."""
        size = self.entry_size
        raw = self._writer.ram.read(table + index * size, count * size)
        return np.frombuffer(raw, f"<u{size}").astype(np.uint64)

    def fill(self, table: int, index: int, first: int, step: int, count: int) -> None:
        """Store ``count`` descriptors: ``first``, ``first + step``, …"""
        if count <= 0:
            return
        old = self.get_many(table, index, count)
        self._writer.fill(table, index, first, step, count)
        self._tell(table, index, old, self.get_many(table, index, count))

    def store(self, table: int, index: int, values: NDArray[np.uint64]) -> None:
        """Store any descriptors from ``index`` on."""
        if not len(values):
            return
        old = self.get_many(table, index, len(values))
        self._writer.ram.write_words(table + index * self.entry_size, values, self.entry_size)
        self._tell(table, index, old, values)

    def _tell(
        self, table: int, index: int, old: NDArray[np.uint64], new: NDArray[np.uint64]
    ) -> None:
        """Count and tell of what became of descriptors from ``index`` on."""
        valid = np.uint64(self._valid)
        was, now = old & valid != 0, new & valid != 0
        changed = was & (old != new)
        if changed.any():
            self.changes += 1
        if self.watch is None:
            return
        for at in np.flatnonzero(changed & now).tolist():
            self.watch.changed(table, index + at, int(old[at]), int(new[at]))
        fresh = np.flatnonzero(~was & now).tolist()
        if not fresh:
            return
        place = table + index * self.entry_size
        if self.watch.held(place, place + (len(new) - 1) * self.entry_size):
            for at in fresh:
                self.watch.made(table, index + at, int(new[at]))

    def clear(self, table: int, index: int, count: int = 1) -> None:
        """Make entries invalid (zero)."""
        if count == 1:
            self.set(table, index, 0)
        else:
            self.fill(table, index, 0, 0, count)
