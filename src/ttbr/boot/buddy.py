"""The page allocator's free lists as memblock leaves them: blocks by zone and order.

Source: mm/page_alloc.c: __free_one_page, buddy_merge_likely. Page frame numbers throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.zones import Zone

UNMOVABLE, MOVABLE = 0, 1
"""MIGRATE_UNMOVABLE and MIGRATE_MOVABLE: the types that page blocks have at the hand-over."""


@dataclass(frozen=True)
class FreeBlocks:
    """All free blocks, as columns: list by list, each from its head to its tail.

    ``pfn``: first page frame. ``order``: log2 of the pages. ``zone``: index into ``zones``, which
    has (node, name). ``migratetype``: the list that the block is on.
    """

    pfn: NDArray[np.uint64]
    order: NDArray[np.uint8]
    zone: NDArray[np.uint16]
    migratetype: NDArray[np.uint8]
    zones: tuple[tuple[int, str], ...]

    @property
    def pages(self) -> int:
        """Free pages in all blocks."""
        return int((np.uint64(1) << self.order.astype(np.uint64)).sum())

    def of(self, node: int, zone: str, order: int) -> NDArray[np.uint64]:
        """The blocks of one list, from head to tail."""
        index = self.zones.index((node, zone))
        chosen: NDArray[np.uint64] = self.pfn[(self.zone == index) & (self.order == order)]
        return chosen


@dataclass
class ZoneLists:
    """The free lists of a zone while they are filled: by order, each block's place in its list.

    Places grow towards the tail; the head gets ever smaller ones. ``pageblock``: pages in a page
    block. ``unmovable``: first frames of those page blocks that never became movable.
    """

    zone: Zone
    max_order: int
    pageblock: int = 1
    unmovable: frozenset[int] = frozenset()
    lists: list[dict[int, int]] = field(init=False)
    kinds: list[dict[int, int]] = field(init=False)
    _tail: int = 0
    _head: int = 0

    def __post_init__(self) -> None:
        self.lists = [{} for _ in range(self.max_order + 1)]
        self.kinds = [{} for _ in range(self.max_order + 1)]

    def free_range(self, start: int, end: int, *, to_tail: bool) -> None:
        """Free [start, end), in the largest blocks that alignment allows, ascending.

        ``to_tail``: as memory from memblock goes in. Without it the pages count as freed one by
        one: a block then goes to the head of its list, but to the tail if it is likely to merge.
        """
        at = start
        while at < end:
            order = min(self.max_order, (at & -at).bit_length() - 1) if at else self.max_order
            while at + (1 << order) > end:
                order -= 1
            self._free_one(at, order, to_tail=to_tail)
            at += 1 << order

    def _free_one(self, pfn: int, order: int, *, to_tail: bool) -> None:
        """__free_one_page(): merge with the buddy as long as that one is free and whole.

        The block goes to the lists of the type that the page block of the freed page has.
        """
        kind = UNMOVABLE if pfn // self.pageblock * self.pageblock in self.unmovable else MOVABLE
        while order < self.max_order and (pfn ^ 1 << order) in self.lists[order]:
            del self.lists[order][pfn ^ 1 << order]
            pfn &= ~(1 << order)
            order += 1
        if to_tail or self._merge_likely(pfn, order):
            self._tail += 1
            self.lists[order][pfn] = self._tail
        else:
            self._head -= 1
            self.lists[order][pfn] = self._head
        self.kinds[order][pfn] = kind

    def _merge_likely(self, pfn: int, order: int) -> bool:
        """buddy_merge_likely(): the block one order up has a free buddy."""
        if order >= self.max_order - 1:
            return False
        higher = pfn & ~(1 << order)
        return higher ^ 1 << (order + 1) in self.lists[order + 1]

    @property
    def pages(self) -> int:
        """Free pages."""
        return sum(len(blocks) << order for order, blocks in enumerate(self.lists))


def columns(lists: list[tuple[int, ZoneLists]]) -> FreeBlocks:
    """The lists of (node, zone) as columns."""
    rows = list(_rows(lists))
    counts = [len(blocks) for *_, blocks in rows]
    return FreeBlocks(
        pfn=np.array([pfn for *_, blocks in rows for pfn in blocks], np.uint64),
        order=np.repeat(np.array([order for _, order, _, _ in rows], np.uint8), counts),
        zone=np.repeat(np.array([zone for zone, _, _, _ in rows], np.uint16), counts),
        migratetype=np.repeat(np.array([kind for _, _, kind, _ in rows], np.uint8), counts),
        zones=tuple((node, found.zone.name) for node, found in lists),
    )


def _rows(lists: list[tuple[int, ZoneLists]]) -> Iterator[tuple[int, int, int, list[int]]]:
    """(index of the zone, order, migrate type, blocks from head to tail) of every list."""
    for index, (_, found) in enumerate(lists):
        for order, places in enumerate(found.lists):
            kinds = found.kinds[order]
            for kind in (UNMOVABLE, MOVABLE):
                chosen = [pfn for pfn in places if kinds[pfn] == kind]
                yield index, order, kind, sorted(chosen, key=places.__getitem__)
