"""A zone at run time: its free blocks are split for allocations and merged again.

Source: mm/page_alloc.c: __rmqueue_smallest, expand, __free_one_page, buddy_merge_likely.
"""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.run.free_area import MOVABLE, UNMOVABLE, FreeArea


class RunZone:
    """A zone of a node and its buddy allocator. Page frame numbers and pages throughout.

    ``index``: its place among the kernel's zones. ``pageblock_order``: log2 of the pages of a page
    block. ``free``: pages on its lists. ``managed``: pages that the allocator has, free or not.
    """

    def __init__(
        self,
        node: int,
        name: str,
        index: int,
        *,
        start: int,
        spanned: int,
        present: int,
        max_order: int,
        pageblock_order: int,
    ) -> None:
        self.node, self.name, self.index = node, name, index
        self.start, self.spanned, self.present = start, spanned, present
        self.pageblock_order = pageblock_order
        self.area = FreeArea(max_order)
        self.free = 0
        self.managed = 0
        self._types: dict[int, int] = {}  # page block → migrate type, where that is not movable

    @property
    def end(self) -> int:
        """The frame behind the zone's last."""
        return self.start + self.spanned

    def block_type(self, pfn: int) -> int:
        """``get_pageblock_migratetype``: the migrate type of the page block of a frame."""
        return self._types.get(pfn >> self.pageblock_order, MOVABLE)

    def set_block_type(self, pfn: int, kind: int) -> None:
        """``set_pageblock_migratetype``."""
        block = pfn >> self.pageblock_order
        if kind == MOVABLE:
            self._types.pop(block, None)
        else:
            self._types[block] = kind

    def seed(self, blocks: Iterable[tuple[int, int, int]]) -> None:
        """Take over free blocks: (order, migrate type, first frame), from head to tail."""
        for order, kind, pfn in blocks:
            self.area.add(pfn, order, kind, to_tail=True)
            self.free += 1 << order

    def free_one(self, pfn: int, order: int, *, to_tail: bool = False) -> None:
        """``__free_one_page``: merge with the buddy as long as that one is free and whole."""
        area, kind = self.area, self.block_type(pfn)
        self.free += 1 << order
        while order < area.max_order:
            buddy = pfn ^ 1 << order
            found = area.find(buddy)
            if found is None or found[0] != order:
                break
            area.remove(buddy)
            pfn &= ~(1 << order)
            order += 1
        tail = to_tail or self._merge_likely(pfn, order)
        area.add(pfn, order, kind, to_tail=tail)

    def _merge_likely(self, pfn: int, order: int) -> bool:
        """``buddy_merge_likely``: the block one order up has a free buddy."""
        if order >= self.area.max_order - 1:
            return False
        higher = pfn & ~(1 << order)
        found = self.area.find(higher ^ 1 << (order + 1))
        return found is not None and found[0] == order + 1

    def rmqueue_smallest(self, order: int, kind: int) -> int | None:
        """``__rmqueue_smallest``: the smallest block of the type that is large enough, split."""
        lists = self.area.lists
        for current in range(order, self.area.max_order + 1):
            if lists[current][kind]:
                pfn = self.area.pop(current, kind)
                self.expand(pfn, order, current, kind)
                self.free -= 1 << order
                return pfn
        return None

    def expand(self, pfn: int, low: int, high: int, kind: int) -> None:
        """``expand``: give back what is not needed of a block, halving it."""
        while high > low:
            high -= 1
            self.area.add(pfn + (1 << high), high, kind)

    def rmqueue(self, order: int, kind: int) -> int | None:
        """``__rmqueue``: a block of the type, or of another if there is none."""
        for other in dict.fromkeys((kind, MOVABLE, UNMOVABLE)):
            found = self.rmqueue_smallest(order, other)
            if found is not None:
                return found
        return None
