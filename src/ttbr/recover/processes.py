"""What the tables of each process map: pages, table pages, and processes that no list names."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.linux_pte import FLAGS
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.recover.linux_reading import LinuxReader
from ttbr.recover.linux_view import LinuxView, linux_view

_SHORT_PAGE = 4096
_SPECIAL = np.uint16(1 << FLAGS.index("special"))


@dataclass(frozen=True)
class ProcessSpace:
    """A process's space below ``end``, where the kernel's own entries begin.

    ``space``: as the hardware walks it. ``reader``: as Linux reads its entries.
    """

    space: AddressSpace
    end: int
    reader: LinuxReader

    @cached_property
    def view(self) -> LinuxView:
        """Linux's entries, ascending."""
        return linux_view(self.space, self.reader, 0, self.end)

    @cached_property
    def pages(self) -> NDArray[np.bool_]:
        """Which of the entries are pages that the process has: no swap, not the zero page."""
        readings = self.view.readings
        named = readings.has_page & (readings.swap_type < 0)
        kept: NDArray[np.bool_] = named & (readings.flags & _SPECIAL == 0)
        return kept

    @property
    def resident(self) -> int:
        """Bytes of such pages (VmRSS counts the same, but for huge pages of hugetlbfs)."""
        return int(self.view.size[self.pages].sum())

    @cached_property
    def _table_levels(self) -> NDArray[np.int8]:
        """Levels of the tables as Linux makes them.

        With short descriptors two of the hardware's are in one page, and are one of Linux's
        (arch/arm/include/asm/pgtable-2level.h).
        """
        found = self.space.mappings(0, self.end).tables
        if self.space.regime.format.name != "short":
            return found.level
        last = found.level == self.space.regime.levels[-1].number
        _, first = np.unique(found.address[last] // np.uint64(_SHORT_PAGE), return_index=True)
        return np.concatenate([found.level[~last], found.level[last][first]])

    @property
    def tables(self) -> int:
        """Tables that the process has for itself, with the root."""
        return len(self._table_levels)

    @property
    def table_bytes(self) -> int:
        """Bytes of those that the kernel counts: not the root, nor the second of five levels.

        Source: include/linux/mm.h (mm_inc_nr_puds, mm_inc_nr_pmds, mm_inc_nr_ptes).
        """
        levels, regime = self._table_levels, self.space.regime
        counted = int((levels > max(0, regime.levels[0].number)).sum())
        return counted * self.last_table

    @property
    def last_table(self) -> int:
        """Bytes that the kernel counts for a table of the last level."""
        regime = self.space.regime
        if regime.format.name == "short":
            return _SHORT_PAGE // 2  # of a page with Linux's entries and the hardware's, a half
        return 1 << regime.levels[-1].shift

    def within(self, start: int, end: int) -> slice:
        """The rows of the view whose entries begin in [``start``, ``end``)."""
        first = int(np.searchsorted(self.view.va, np.uint64(start)))
        return slice(first, int(np.searchsorted(self.view.va, np.uint64(end))))


class Processes:
    """Spaces of processes by the physical address of their root tables; each is read once.

    ``end``: the kernel's own entries begin there.
    """

    def __init__(self, image: Image, reader: LinuxReader, end: int) -> None:
        self._image = image
        self._reader = reader
        self.end = end
        self._known: dict[int, ProcessSpace] = {}

    def of(self, root: int) -> ProcessSpace:
        """The space of a root."""
        if root not in self._known:
            space = self._image.address_space(f"user:{root:#x}")
            self._known[root] = ProcessSpace(space, self.end, self._reader)
        return self._known[root]


def unlisted(found: tuple[int, ...], listed: NDArray[np.uint64]) -> tuple[int, ...]:
    """Roots that look like a process's and belong to no listed task: hidden, or ended."""
    known = set(listed.tolist())
    return tuple(root for root in found if root not in known)
