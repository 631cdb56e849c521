"""Page blocks that are kept for high-order atomic allocations.

Source: mm/page_alloc.c: reserve_highatomic_pageblock, unreserve_highatomic_pageblock.
"""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.buddy import MERGEABLE
from ttbr.boot.free_area import HIGHATOMIC
from ttbr.run.fallback import free_blocks, move_free_blocks, page_block
from ttbr.run.zone import RunZone


def reserve(zone: RunZone, pfn: int, order: int) -> None:
    """Keep the page block of what was just given out, up to about 1% of the zone."""
    pages = 1 << zone.pageblock_order
    share, most = zone.managed // 100, zone.managed // 100 + pages
    if zone.counts_free_highatomic:
        if share < pages:
            return
        most = -(-share // pages) * pages
    if zone.highatomic >= most or zone.block_type(pfn) not in MERGEABLE:
        return
    if order >= zone.pageblock_order and zone.counts_free_highatomic:
        zone.set_block_type(pfn, HIGHATOMIC, order)
        zone.highatomic += 1 << order
    elif _turn(zone, pfn, HIGHATOMIC) or not zone.counts_free_highatomic:
        zone.set_block_type(pfn, HIGHATOMIC)
        zone.highatomic += pages


def unreserve(zones: Iterable[RunZone], kind: int) -> bool:
    """Give one page block back to a type when memory has run out; False if there is none."""
    for zone in zones:
        for order in range(zone.area.max_order + 1):
            if not zone.area.blocks(order, HIGHATOMIC):
                continue
            pfn = zone.area.head(order, HIGHATOMIC)
            large = order if zone.counts_free_highatomic else 0
            zone.highatomic -= min(1 << max(large, zone.pageblock_order), zone.highatomic)
            if order >= zone.pageblock_order:
                zone.area.pop(order, HIGHATOMIC)
                zone.area.add(pfn, order, kind, to_tail=True)
            elif not _turn(zone, pfn, kind):
                continue
            zone.set_block_type(pfn, kind, large)
            return True
    return False


def _turn(zone: RunZone, pfn: int, kind: int) -> bool:
    """``move_freepages_block``: its free pages; False if the page block leaves the zone."""
    bounds = page_block(zone, pfn)
    if bounds is None:
        return False
    move_free_blocks(zone, free_blocks(zone, *bounds), kind)
    return True
