"""memblock, Linux's boot-time memory allocator (mm/memblock.c), as exact as its own log.

Functions are named as the kernel's and called in the kernel's order; each takes the name of the
kernel function that calls it, for the events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from ttbr.boot.array_growth import ArrayGrowth
from ttbr.boot.events import EventLog
from ttbr.boot.regions import BASE, END, NO_NODE, BootPanic, Flags, Region, Regions, is_node

__all__ = [
    "ACCESSIBLE",
    "INIT_REGIONS",
    "NOLEAKTRACE",
    "NO_NODE",
    "BootPanic",
    "Flags",
    "Memblock",
    "Region",
    "Regions",
]

ACCESSIBLE = 0
"""As an upper bound: whatever `Memblock.current_limit` says (MEMBLOCK_ALLOC_ACCESSIBLE)."""
NOLEAKTRACE = 1
"""The same, with kmemleak not told (MEMBLOCK_ALLOC_NOLEAKTRACE)."""
INIT_REGIONS = 128
"""Regions that either array holds before it may grow (INIT_MEMBLOCK_REGIONS)."""


class Memblock:
    """The allocator: ``memory`` (what RAM there is) and ``reserved`` (what of it is taken).

    Args:
        log: gets an event for every call that the kernel would print, and for NOMAP marks.
        phys_bits: width of the kernel's phys_addr_t: 32 or 64 (arm64, and arm with LPAE).
        page_size: the kernel's page size in bytes.
        cache_line: SMP_CACHE_BYTES, the alignment of requests that have none.
        memory_capacity: regions that ``memory`` holds until it may grow (`ArrayGrowth`).
        reserved_capacity: the same of ``reserved``.
        merge_near: the release has ``memblock_merge_near``.
        full_panics: the release has ``memblock_full_panics``.
        numa: the kernel has CONFIG_NUMA; without it no region has a node.
        empty_entry: the release has ``memblock_empty_entry``.
        free_is_named: ``memblock_free`` is what its own lines name as the caller (see `free`).
    """

    def __init__(
        self,
        log: EventLog,
        phys_bits: int = 64,
        *,
        page_size: int = 4096,
        cache_line: int = 64,
        memory_capacity: int = INIT_REGIONS,
        reserved_capacity: int = INIT_REGIONS,
        merge_near: bool = True,
        full_panics: bool = True,
        numa: bool = False,
        empty_entry: bool = False,
        free_is_named: bool = False,
    ) -> None:
        self.log = log
        self.phys_bits = phys_bits
        self.address_max = (1 << phys_bits) - 1
        self.numa = numa
        self.empty_entry = empty_entry
        self.page_size = page_size
        self.cache_line = cache_line
        self.movable_node = False
        """Whether HOTPLUG memory is left alone (``movable_node`` on the command line)."""
        self.bottom_up = False
        self.current_limit = self.address_max
        """Where allocations without a bound of their own end (exclusive)."""
        self.growth = ArrayGrowth(self, full_panics)
        """What happens when an array is full."""
        self._free_is_named = free_is_named
        made = merge_near, self.growth.double
        self.memory = Regions("memory", self.address_max, memory_capacity, *made)
        self.reserved = Regions("reserved", self.address_max, reserved_capacity, *made)

    # Changing the arrays. Each returns whether it succeeded, which the kernel often ignores.

    def add(self, base: int, size: int, function: str) -> bool:
        """``memblock_add``: there is RAM at [base, base + size)."""
        self._note("memblock_add", base, size, function)
        return self.memory.add(base, size)

    def remove(self, base: int, size: int, function: str) -> bool:
        """``memblock_remove``: forget RAM in a range."""
        self._note("memblock_remove", base, size, function)
        return self.memory.remove(base, size)

    def reserve(self, base: int, size: int, function: str, detail: str = "") -> bool:
        """``memblock_reserve``: a range is taken, whether it is RAM or not."""
        self._note("memblock_reserve", base, size, function, detail)
        return self.reserved.add(base, size)

    def phys_free(self, base: int, size: int, function: str) -> bool:
        """``memblock_phys_free``: a range is no longer taken."""
        self._note("memblock_phys_free", base, size, function)
        return self.reserved.remove(base, size)

    def free(self, base: int, size: int, function: str) -> bool:
        """``memblock_free``: give an allocation back.

        Whom the kernel then names is up to the compiler: ``memblock_free`` itself, or whoever
        called it where `phys_free` was made part of it, or the call of that a jump.
        """
        return self.phys_free(base, size, "memblock_free" if self._free_is_named else function)

    def set_node(self, base: int, size: int, regions: Regions, nid: int) -> bool:
        """``memblock_set_node``: a range of one of the arrays belongs to a node."""
        return not self.numa or regions.set_node(base, size, nid)

    def mark_nomap(self, base: int, size: int, function: str) -> bool:
        """``memblock_mark_nomap``: keep a range out of the linear map and from allocation."""
        self._note("memblock_mark_nomap", base, size, function)
        return self.memory.set_flag(base, size, Flags.NOMAP, True)

    def clear_nomap(self, base: int, size: int, function: str) -> bool:
        """``memblock_clear_nomap``: take that back."""
        self._note("memblock_clear_nomap", base, size, function)
        return self.memory.set_flag(base, size, Flags.NOMAP, False)

    def mark_hotplug(self, base: int, size: int, function: str) -> bool:
        """``memblock_mark_hotplug``: a range may be unplugged later."""
        self._note("memblock_mark_hotplug", base, size, function)
        return self.memory.set_flag(base, size, Flags.HOTPLUG, True)

    def cap_memory_range(self, base: int, size: int, function: str) -> None:
        """``memblock_cap_memory_range``: keep RAM in a range, and NOMAP regions anywhere."""
        if not size:
            return
        if not self.memory.list:
            self.log.say("memblock_cap_memory_range: No memory registered yet")
            return
        self._note("memblock_cap_memory_range", base, size, function)
        inside = self.memory.isolate(base, size)
        if inside is None:
            return
        first, behind = inside
        self.memory.list[:] = [
            region
            for index, region in enumerate(self.memory.list)
            if first <= index < behind or region.flags & Flags.NOMAP
        ]
        self.reserved.remove(0, base)
        self.reserved.remove((base + size) & self.address_max, self.address_max)

    def mem_limit_remove_map(self, limit: int, function: str) -> None:
        """``memblock_mem_limit_remove_map``: keep about the first ``limit`` bytes of RAM."""
        if not limit:
            return
        left = limit
        for region in self.memory.list:
            if left <= region.size:
                self.cap_memory_range(0, region.base + left, function)
                return
            left -= region.size

    # Allocating.

    def phys_alloc_range(self, size: int, align: int, start: int, end: int, function: str) -> int:
        """``memblock_phys_alloc_range``: reserve free RAM in [start, end).

        ``end`` may be `ACCESSIBLE` or `NOLEAKTRACE`. Returns the address, or 0 if there is none.
        """
        bounds = f"from={self.pa(start)} max_addr={self.pa(end)}"
        words = f"memblock_phys_alloc_range: {size} bytes align={align:#x} {bounds} {function}"
        found = self.alloc_range_nid(size, align, start, end, detail=words)
        return found or self._in_vain(words)

    def alloc(self, size: int, align: int, function: str) -> int:
        """``memblock_alloc``: reserve free RAM below `current_limit`; 0 if there is none.

        The kernel zeroes it, which is left to the caller: memblock does not hold the bytes.
        """
        return self.alloc_try_nid(size, align, function)

    def alloc_try_nid(
        self,
        size: int,
        align: int,
        function: str,
        *,
        start: int = 0,
        end: int = ACCESSIBLE,
        nid: int = NO_NODE,
    ) -> int:
        """``memblock_alloc_try_nid``: on a node if possible, at or above ``start`` if possible.

        Returns the address, or 0. ``memblock_alloc_node`` and ``memblock_alloc_from`` are this.
        """
        return self._alloc("memblock_alloc_try_nid", size, align, function, start, end, nid)

    def alloc_try_nid_raw(
        self,
        size: int,
        align: int,
        function: str,
        *,
        start: int = 0,
        end: int = ACCESSIBLE,
        nid: int = NO_NODE,
    ) -> int:
        """``memblock_alloc_try_nid_raw``: the same, and the kernel does not zero it."""
        return self._alloc("memblock_alloc_try_nid_raw", size, align, function, start, end, nid)

    def alloc_exact_nid_raw(
        self,
        size: int,
        align: int,
        function: str,
        *,
        start: int = 0,
        end: int = ACCESSIBLE,
        nid: int = NO_NODE,
    ) -> int:
        """``memblock_alloc_exact_nid_raw``: the same, on no other node."""
        name = "memblock_alloc_exact_nid_raw"
        return self._alloc(name, size, align, function, start, end, nid, exact=True)

    def _alloc(
        self,
        name: str,
        size: int,
        align: int,
        function: str,
        start: int,
        end: int,
        nid: int,
        *,
        exact: bool = False,
    ) -> int:
        """``memblock_alloc_internal``, and the line that its callers print before."""
        words = (
            f"{name}: {size} bytes align={align:#x} nid={nid} "
            f"from={self.pa(start)} max_addr={self.pa(end)} {function}"
        )
        end = min(end, self.current_limit)
        for lowest in (start, 0) if start else (0,):
            found = self.alloc_range_nid(
                size, align, lowest, end, nid=nid, exact=exact, detail=words
            )
            if found:
                return found
        return self._in_vain(words)

    def _in_vain(self, words: str) -> int:
        """A request that gets nothing: it was printed all the same."""
        if self.log.printing:
            self.log.say(words)
        return 0

    def phys_alloc_try_nid(self, size: int, align: int, nid: int) -> int:
        """``memblock_phys_alloc_try_nid``: on a node if possible; prints no request."""
        return self.alloc_range_nid(size, align, 0, ACCESSIBLE, nid=nid)

    def alloc_range_nid(
        self,
        size: int,
        align: int,
        start: int,
        end: int,
        *,
        nid: int = NO_NODE,
        exact: bool = False,
        detail: str = "",
    ) -> int:
        """``memblock_alloc_range_nid``: find and reserve, without a line about the request.

        Args:
            size: bytes.
            align: what the address is a multiple of; 0 for a cache line.
            start: the first address that it may have.
            end: the address that it may not reach; or `ACCESSIBLE`, `NOLEAKTRACE`.
            nid: the node that is tried first.
            exact: no other node is tried.
            detail: goes into the event.
        """
        for node in (nid, NO_NODE) if is_node(nid) and not exact else (nid,):
            found = self.find_in_range(size, align or self.cache_line, start, end, node)
            if found and self.reserve(found, size, "memblock_alloc_range_nid", detail):
                return found
        return 0

    def find_in_range(self, size: int, align: int, start: int, end: int, nid: int = NO_NODE) -> int:
        """``memblock_find_in_range_node``: where ``size`` bytes fit into [start, end), or 0.

        As the kernel does, it aligns by masks, also to what is no power of two.
        """
        if end in (ACCESSIBLE, NOLEAKTRACE):
            end = self.current_limit
        start = max(start, self.page_size)  # the first page is never given away
        end = max(start, end)
        if self.bottom_up:
            for base, behind in self.free_ranges(nid):
                low, high = _clamp(base, start, end), _clamp(behind, start, end)
                candidate = ((low - 1) | (align - 1)) + 1
                if candidate < high and high - candidate >= size:
                    return candidate
            return 0
        for base, behind in self.free_ranges_reverse(nid):
            low, high = _clamp(base, start, end), _clamp(behind, start, end)
            if high < size:
                continue
            candidate = (high - size) & ~(align - 1)
            if candidate >= low:
                return candidate
        return 0

    # Asking.

    def free_ranges(self, nid: int = NO_NODE) -> Iterator[tuple[int, int]]:
        """``for_each_free_mem_range``: allocatable RAM that is not reserved, ascending."""
        taken = self.reserved.list
        for region in self.memory.list:
            if self._skipped(region, nid):
                continue
            at = region.base
            for other in taken[bisect_right(taken, at, key=END) :]:
                if other.base >= region.end:
                    break
                if other.base > at:
                    yield at, other.base
                at = other.end
            if at < region.end:
                yield at, region.end

    def free_ranges_reverse(self, nid: int = NO_NODE) -> Iterator[tuple[int, int]]:
        """``for_each_free_mem_range_reverse``: the same ranges, descending."""
        taken = self.reserved.list
        for region in reversed(self.memory.list):
            if self._skipped(region, nid):
                continue
            at = region.end
            index = bisect_left(taken, at, key=BASE) - 1
            while index >= 0 and taken[index].end > region.base:
                if taken[index].end < at:
                    yield taken[index].end, at
                at = taken[index].base
                index -= 1
            if at > region.base:
                yield region.base, at

    def for_each_mem_range(self) -> Iterator[tuple[int, int]]:
        """``for_each_mem_range``: [start, end) of every memory region but NOMAP, ascending."""
        for region in list(self.memory.list):
            if not region.flags & Flags.NOMAP:
                yield region.base, region.end

    def mem_pfn_ranges(self, nid: int = NO_NODE) -> Iterator[tuple[int, int, int]]:
        """``for_each_mem_pfn_range``: (first page, page behind, node) of every memory region.

        Whole pages only, NOMAP included, ascending; of one node, or of all. Without NUMA all
        memory is node 0's.
        """
        for region in list(self.memory.list):
            first, behind = -(-region.base // self.page_size), region.end // self.page_size
            node = region.nid if self.numa else 0
            if first < behind and (not is_node(nid) or nid == node):
                yield first, behind, node

    def start_of_dram(self) -> int:
        """``memblock_start_of_DRAM``: the lowest address of memory, NOMAP or not; 0 without any."""
        return self.memory.list[0].base if self.memory.list else 0

    def end_of_dram(self) -> int:
        """``memblock_end_of_DRAM``: the address behind the last region; 0 without any."""
        return self.memory.list[-1].end if self.memory.list else 0

    def phys_mem_size(self) -> int:
        """``memblock_phys_mem_size``: bytes in all memory regions."""
        return self.memory.total_size()

    def is_memory(self, address: int) -> bool:
        """``memblock_is_memory``."""
        return self.memory.find(address) is not None

    def is_map_memory(self, address: int) -> bool:
        """``memblock_is_map_memory``: memory, and not NOMAP."""
        region = self.memory.find(address)
        return region is not None and not region.flags & Flags.NOMAP

    def is_region_memory(self, base: int, size: int) -> bool:
        """``memblock_is_region_memory``: one memory region holds the whole range."""
        region = self.memory.find(base)
        return region is not None and region.end >= base + self.memory.cap(base, size)

    def is_region_reserved(self, base: int, size: int) -> bool:
        """``memblock_is_region_reserved``: some byte of the range is reserved."""
        return self.reserved.overlaps(base, size)

    def _skipped(self, region: Region, nid: int) -> bool:
        return bool(
            (self.numa and is_node(nid) and nid != region.nid)
            or region.flags & (Flags.NOMAP | Flags.DRIVER_MANAGED)
            or (self.movable_node and region.flags & Flags.HOTPLUG)
        )

    def pa(self, address: int) -> str:
        """An address as the kernel prints a phys_addr_t (%pa)."""
        return f"{address:#0{2 + self.phys_bits // 4}x}"

    def _note(self, kind: str, base: int, size: int, function: str, detail: str = "") -> None:
        end = (base + size - 1) & self.address_max
        self.log.add(kind, base, end, function, detail)


def _clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
