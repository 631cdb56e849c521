"""The buddies of a zone: freed blocks merge, and lie on the lists of their page block's type.

Source: mm/page_alloc.c: __free_one_page, buddy_merge_likely, split_large_buddy. Page frame numbers
throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.free_area import MIGRATE_TYPES, MOVABLE, RECLAIMABLE, UNMOVABLE, FreeArea
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.pageblock import max_page_order, pageblock_bytes

MERGEABLE = (UNMOVABLE, MOVABLE, RECLAIMABLE)
"""migratetype_is_mergeable(): page blocks of other types stay apart."""


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
        """The blocks of one order of a zone, type by type from head to tail."""
        index = self.zones.index((node, zone))
        chosen: NDArray[np.uint64] = self.pfn[(self.zone == index) & (self.order == order)]
        return chosen

    def lists(self, zone: int) -> Iterator[tuple[int, int, NDArray[np.uint64]]]:
        """(order, migrate type, blocks from head to tail) of each list of a zone, by its index."""
        mine = self.zone == zone
        pfn, order, kinds = self.pfn[mine], self.order[mine], self.migratetype[mine]
        for each in np.unique(order).tolist():
            for kind in np.unique(kinds[order == each]).tolist():
                yield each, kind, pfn[(order == each) & (kinds == kind)]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a kernel's buddies are.

    ``max_order``: of the largest blocks. ``pageblock_order``: log2 of the pages in a page block.
    ``by_page_blocks``: a block is freed by page blocks, each as its own type says, and those that
    merge get one type. ``grouping``: pages are grouped by mobility; without it page blocks only
    ever become unmovable.
    """

    max_order: int
    pageblock_order: int
    by_page_blocks: bool = False
    grouping: bool = True

    @classmethod
    def of(cls, kernel: Kernel, *, grouping: bool) -> Rules:
        """The rules of a kernel, on a machine that has memory enough for grouping, or not."""
        pages = pageblock_bytes(kernel) // kernel.page_size
        by_page_blocks = kernel.release.has("free_by_page_blocks")
        return cls(max_page_order(kernel), pages.bit_length() - 1, by_page_blocks, grouping)


class Buddies:
    """The free blocks of a zone, and the types of its page blocks. ``area``: the lists."""

    def __init__(self, rules: Rules, unmovable: Iterable[int] = ()) -> None:
        """`unmovable`: first frames of the page blocks that never became movable."""
        self.rules = rules
        self.area = FreeArea(rules.max_order)
        self.pageblock_order = rules.pageblock_order
        # Page block → type, where that is not movable.
        self._types = {pfn >> rules.pageblock_order: UNMOVABLE for pfn in unmovable}

    @property
    def pages(self) -> int:
        """Free pages."""
        return sum(self.area.pages)

    @property
    def unmovable(self) -> frozenset[int]:
        """First frames of the page blocks that are unmovable."""
        shift = self.pageblock_order
        return frozenset(b << shift for b, kind in self._types.items() if kind == UNMOVABLE)

    def block_type(self, pfn: int) -> int:
        """``get_pageblock_migratetype``: the type of the page block of a frame."""
        return self._types.get(pfn >> self.pageblock_order, MOVABLE)

    def set_block_type(self, pfn: int, kind: int, order: int = 0) -> None:
        """``change_pageblock_range``: the type of all page blocks of a block."""
        if not self.rules.grouping and kind in MERGEABLE:
            kind = UNMOVABLE
        first = pfn >> self.pageblock_order
        for block in range(first, first + max(1, 1 << order >> self.pageblock_order)):
            if kind == MOVABLE:
                self._types.pop(block, None)
            else:
                self._types[block] = kind

    def free_range(self, start: int, end: int, *, to_tail: bool) -> None:
        """Free [start, end), in the largest blocks that alignment allows, ascending.

        ``to_tail``: as memory from memblock goes in. Without it the pages count as freed one by
        one: a block then goes to the head of its list, but to the tail if it is likely to merge.
        """
        at = start
        largest = self.area.max_order if to_tail else min(self.area.max_order, self.pageblock_order)
        while at < end:
            order = min(largest, (at & -at).bit_length() - 1) if at else largest
            while at + (1 << order) > end:
                order -= 1
            count = 1
            if to_tail and order == largest:
                count = (end - at) >> largest
                if any(at <= block << self.pageblock_order < end for block in self._types):
                    count = 1
            if count > 1:
                self.area.add_largest(at, count, MOVABLE)
            else:
                self.free_block(at, order, to_tail=to_tail)
            at += count << order

    def free_block(self, pfn: int, order: int, *, to_tail: bool = False) -> None:
        """``free_one_page``: a block, page block by page block where the rules say so."""
        if not self.rules.by_page_blocks or order <= self.pageblock_order:
            self._free_one(pfn, order, to_tail)
            return
        for first in range(pfn, pfn + (1 << order), 1 << self.pageblock_order):
            self._free_one(first, self.pageblock_order, to_tail)

    def _free_one(self, pfn: int, order: int, to_tail: bool) -> None:
        """``__free_one_page``: merge with the buddy as long as that one is free and whole.

        The block goes to the lists of the type that the page block of the freed page has.
        """
        area = self.area
        kind = self.block_type(pfn)
        while order < area.max_order:
            buddy = pfn ^ 1 << order
            found = area.place.get(buddy)
            if found is None or found[0] != order:
                break
            if order >= self.pageblock_order:
                other = self.block_type(buddy)
                if other != kind:
                    if kind not in MERGEABLE or other not in MERGEABLE:
                        break
                    if self.rules.by_page_blocks:
                        self.set_block_type(buddy, kind, order)
            area.remove(buddy)
            pfn &= ~(1 << order)
            order += 1
        area.add(pfn, order, kind, to_tail=to_tail or self._merge_likely(pfn, order))

    def _merge_likely(self, pfn: int, order: int) -> bool:
        """``buddy_merge_likely``: the block one order up has a free buddy."""
        if order >= self.area.max_order - 1:
            return False
        higher = pfn & ~(1 << order)
        found = self.area.place.get(higher ^ 1 << (order + 1))
        return found is not None and found[0] == order + 1


def columns(zones: list[tuple[int, str, Buddies]]) -> FreeBlocks:
    """The lists of (node, name of the zone, buddies) as columns."""
    rows = [
        (index, order, kind, buddies.area.array(order, kind))
        for index, (_, _, buddies) in enumerate(zones)
        for order in range(buddies.area.max_order + 1)
        for kind in range(len(MIGRATE_TYPES))
    ]
    counts = [len(blocks) for *_, blocks in rows]
    return FreeBlocks(
        pfn=np.concatenate([blocks for *_, blocks in rows]),
        order=np.repeat(np.array([order for _, order, _, _ in rows], np.uint8), counts),
        zone=np.repeat(np.array([zone for zone, _, _, _ in rows], np.uint16), counts),
        migratetype=np.repeat(np.array([kind for _, _, kind, _ in rows], np.uint8), counts),
        zones=tuple((node, name) for node, name, _ in zones),
    )
