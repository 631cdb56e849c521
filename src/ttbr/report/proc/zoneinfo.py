"""/proc/zoneinfo: watermarks, sizes and counters of each zone (mm/vmstat.c: zoneinfo_show_print).

Of the counters of nodes and zones those lines are there that the model knows; there are no lists
of each CPU in it, and so no lines about them.
"""

from __future__ import annotations

from ttbr.boot.free_area import CMA
from ttbr.run.alloc_flags import WMARK_HIGH, WMARK_LOW, WMARK_MIN
from ttbr.run.kernel import RunningKernel
from ttbr.run.memory_counts import memory_counts
from ttbr.run.zone import RunZone


def zoneinfo(kernel: RunningKernel) -> list[str]:
    """The lines of all zones."""
    lines: list[str] = []
    told: set[int] = set()
    for zone in kernel.pages.zones:
        lines.append(f"Node {zone.node}, zone {zone.name:>8}")
        if zone.present and zone.node not in told:
            told.add(zone.node)
            lines += _node(kernel, zone.node)
        lines += _zone(kernel, zone)
    return lines


def _node(kernel: RunningKernel, node: int) -> list[str]:
    counts = memory_counts(kernel, node)
    figures = {
        "nr_slab_reclaimable": counts.slab_reclaimable,
        "nr_slab_unreclaimable": counts.slab_unreclaimable,
        "nr_file_pages": counts.file,
        "nr_dirty": 0,
        "nr_writeback": 0,
        "nr_writeback_temp": 0,
    }
    return ["  per-node stats", *(f"      {name:<12} {n}" for name, n in figures.items())]


def _zone(kernel: RunningKernel, zone: RunZone) -> list[str]:
    low, high = zone.marks[WMARK_LOW], zone.marks[WMARK_HIGH]
    figures = {"boost": 0, "min": zone.marks[WMARK_MIN], "low": low, "high": high}
    if kernel.kernel.release.has("zoneinfo_promo"):
        figures["promo"] = 2 * high - low
    figures |= {
        "spanned": zone.spanned,
        "present": zone.present,
        "managed": zone.managed,
        "cma": zone.cma,
    }
    lines = [f"  pages free     {zone.free}"]
    lines += [f"        {name:<8} {value}" for name, value in figures.items()]
    lines.append(f"        protection: ({', '.join(map(str, zone.reserve))})")
    if not zone.present:
        return lines
    lines.append(f"      {'nr_free_pages':<12} {zone.free}")
    lines.append(f"      {'nr_bounce':<12} 0")
    lines.append(f"      {'nr_free_cma':<12} {zone.area.pages[CMA]}")
    lines.append("  node_unreclaimable:  0")
    lines.append(f"  start_pfn:           {zone.start}")
    return lines
