"""The areas of an address space: vm_area_struct, their list, and the gaps between them.

Source: include/linux/mm.h (vm_start_gap), mm/mmap.c and 6.12's mm/vma.c (is_mergeable_vma,
unmapped_area_topdown, unmapped_area).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import Vm

if TYPE_CHECKING:
    from ttbr.run.mm.files import File
    from ttbr.run.mm.hugetlb import HugeCache, HugePool, Reservation
    from ttbr.run.mm.special import SpecialMapping

STACK_GUARD_PAGES = 256
"""stack_guard_gap: pages kept free below an area that grows down."""
_NOT_MERGED = Vm.IO | Vm.DONTEXPAND | Vm.PFNMAP | Vm.HUGETLB


@dataclass(slots=True)
class Vma:
    """An area: virtual addresses [``start``, ``end``) that are used alike.

    ``pgoff``: of its first page, in pages, in ``file``, or for anonymous memory the page number of
    the address it was made for. ``prot``: what its pages' entries carry (vm_page_prot).
    ``anon_vma``: number of what finds its anonymous pages, None while it never had any;
    ``inherited``: that came from a parent, too. ``special``, ``pool``: pages of the kernel's or of
    a huge page pool instead of a file's; ``reservation``, ``huge_cache``: the pool's pages that are
    promised to it, and those that it shares.
    """

    start: int
    end: int
    flags: Vm
    pgoff: int
    prot: int
    file: File | None = None
    special: SpecialMapping | None = None
    pool: HugePool | None = None
    reservation: Reservation | None = None
    huge_cache: HugeCache | None = None
    anon_vma: int | None = None
    inherited: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def is_anonymous(self) -> bool:
        """``vma_is_anonymous``: private memory without a file."""
        return self.file is None and self.special is None and self.pool is None

    @property
    def growsdown(self) -> bool:
        """A stack."""
        return bool(self.flags & Vm.GROWSDOWN)

    def page_index(self, va: int, page_shift: int) -> int:
        """``linear_page_index``: which page of its file is at ``va``."""
        return self.pgoff + (va - self.start >> page_shift)

    def mergeable(self, after: Vma, page_shift: int) -> bool:
        """Whether this area and the one right ``after`` it can be one."""
        if self.end != after.start or self.flags != after.flags or self.flags & _NOT_MERGED:
            return False
        if self.file is not after.file or self.special or after.special:
            return False
        if self.page_index(self.end, page_shift) != after.pgoff:
            return False
        if self.anon_vma is None or after.anon_vma is None:
            return not (self.inherited or after.inherited)
        return self.anon_vma == after.anon_vma

    def part(self, start: int, end: int, page_shift: int) -> Vma:
        """The piece [``start``, ``end``) of the area as an area of its own."""
        return replace(self, start=start, end=end, pgoff=self.page_index(start, page_shift))


class VmaList:
    """The areas of one address space in order of their addresses (the maple tree mm_mt)."""

    def __init__(self, page_shift: int) -> None:
        self._page_shift = page_shift
        self._starts: list[int] = []
        self._areas: list[Vma] = []

    def __iter__(self) -> Iterator[Vma]:
        return iter(self._areas)

    def __len__(self) -> int:
        return len(self._areas)

    def find(self, va: int) -> Vma | None:
        """``find_vma``: the first area that ends above ``va``; it may begin above it, too."""
        place = bisect_right(self._starts, va)
        if place and va < self._areas[place - 1].end:
            return self._areas[place - 1]
        return self._areas[place] if place < len(self._areas) else None

    def at(self, va: int) -> Vma | None:
        """The area that holds ``va``, or None."""
        found = self.find(va)
        return found if found is not None and found.start <= va else None

    def before(self, va: int) -> Vma | None:
        """The last area that begins below ``va``."""
        place = bisect_right(self._starts, va - 1)
        return self._areas[place - 1] if place else None

    def after(self, va: int) -> Vma | None:
        """The first area that begins at ``va`` or above."""
        place = bisect_right(self._starts, va - 1)
        return self._areas[place] if place < len(self._areas) else None

    def overlapping(self, start: int, end: int) -> list[Vma]:
        """The areas with addresses in [``start``, ``end``)."""
        place = bisect_right(self._starts, start)
        if place and self._areas[place - 1].end > start:
            place -= 1
        found = []
        while place < len(self._areas) and self._areas[place].start < end:
            found.append(self._areas[place])
            place += 1
        return found

    def insert(self, area: Vma) -> None:
        """Add an area where there is none, joined with its neighbours where that can be."""
        self.place(area)
        self.join(area.start, area.end)

    def join(self, start: int, end: int) -> None:
        """``vma_merge``: make neighbours from ``start`` to ``end`` one that differ in nothing."""
        place = max(bisect_right(self._starts, start) - 1, 1)
        while place < len(self._areas) and self._areas[place].start <= end:
            first, second = self._areas[place - 1 : place + 1]
            if first.mergeable(second, self._page_shift):
                first.end = second.end
                if first.anon_vma is None:
                    first.anon_vma = second.anon_vma
                del self._starts[place], self._areas[place]
            else:
                place += 1

    def place(self, area: Vma) -> None:
        """Add an area where there is none, as it is."""
        place = bisect_right(self._starts, area.start)
        self._starts.insert(place, area.start)
        self._areas.insert(place, area)

    def remove(self, area: Vma) -> None:
        """Take an area out."""
        place = bisect_right(self._starts, area.start) - 1
        assert self._areas[place] is area
        del self._starts[place], self._areas[place]

    def grow_down(self, area: Vma, start: int) -> None:
        """Let a stack begin at ``start``."""
        place = bisect_right(self._starts, area.start) - 1
        area.pgoff -= area.start - start >> self._page_shift
        self._starts[place] = area.start = start

    def split(self, area: Vma, va: int) -> Vma:
        """``split_vma``: cut an area in two at ``va``; returns the upper part."""
        upper = area.part(va, area.end, self._page_shift)
        area.end = va
        self.place(upper)
        return upper

    def isolate(self, start: int, end: int) -> list[Vma]:
        """The areas within [``start``, ``end``), cut so that none sticks out."""
        found = []
        for area in self.overlapping(start, end):
            inner = self.split(area, start) if area.start < start else area
            if inner.end > end:
                self.split(inner, end)
            found.append(inner)
        return found

    def gap_below(self, size: int, low: int, high: int, align: int = 0) -> int | None:
        """``unmapped_area_topdown``: the highest free place for ``size`` bytes in [low, high).

        ``align``: alignment in bytes if it is to be more than a page's.
        """
        guard = STACK_GUARD_PAGES << self._page_shift
        mask = align - (1 << self._page_shift) if align else 0
        areas = self._areas
        place = bisect_right(self._starts, high - 1)
        top = high
        while True:
            below = areas[place - 1] if place else None
            bottom = max(low, below.end if below is not None else 0)
            above = areas[place] if place < len(areas) else None
            end = min(top, above.start) if above is not None else top
            if above is not None and above.growsdown:
                end = min(end, max(above.start - guard, 0))
            if end - bottom >= size + mask:
                found = end - size
                return found - (found & mask)
            if below is None or below.start <= low:
                return None
            top, place = below.start, place - 1

    def gap_above(self, size: int, low: int, high: int, align: int = 0) -> int | None:
        """``unmapped_area``: the lowest free place for ``size`` bytes in [low, high)."""
        guard = STACK_GUARD_PAGES << self._page_shift
        mask = align - (1 << self._page_shift) if align else 0
        place = bisect_right(self._starts, low)
        start = low
        if place:
            start = max(start, self._areas[place - 1].end)
        while start < high:
            above = self._areas[place] if place < len(self._areas) else None
            end = high if above is None else min(high, above.start)
            if above is not None and above.growsdown:
                end = min(end, above.start - guard)
            if end - start >= size + mask:
                return start + (-start & mask)
            if above is None:
                return None
            start, place = above.end, place + 1
        return None
