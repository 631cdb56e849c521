"""The arrays of memblock: sorted regions with flags (mm/memblock.c: struct memblock_type)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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


@dataclass(slots=True)
class Region:
    """A range ``[base, end)`` of one of the two arrays."""

    base: int
    end: int
    flags: Flags = Flags.NONE

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.base


BASE = attrgetter("base")
END = attrgetter("end")


class Regions:
    """One array of memblock: sorted regions that do not overlap; see the kernel's memblock_type."""

    def __init__(
        self, name: str, address_max: int, capacity: int, merge_near: bool, full_panics: bool
    ) -> None:
        self.name = name
        self.list: list[Region] = []
        self._address_max = address_max
        self._capacity = capacity
        self._merge_near = merge_near
        self._full_panics = full_panics

    def cap(self, base: int, size: int) -> int:
        """The size, less what would lie behind the last address (memblock_cap_size)."""
        return min(size, self._address_max - base)

    def total_size(self) -> int:
        """Bytes in all regions."""
        return sum(region.size for region in self.list)

    def add(self, base: int, size: int, flags: Flags = Flags.NONE) -> bool:
        """Insert what of a range is not covered yet (memblock_add_range); False if full."""
        size = self.cap(base, size)
        if not size:
            return True
        end = base + size
        regions = self.list
        # Everything from the first region that ends behind base to the last that begins before end.
        low = bisect_right(regions, base, key=END)
        high = bisect_left(regions, end, low, key=BASE)
        pieces: list[Region] = []
        fresh: list[int] = []  # where the new ones are in pieces
        at = base
        for region in regions[low:high]:
            if region.base > at:
                fresh.append(len(pieces))
                pieces.append(Region(at, region.base, flags))
            pieces.append(region)
            at = min(region.end, end)
        if at < end:
            fresh.append(len(pieces))
            pieces.append(Region(at, end, flags))
        if not fresh:
            return True
        # The first region of an empty array, and any that surely fits, is put in unchecked.
        if len(regions) * 2 + 1 >= self._capacity and not self._room(len(fresh)):
            return False
        regions[low:high] = pieces
        self._merge(low + fresh[0], low + fresh[-1] + 1)
        return True

    def isolate(self, base: int, size: int) -> tuple[int, int] | None:
        """Split regions at both ends of a range (memblock_isolate_range).

        Returns the indices of the first region inside it and of the first behind it, (0, 0) if
        none is inside, or None if there was no room to split.
        """
        size = self.cap(base, size)
        if not size:
            return 0, 0
        if not self._room(2):
            return None
        end = base + size
        for edge in (base, end):
            index = bisect_right(self.list, edge, key=END)
            if index < len(self.list) and self.list[index].base < edge:
                upper = self.list[index]
                self.list.insert(index, Region(upper.base, edge, upper.flags))
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

    def _room(self, more: int) -> bool:
        if len(self.list) + more <= self._capacity:
            return True
        if self._full_panics:
            raise BootPanic(
                f"the kernel panics: 'memblock: cannot resize {self.name} array' "
                f"(more than {self._capacity} separate ranges)"
            )
        return False

    def _merge(self, first: int, behind: int) -> None:
        """Join equal neighbours (memblock_merge_regions), near the given indices or everywhere."""
        regions = self.list
        index = max(first - 1, 0) if self._merge_near else 0
        stop = min(behind, len(regions) - 1) if self._merge_near else len(regions) - 1
        while index < stop:
            this, after = regions[index], regions[index + 1]
            if this.end == after.base and this.flags == after.flags:
                this.end = after.end
                del regions[index + 1]
                stop -= 1
            else:
                index += 1
