"""Contiguous pages out of the areas that were reserved for them.

Source: mm/cma.c: cma_alloc, cma_release; mm/page_alloc.c: alloc_contig_range, free_contig_range.
Pages that somebody uses would be moved away by the kernel; here they make it look further on, as
the kernel does when they cannot be moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ttbr.errors import InputError, TtbrError
from ttbr.run.events import RunLog
from ttbr.run.page_alloc import PageAllocator

if TYPE_CHECKING:
    from ttbr.boot.machine import CmaArea, Machine


class CmaBusy(TtbrError):
    """The area has no such range whose pages are all free."""


class Cma:
    """The areas of a machine; pages by frame number."""

    def __init__(self, machine: Machine, pages: PageAllocator, log: RunLog) -> None:
        """`machine`: its areas are those of the boot."""
        self._pages = pages
        self._log = log
        self._shift = machine.kernel.page_size.bit_length() - 1
        self._default = machine.cma.default
        self.areas = {area.name: area for area in machine.cma.areas}
        self._used: dict[str, np.ndarray] = {
            area.name: np.zeros(area.size >> self._shift, np.bool_) for area in machine.cma.areas
        }

    def alloc(self, count: int, align: int = 0, area: str | None = None) -> int:
        """``cma_alloc``: the first of ``count`` pages in a row, each with a reference.

        Args:
            count: pages.
            align: log2 of the pages that the first frame is a multiple of.
            area: the name of an area, None for the default one.

        Raises:
            CmaBusy: there is no room, and nothing was changed.
            InputError: no such area, or no pages.
        """
        place = self._area(area)
        if count <= 0:
            raise InputError(f"{count} pages are none to allocate")
        used, base, step = self._used[place.name], place.base >> self._shift, 1 << align
        at = -(-base // step) * step - base
        while at + count <= len(used):
            taken = np.flatnonzero(used[at : at + count])
            if len(taken):
                at = -(-(base + at + int(taken[-1]) + 1) // step) * step - base
            elif self._take(base + at, count):
                used[at : at + count] = True
                self._note("alloc", "cma_alloc", place, base + at, count)
                return base + at
            else:
                at += step
        raise CmaBusy(f"cma: {place.name}: no {count} free pages in a row")

    def release(self, pfn: int, count: int) -> None:
        """``cma_release``: give pages back; `InputError` if they are not allocated here."""
        for place in self.areas.values():
            base, used = place.base >> self._shift, self._used[place.name]
            at = pfn - base
            if at >= 0 and at + count <= len(used) and count > 0 and used[at : at + count].all():
                used[at : at + count] = False
                self._pages.free_bulk(np.arange(pfn, pfn + count, dtype=np.uint64))
                self._note("free", "cma_release", place, pfn, count)
                return
        raise InputError(f"page frames {pfn:#x} to {pfn + count - 1:#x} are of no contiguous area")

    def _area(self, name: str | None) -> CmaArea:
        if name is None and self._default is not None:
            return self._default
        found = self.areas.get(name or "")
        if found is None:
            known = ", ".join(self.areas) or "none"
            raise InputError(f"no contiguous area '{name or 'default'}': there is {known}")
        return found

    def _take(self, pfn: int, count: int) -> bool:
        """``alloc_contig_range``: the blocks that the range is in; False if not all is free."""
        end, zone = pfn + count, self._pages.zone_of(pfn)
        blocks, at = [], pfn
        while at < end:
            block = zone.area.block_of(at)
            if block is None:
                return False
            blocks.append(block)
            at = block[0] + (1 << block[1])
        for first, order in blocks:
            zone.area.take(first, order)
        zone.free_range(blocks[0][0], pfn, to_tail=False)
        zone.free_range(end, at, to_tail=False)
        self._pages.frames.allocated_run(pfn, count)
        return True

    def _note(self, kind: str, function: str, place: CmaArea, pfn: int, count: int) -> None:
        start, end = pfn << self._shift, (pfn + count << self._shift) - 1
        self._log.add(kind, function, f"{count} pages of {place.name}", start, end)
