"""What memblock does when one of its arrays is full (mm/memblock.c: memblock_double_array)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.regions import BootPanic, Regions

if TYPE_CHECKING:
    from ttbr.boot.memblock import Memblock

REGION_SIZES = {32: 12, 64: 24}
"""sizeof(struct memblock_region) by the width of phys_addr_t; the 32-bit one has no node."""
DOUBLE_ARRAY = "memblock_double_array"


class ArrayGrowth:
    """The growing of memblock's two arrays, out of the memory that they describe.

    Args:
        memblock: whose arrays they are.
        full_panics: the release has ``memblock_full_panics``.
    """

    def __init__(self, memblock: Memblock, full_panics: bool) -> None:
        self.allowed = False
        """Whether full arrays grow (memblock_can_resize)."""
        self.dropped: list[tuple[str, int, int]] = []
        """(array, base, bytes) of ranges that found no room in a full array, without a word."""
        self._memblock = memblock
        self._full_panics = full_panics
        self._moved: dict[str, int] = {}  # array → where it is now, once it left the image

    def allow(self) -> None:
        """``memblock_allow_resize``: from here on full arrays grow."""
        self.allowed = True

    def double(self, regions: Regions, base: int, size: int) -> bool:
        """``memblock_double_array``: a new array of twice the capacity, out of free RAM.

        [base, base + size) is about to be reserved, and must stay free. False if there is no RAM.
        """
        block, log = self._memblock, self._memblock.log
        name, capacity = regions.name, regions.capacity
        if not self.allowed:
            if self._full_panics:
                raise BootPanic(
                    f"the kernel panics: 'memblock: cannot resize {name} array' "
                    f"(more than {capacity} separate ranges)"
                )
            self.dropped.append((name, base, size))
            return False
        entry = REGION_SIZES[block.phys_bits]
        old, new = (
            -(-entry * n // block.page_size) * block.page_size for n in (capacity, 2 * capacity)
        )
        if regions is not block.reserved:
            base = size = 0
        limit = block.current_limit
        found = block.find_in_range(new, block.page_size, base + size, limit)
        if not found and size:
            found = block.find_in_range(new, block.page_size, 0, min(base, limit))
        if not found:
            log.say(
                f"memblock: Failed to double {name} array from {capacity} to "
                f"{2 * capacity} entries !"
            )
            return False
        if log.printing:
            end = found + 2 * entry * capacity - 1
            span = f"[{block.pa(found)}-{block.pa(end)}]"
            log.say(f"memblock: {name} is doubled to {2 * capacity} at {span}")
        regions.capacity *= 2
        before = self._moved.get(name)
        self._moved[name] = found
        if before is not None:
            block.free(before, old, DOUBLE_ARRAY)
        block.reserve(found, new, DOUBLE_ARRAY)
        return True
