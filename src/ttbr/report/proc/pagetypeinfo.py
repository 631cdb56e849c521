"""/proc/pagetypeinfo: free blocks by migrate type, and page blocks by theirs.

Source: mm/vmstat.c: pagetypeinfo_show, pagetypeinfo_showfree_print,
pagetypeinfo_showblockcount_print.
"""

from __future__ import annotations

from ttbr.boot.free_area import CMA, ISOLATE, MIGRATE_TYPES
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.zone import RunZone

MOST_COUNTED = 100000
"""The kernel stops counting the blocks of a list there."""


def pagetypeinfo(pages: PageAllocator) -> list[str]:
    """The lines, node by node; zones without memory have none."""
    config = pages.machine.kernel.config
    kinds = [
        kind
        for kind in range(len(MIGRATE_TYPES))
        if (kind != CMA or config.enabled("CMA"))
        and (kind != ISOLATE or config.enabled("MEMORY_ISOLATION"))
    ]
    populated = [zone for zone in pages.zones if zone.present]
    lines = []
    for node in dict.fromkeys(zone.node for zone in populated):
        lines += _node(pages, [zone for zone in populated if zone.node == node], kinds)
    return lines


def _node(pages: PageAllocator, zones: list[RunZone], kinds: list[int]) -> list[str]:
    order = zones[0].pageblock_order
    orders = range(pages.max_order + 1)
    lines = [f"Page block order: {order}", f"Pages per block:  {1 << order}", ""]
    head = "Free pages count per migrate type at order"
    lines.append(f"{head:<43} " + "".join(f"{each:6} " for each in orders))
    for zone in zones:
        for kind in kinds:
            counts = [zone.area.blocks(each, kind) for each in orders]
            lines.append(
                f"Node {zone.node:4}, zone {zone.name:>8}, type {MIGRATE_TYPES[kind]:>12} "
                + "".join(_count(count) for count in counts)
            )
    names = "".join(f"{MIGRATE_TYPES[kind]:>12} " for kind in kinds)
    lines += ["", f"{'Number of blocks type ':<23}{names}"]
    for zone in zones:
        blocks = zone.page_blocks(pages.ranges_of(zone))
        lines.append(
            f"Node {zone.node}, zone {zone.name:>8} "
            + "".join(f"{blocks[kind]:12} " for kind in kinds)
        )
    return lines


def _count(count: int) -> str:
    return f">{MOST_COUNTED:6} " if count >= MOST_COUNTED else f"{count:6} "
