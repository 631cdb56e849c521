"""Where the kernel's own virtual addresses are given out: free, busy and lazily freed areas.

Source: mm/vmalloc.c (alloc_vmap_area … purge_vmap_node) of 6.1 and 6.12. Free space is one list
over the whole of the kernel's addresses; a caller narrows it by [start, end). An area that was
freed keeps its addresses until a purge: one TLB flush for all that wait. Releases with
`vmap_nodes` then keep small areas in pools by size, for the next request of that size.

The kernel finds the lowest free block through a tree whose nodes know the largest block below
them. With an alignment above a page it searches for so much more that any place will do; a block
that fits only because it happens to be aligned is found or missed by the shape of the tree. Here
such a block is taken last.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import TtbrError

MAX_VA_SIZE_PAGES = 256
"""Pools of freed areas (`vmap_nodes`) exist for areas of up to so many pages."""

LAZY_BYTES = 32 << 20
"""lazy_max_pages(): a purge is due once so much waits, times log2 of the CPUs and one."""


class Vm(IntFlag):
    """VM_… (include/linux/vmalloc.h)."""

    IOREMAP = 0x1
    ALLOC = 0x2
    MAP = 0x4
    USERMAP = 0x8
    DMA_COHERENT = 0x10
    NO_GUARD = 0x40
    FLUSH_RESET_PERMS = 0x100
    MAP_PUT_PAGES = 0x200
    ALLOW_HUGE_VMAP = 0x400
    SPARSE = 0x1000
    ARM_EMPTY_MAPPING = 0x2000_0000
    ARM_STATIC_MAPPING = 0x4000_0000
    ARM_SECTION_MAPPING = 0x8000_0000


class NoAddressSpace(TtbrError):
    """The range that a request is restricted to has no free block for it."""


@dataclass(slots=True)
class VmStruct:
    """An area in use (vm_struct); addresses and sizes in bytes.

    ``size`` holds the guard page. ``pages``: frame numbers of its own pages, or of those that vmap
    was given with VM_MAP_PUT_PAGES. ``phys_addr``: what ioremap maps, or 0. ``page_order``: what
    its pages are mapped with at most. ``vpages``: the array of its pages lies in vmalloc itself,
    at this address. ``pooled``: a purge puts it into a pool.
    """

    addr: int
    size: int
    flags: Vm
    caller: str
    phys_addr: int = 0
    pages: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    page_order: int = 0
    vpages: int | None = None
    pooled: bool = False

    @property
    def end(self) -> int:
        """The address behind it, guard page included."""
        return self.addr + self.size


class VmapAreas:
    """Free blocks, areas in use and areas that wait for a purge.

    Args:
        limit: the address behind the last one (2^32 or 2^64).
        page_size: bytes of a page.
        pools: whether freed areas go to pools (`vmap_nodes` on a 64-bit kernel with several
            possible CPUs). The model runs on CPU 0, whose node all requests come from.
        cpus: CPUs online.
    """

    def __init__(self, limit: int, page_size: int, *, pools: bool, cpus: int) -> None:
        self.page_size = page_size
        self._starts = [1]
        self._ends = [limit - 1]
        self._busy: dict[int, VmStruct] = {}
        self._order: list[int] = []
        self._lazy: dict[int, VmStruct] = {}
        self._lazy_pages = 0
        self._has_pools = pools
        self._pools: dict[int, list[int]] = {}
        self.lazy_max_pages = cpus.bit_length() * (LAZY_BYTES // page_size)

    @property
    def areas(self) -> list[VmStruct]:
        """The areas in use, by address."""
        return [self._busy[start] for start in self._order]

    @property
    def lazy(self) -> list[tuple[int, int]]:
        """(start, end) of the areas that wait for a purge, by address."""
        return [(start, self._lazy[start].end) for start in sorted(self._lazy)]

    @property
    def pooled(self) -> list[tuple[int, int]]:
        """(start, end) of the areas in pools, by address."""
        sized = ((start, size) for size, starts in self._pools.items() for start in starts)
        return sorted((start, start + size) for start, size in sized)

    @property
    def free(self) -> list[tuple[int, int]]:
        """(start, end) of the free blocks, by address."""
        return list(zip(self._starts, self._ends, strict=True))

    def find(self, address: int) -> VmStruct | None:
        """The area that holds an address (find_vm_area); None if there is none."""
        place = bisect_right(self._order, address) - 1
        if place < 0:
            return None
        area = self._busy[self._order[place]]
        return area if address < area.end else None

    def add_early(self, area: VmStruct) -> None:
        """vm_area_add_early: an area whose place the boot has chosen."""
        self._clip(area.addr, area.end)
        self._insert(area)

    def alloc(
        self, area: VmStruct, align: int, start: int, end: int, *, pool: bool
    ) -> tuple[int, int] | None:
        """Give `area` the lowest place in [start, end) and put it among those in use.

        Args:
            area: with its size; its address is set here.
            align: a power of two, in bytes.
            start: the lowest address it may have.
            end: the address that it may not reach beyond.
            pool: the range is vmalloc's own, so that pools may serve it.

        Returns:
            the range of a purge that was needed to find a place, whose TLB flush is due.

        Raises:
            NoAddressSpace: nothing is free, even after a purge.
        """
        flushed = None
        pool = pool and self._has_pools
        place = self._from_pool(area.size, align) if pool else None
        if place is None:
            place = self._lowest(area.size, align, start, end)
        if place is None:
            flushed = self.purge(full=True)
            place = self._lowest(area.size, align, start, end)
        if place is None:
            raise NoAddressSpace(
                f"no {area.size >> 10} KiB of addresses are free in {start:#x}-{end - 1:#x}"
            )
        area.addr, area.pooled = place, pool
        self._insert(area)
        return flushed

    def free_lazily(self, area: VmStruct) -> bool:
        """free_vmap_area_noflush: no longer in use, not yet free; whether a purge is due."""
        del self._busy[area.addr]
        self._order.pop(bisect_left(self._order, area.addr))
        self._lazy[area.addr] = area
        self._lazy_pages += area.size // self.page_size
        return self._lazy_pages > self.lazy_max_pages

    def purge(self, *, full: bool = False) -> tuple[int, int] | None:
        """__purge_vmap_area_lazy: (start, end) of the TLB flush that it needs, None for none.

        ``full``: pools are emptied, and nothing is put into them.
        """
        self._decay(full=full)
        if not self._lazy:
            return None
        starts = sorted(self._lazy)
        flushed = starts[0], self._lazy[starts[-1]].end
        for start in starts:
            area = self._lazy[start]
            if area.pooled and not full and area.size <= MAX_VA_SIZE_PAGES * self.page_size:
                self._pools.setdefault(area.size, []).append(start)
            else:
                self._merge(start, area.end)
        self._lazy.clear()
        self._lazy_pages = 0
        return flushed

    def _decay(self, *, full: bool) -> None:
        """decay_va_pool_node: a quarter of each pool is free again, all of one below four."""
        for size, starts in list(self._pools.items()):
            going = 0 if full else len(starts) // 4
            gone = starts[-going:] if going else starts[:]
            for start in gone:
                self._merge(start, start + size)
            del starts[len(starts) - len(gone) :]

    def _from_pool(self, size: int, align: int) -> int | None:
        """node_pool_del_va: the area freed last; one that is not aligned goes to the end."""
        starts = self._pools.get(size)
        if not starts:
            return None
        start = starts.pop()
        if start % align:
            starts.insert(0, start)
            return None
        return start

    def _lowest(self, size: int, align: int, start: int, end: int) -> int | None:
        """Take the lowest place out of the free blocks; None if there is none."""
        exact = align <= self.page_size or end - start == size
        needed = size if exact else size + align - 1
        place = None
        for row in range(bisect_right(self._ends, start), len(self._starts)):
            low, high = self._starts[row], self._ends[row]
            aligned = -(-max(low, start) // align) * align
            if aligned + size > end:
                break
            if aligned + size > high:
                continue
            if high - low >= needed:
                place = aligned
                break
            place = aligned if place is None else place
        if place is not None:
            self._clip(place, place + size)
        return place

    def _insert(self, area: VmStruct) -> None:
        insort(self._order, area.addr)
        self._busy[area.addr] = area

    def _clip(self, start: int, end: int) -> None:
        """va_clip: take [start, end) out of the free block that holds it."""
        row = bisect_right(self._starts, start) - 1
        if row < 0 or self._ends[row] < end:
            raise TtbrError(f"{start:#x}-{end - 1:#x} is not free in the kernel's address space")
        low, high = self._starts[row], self._ends[row]
        left = [(low, start)] if low < start else []
        right = [(end, high)] if end < high else []
        parts = left + right
        self._starts[row : row + 1] = [low for low, _ in parts]
        self._ends[row : row + 1] = [high for _, high in parts]

    def _merge(self, start: int, end: int) -> None:
        """merge_or_add_vmap_area: [start, end) is free, and one with its free neighbours."""
        row = bisect_left(self._starts, start)
        if row and self._ends[row - 1] == start:
            row -= 1
            start = self._starts[row]
            self._ends[row] = end
        else:
            self._starts.insert(row, start)
            self._ends.insert(row, end)
        if row + 1 < len(self._starts) and self._starts[row + 1] == end:
            self._ends[row] = self._ends[row + 1]
            del self._starts[row + 1], self._ends[row + 1]
