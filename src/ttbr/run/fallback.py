"""Pages of another type, where the lists of the right one are empty.

Source: mm/page_alloc.c: __rmqueue, find_suitable_fallback, can_steal_fallback, __rmqueue_claim,
try_to_steal_block, __rmqueue_steal (6.1: __rmqueue_fallback, steal_suitable_fallback).
"""

from __future__ import annotations

from ttbr.boot.free_area import CMA, HIGHATOMIC, MOVABLE, RECLAIMABLE, UNMOVABLE
from ttbr.run.alloc_flags import CMA_ALLOWED, NOFRAGMENT
from ttbr.run.zone import RunZone

FALLBACKS = {
    UNMOVABLE: (RECLAIMABLE, MOVABLE),
    MOVABLE: (RECLAIMABLE, UNMOVABLE),
    RECLAIMABLE: (UNMOVABLE, MOVABLE),
}
"""The types to try, in order (fallbacks)."""


def rmqueue_types(zone: RunZone, order: int, kind: int, flags: int) -> int | None:
    """``__rmqueue``: a block of the type, of a contiguous area, or of another type."""
    if zone.prefers_cma(flags):
        pfn = zone.rmqueue_smallest(order, CMA)
        if pfn is not None:
            return pfn
    pfn = zone.rmqueue_smallest(order, kind)
    if pfn is None and flags & CMA_ALLOWED:
        pfn = zone.rmqueue_smallest(order, CMA)
    if pfn is not None:
        return pfn
    if not zone.claims:
        moved = _move_to_own_lists(zone, order, kind, flags)
        return zone.rmqueue_smallest(order, kind) if moved else None
    pfn = _claim(zone, order, kind, flags)
    if pfn is None and not flags & NOFRAGMENT:
        pfn = _steal(zone, order, kind)
    return pfn


def _suitable(zone: RunZone, order: int, kind: int) -> int | None:
    """``find_suitable_fallback``: the first other type that has a block of exactly the order."""
    return next((other for other in FALLBACKS[kind] if zone.area.blocks(order, other)), None)


def _may_claim(zone: RunZone, order: int, kind: int) -> bool:
    """``can_steal_fallback``: whether the whole page block of a block of the order may be taken.

    Movable pages do no lasting harm elsewhere, so they do not take small blocks' page blocks.
    """
    return kind != MOVABLE or order >= zone.pageblock_order // 2 or not zone.rules.grouping


def _least_order(zone: RunZone, order: int, flags: int) -> int:
    """Where types must not mix, nothing less than a page block is taken from another."""
    return max(order, zone.pageblock_order) if flags & NOFRAGMENT else order


def _claim(zone: RunZone, order: int, kind: int, flags: int) -> int | None:
    """``__rmqueue_claim``: turn a page block to the type, with the largest free block first."""
    for current in range(zone.area.max_order, _least_order(zone, order, flags) - 1, -1):
        other = _suitable(zone, current, kind)
        if other is None:
            continue
        if not _may_claim(zone, current, kind):
            break
        pfn = zone.area.head(current, other)
        if current >= zone.pageblock_order:
            zone.area.pop(current, other)
            zone.set_block_type(pfn, kind, current)
            zone.expand(pfn, order, current, kind)
            return pfn
        if _claim_page_block(zone, pfn, kind):
            return zone.rmqueue_smallest(order, kind)
    return None


def _claim_page_block(zone: RunZone, pfn: int, kind: int) -> bool:
    """``try_to_steal_block``: only where half of the page block is free or of the type anyway."""
    bounds = page_block(zone, pfn)
    if zone.block_type(pfn) == HIGHATOMIC or bounds is None:
        return False
    free = free_blocks(zone, *bounds)
    if not _enough(zone, kind, zone.block_type(pfn), bounds, free):
        return False
    move_free_blocks(zone, free, kind)
    zone.set_block_type(pfn, kind)
    return True


def _enough(
    zone: RunZone, kind: int, block_type: int, bounds: tuple[int, int], free: list[tuple[int, int]]
) -> bool:
    """Whether half of a page block is free or used in a way that suits the type."""
    pages = 1 << zone.pageblock_order
    free_pages = sum(1 << order for _, order in free)
    movable = zone.frames.movable(*bounds)
    alike = 0
    if kind == MOVABLE:
        alike = movable
    elif block_type == MOVABLE:
        alike = pages - free_pages - movable
    return free_pages + alike >= pages // 2 or not zone.rules.grouping


def _steal(zone: RunZone, order: int, kind: int) -> int | None:
    """``__rmqueue_steal``: the smallest block that another type has; its page block stays."""
    for current in range(order, zone.area.max_order + 1):
        other = _suitable(zone, current, kind)
        if other is not None:
            pfn = zone.area.pop(current, other)
            zone.expand(pfn, order, current, other)
            return pfn
    return None


def _move_to_own_lists(zone: RunZone, order: int, kind: int, flags: int) -> bool:
    """``__rmqueue_fallback`` of 6.1: False if no other type has a block that is large enough."""
    for current in range(zone.area.max_order, _least_order(zone, order, flags) - 1, -1):
        if _suitable(zone, current, kind) is None:
            continue
        found = current
        if not _may_claim(zone, current, kind):
            # The smallest: a movable page does no lasting harm where it does not belong.
            orders = range(order, current + 1)
            found = next(each for each in orders if _suitable(zone, each, kind) is not None)
        _steal_suitable(zone, found, kind)
        return True
    return False


def _steal_suitable(zone: RunZone, order: int, kind: int) -> None:
    """``steal_suitable_fallback``: move a block, or all of its page block, to the type's lists."""
    area, other = zone.area, _suitable(zone, order, kind)
    assert other is not None
    pfn = area.head(order, other)
    block_type = zone.block_type(pfn)
    if block_type != HIGHATOMIC:
        if order >= zone.pageblock_order:
            zone.set_block_type(pfn, kind, order)
        elif _may_claim(zone, order, kind) and (bounds := page_block(zone, pfn)) is not None:
            free = free_blocks(zone, *bounds)
            move_free_blocks(zone, free, kind)
            if _enough(zone, kind, block_type, bounds, free):
                zone.set_block_type(pfn, kind)
            return
    area.pop(order, other)
    area.add(pfn, order, kind, to_tail=True)


def page_block(zone: RunZone, pfn: int) -> tuple[int, int] | None:
    """A free frame's page block, first frame and the one behind it; None if it leaves the zone.

    Where lists need not follow page blocks, it may begin in another zone: then the part from the
    frame on counts (move_freepages_block of 6.1).
    """
    start = pfn >> zone.pageblock_order << zone.pageblock_order
    end = start + (1 << zone.pageblock_order)
    if end > zone.end:
        return None
    if start < zone.start:
        return None if zone.rules.by_page_blocks else (pfn, end)
    return start, end


def free_blocks(zone: RunZone, start: int, end: int) -> list[tuple[int, int]]:
    """(first frame, order) of the free blocks that begin in a range, within page blocks."""
    place = zone.area.place
    found, pfn = [], start
    while pfn < end:
        block = place.get(pfn)
        if block is None:
            pfn += 1
        else:
            found.append((pfn, block[0]))
            pfn += 1 << block[0]
    return found


def move_free_blocks(zone: RunZone, blocks: list[tuple[int, int]], kind: int) -> None:
    """``move_to_free_list``: put blocks at the tails of a type's lists."""
    for pfn, order in blocks:
        zone.area.remove(pfn)
        zone.area.add(pfn, order, kind, to_tail=True)
