"""/proc/buddyinfo: free blocks of each zone by order (mm/vmstat.c: frag_show_print)."""

from __future__ import annotations

from ttbr.boot.free_area import MIGRATE_TYPES
from ttbr.run.page_alloc import PageAllocator


def buddyinfo(pages: PageAllocator) -> list[str]:
    """The lines; zones without memory have none."""
    lines = []
    for zone in pages.zones:
        if not zone.present:
            continue
        counts = [
            sum(zone.area.blocks(order, kind) for kind in range(len(MIGRATE_TYPES)))
            for order in range(pages.max_order + 1)
        ]
        blocks = "".join(f"{count:6} " for count in counts)
        lines.append(f"Node {zone.node}, zone {zone.name:>8} {blocks}")
    return lines
