"""A process's memory by virtual address, as Linux would read it: PROT_NONE and old pages, too."""

from collections.abc import Iterator

import numpy as np

from ttbr.memory.physical import OutsideMemory, PhysicalMemory
from ttbr.recover.processes import ProcessSpace
from ttbr.recover.virtual_memory import NotMapped


class UserMemory:
    """Reads a process's pages; what is swapped out or was never touched is not there."""

    def __init__(self, process: ProcessSpace) -> None:
        view = process.view
        named = view.readings.has_page
        self._va, self._pa, self._size = view.va[named], view.readings.pa[named], view.size[named]
        self._memory: PhysicalMemory = process.space.memory

    def read(self, va: int, size: int) -> bytes:
        """The ``size`` bytes from ``va`` on; `NotMapped` if one of them is not there."""
        parts: list[bytes] = []
        at = va
        while at < va + size:
            row = int(np.searchsorted(self._va, np.uint64(at), side="right")) - 1
            offset = at - int(self._va[row]) if row >= 0 else 0
            if row < 0 or offset >= int(self._size[row]):
                raise NotMapped(at, "is not in memory")
            step = min(int(self._size[row]) - offset, va + size - at)
            try:
                parts.append(self._memory.read(int(self._pa[row]) + offset, step))
            except OutsideMemory as error:
                raise NotMapped(at, "is mapped to what is no memory") from error
            at += step
        return b"".join(parts)

    def extents(self) -> Iterator[tuple[int, int]]:
        """(address, bytes) of every range without a gap, ascending."""
        if not len(self._va):
            return
        head = np.append(True, self._va[1:] != self._va[:-1] + self._size[:-1])
        first = np.flatnonzero(head)
        total = np.add.reduceat(self._size, first)
        yield from zip(self._va[first].tolist(), total.tolist(), strict=True)
