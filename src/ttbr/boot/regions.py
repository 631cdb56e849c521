"""The arrays of memblock: sorted regions with flags (mm/memblock.c: struct memblock_type)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from operator import attrgetter

from ttbr.errors import TtbrError


class BootPanic(TtbrError):
    """The kernel would stop here; the text says why, with the kernel's own words in it."""


class Flags(IntFlag):
    """A region's flags (include/linux/memblock.h: enum memblock_flags)."""

    NONE = 0
    HOTPLUG = 1
    MIRROR = 2
    NOMAP = 4
    DRIVER_MANAGED = 8
    RSRV_NOINIT = 16


NO_NODE = -1
"""No node: of a request for any, and of a region that was told so (NUMA_NO_NODE)."""
UNSET_NODE = 1 << 16
"""The node of a region that nobody has spoken about (MAX_NUMNODES), which keeps it apart."""


def is_node(nid: int) -> bool:
    """``numa_valid_node``: whether a number is one of a node."""
    return 0 <= nid < UNSET_NODE


@dataclass(slots=True)
class Region:
    """A range ``[base, end)`` of one of the arrays; ``nid``: its node, if `is_node`."""

    base: int
    end: int
    flags: Flags = Flags.NONE
    nid: int = UNSET_NODE

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.base


BASE = attrgetter("base")
END = attrgetter("end")


class Regions:
    """One array of memblock: sorted regions that do not overlap; see the kernel's memblock_type.

    Args:
        name: ``memory`` or ``reserved``.
        address_max: the largest physical address.
        capacity: regions that there is room for.
        merge_near: neighbours are merged near a change only, not everywhere.
        grow: called with this array and the range (base, size) that is about to go into it when
            there is no room; doubles ``capacity`` and returns True, or returns False.
    """

    def __init__(
        self,
        name: str,
        address_max: int,
        capacity: int,
        merge_near: bool,
        grow: Callable[[Regions, int, int], bool],
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.list: list[Region] = []
        self._address_max = address_max
        self._merge_near = merge_near
        self._grow = grow

    def cap(self, base: int, size: int) -> int:
        """The size, less what would lie behind the last address (memblock_cap_size)."""
        return min(size, self._address_max - base)

    def total_size(self) -> int:
        """Bytes in all regions."""
        return sum(region.size for region in self.list)

    def add(self, base: int, size: int, flags: Flags = Flags.NONE, nid: int = UNSET_NODE) -> bool:
        """Insert what of a range is not covered yet (memblock_add_range); False if full."""
        size = self.cap(base, size)
        if not size:
            return True
        low, high, pieces, fresh = self._with(base, base + size, flags, nid)
        if not fresh:
            return True
        # The first region of an empty array, and any that surely fits, is put in unchecked.
        if len(self.list) * 2 + 1 >= self.capacity:
            if not self._room(len(fresh), base, size):
                return False
            # A new array may have been put into this one.
            low, high, pieces, fresh = self._with(base, base + size, flags, nid)
            if not fresh:
                return True
        self.list[low:high] = pieces
        self._merge(low + fresh[0], low + fresh[-1] + 1)
        return True

    def _with(
        self, base: int, end: int, flags: Flags, nid: int
    ) -> tuple[int, int, list[Region], list[int]]:
        """What becomes of the regions around [base, end): (first, behind, pieces, new ones).

        ``pieces`` are to take the place of ``list[first:behind]``; the last are indices of pieces.
        """
        # Everything from the first region that ends behind base to the last that begins before end.
        low = bisect_right(self.list, base, key=END)
        high = bisect_left(self.list, end, low, key=BASE)
        pieces: list[Region] = []
        fresh: list[int] = []
        at = base
        for region in self.list[low:high]:
            if region.base > at:
                fresh.append(len(pieces))
                pieces.append(Region(at, region.base, flags, nid))
            pieces.append(region)
            at = min(region.end, end)
        if at < end:
            fresh.append(len(pieces))
            pieces.append(Region(at, end, flags, nid))
        return low, high, pieces, fresh

    def isolate(self, base: int, size: int) -> tuple[int, int] | None:
        """Split regions at both ends of a range (memblock_isolate_range).

        Returns the indices of the first region inside it and of the first behind it, (0, 0) if
        none is inside, or None if there was no room to split.
        """
        size = self.cap(base, size)
        if not size:
            return 0, 0
        if not self._room(2, base, size):
            return None
        end = base + size
        for edge in (base, end):
            index = bisect_right(self.list, edge, key=END)
            if index < len(self.list) and self.list[index].base < edge:
                upper = self.list[index]
                self.list.insert(index, Region(upper.base, edge, upper.flags, upper.nid))
                upper.base = edge
        first = bisect_left(self.list, base, key=BASE)
        last = bisect_left(self.list, end, key=BASE)
        return (first, last) if first < last else (0, 0)

    def remove(self, base: int, size: int) -> bool:
        """Take a range out (memblock_remove_range); False if there was no room to split."""
        found = self.isolate(base, size)
        if found is None:
            return False
        del self.list[found[0] : found[1]]
        return True

    def set_flag(self, base: int, size: int, flag: Flags, value: bool) -> bool:
        """Set or clear a flag on a range (memblock_setclr_flag); False without room to split."""
        found = self.isolate(base, size)
        if found is None:
            return False
        for region in self.list[found[0] : found[1]]:
            region.flags = region.flags | flag if value else region.flags & ~flag
        self._merge(*found)
        return True

    def set_node(self, base: int, size: int, nid: int) -> bool:
        """Give a range to a node (memblock_set_node); False without room to split."""
        found = self.isolate(base, size)
        if found is None:
            return False
        for region in self.list[found[0] : found[1]]:
            region.nid = nid
        self._merge(*found)
        return True

    def find(self, address: int) -> Region | None:
        """The region that holds an address (memblock_search)."""
        index = bisect_right(self.list, address, key=END)
        if index < len(self.list) and self.list[index].base <= address:
            return self.list[index]
        return None

    def overlaps(self, base: int, size: int) -> bool:
        """Whether any region has a byte of a range (memblock_overlaps_region)."""
        end = base + self.cap(base, size)
        index = bisect_right(self.list, base, key=END)
        return index < len(self.list) and self.list[index].base < end

    def _room(self, more: int, base: int, size: int) -> bool:
        """Make room for so many more regions before [base, base + size) changes the array."""
        while len(self.list) + more > self.capacity:
            if not self._grow(self, base, size):
                return False
        return True

    def _merge(self, first: int, behind: int) -> None:
        """Join equal neighbours (memblock_merge_regions), near the given indices or everywhere."""
        regions = self.list
        index = max(first - 1, 0) if self._merge_near else 0
        stop = min(behind, len(regions) - 1) if self._merge_near else len(regions) - 1
        while index < stop:
            this, after = regions[index], regions[index + 1]
            same = this.flags == after.flags and this.nid == after.nid
            if this.end == after.base and same:
                this.end = after.end
                del regions[index + 1]
                stop -= 1
            else:
                index += 1
