"""The free lists of a zone: blocks by order and migrate type, each list with a head and a tail.

Source: mm/page_alloc.c: add_to_free_list, del_page_from_free_list, move_to_free_list.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, CMA, ISOLATE = range(6)
"""enum migratetype of a kernel with CONFIG_CMA and CONFIG_MEMORY_ISOLATION."""
MIGRATE_TYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")


class FreeArea:
    """The free blocks of a zone, by first page frame.

    ``nr_free``: blocks by order. ``lists[order][type]``: from head to tail.
    """

    __slots__ = ("_place", "lists", "max_order", "nr_free")

    def __init__(self, max_order: int) -> None:
        self.max_order = max_order
        self.lists: list[list[OrderedDict[int, None]]] = [
            [OrderedDict() for _ in MIGRATE_TYPES] for _ in range(max_order + 1)
        ]
        self.nr_free = [0] * (max_order + 1)
        self._place: dict[int, tuple[int, int]] = {}  # first frame → order, migrate type

    def find(self, pfn: int) -> tuple[int, int] | None:
        """(order, migrate type) of the free block that begins at ``pfn``; None if none does."""
        return self._place.get(pfn)

    def add(self, pfn: int, order: int, kind: int, *, to_tail: bool = False) -> None:
        """Put a block at the head of its list, or at the tail."""
        blocks = self.lists[order][kind]
        blocks[pfn] = None
        if not to_tail:
            blocks.move_to_end(pfn, last=False)
        self._place[pfn] = order, kind
        self.nr_free[order] += 1

    def remove(self, pfn: int) -> tuple[int, int]:
        """Take a block off its list; returns its order and migrate type."""
        order, kind = self._place.pop(pfn)
        del self.lists[order][kind][pfn]
        self.nr_free[order] -= 1
        return order, kind

    def pop(self, order: int, kind: int) -> int:
        """Take the block at the head of a list, which must have one."""
        pfn, _ = self.lists[order][kind].popitem(last=False)
        del self._place[pfn]
        self.nr_free[order] -= 1
        return pfn

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """(order, migrate type, first frame) of all blocks, list by list from head to tail."""
        for order, lists in enumerate(self.lists):
            for kind, blocks in enumerate(lists):
                for pfn in blocks:
                    yield order, kind, pfn
