"""What memory is used for, in pages: the counters behind /proc/meminfo and /proc/zoneinfo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.run.frames import Owner
from ttbr.run.gfp import Gfp

if TYPE_CHECKING:
    from ttbr.run.kernel import RunningKernel


@dataclass(frozen=True, slots=True)
class MemoryCounts:
    """Pages by use, of one node or of all.

    ``anon``: of processes, one for each page of hugetlb among them. ``file``: of files that are in
    memory (NR_FILE_PAGES), ``mapped``: those of them in tables (NR_FILE_MAPPED).
    ``slab_reclaimable``, ``slab_unreclaimable``: of slabs. ``vmalloc``: mapped by vmalloc().
    """

    anon: int
    file: int
    mapped: int
    slab_reclaimable: int
    slab_unreclaimable: int
    vmalloc: int


def memory_counts(kernel: RunningKernel, node: int | None = None) -> MemoryCounts:
    """The counts of a node, or of all."""
    pages = kernel.pages
    ranges = [
        part for zone in pages.zones if node in (None, zone.node) for part in pages.ranges_of(zone)
    ]
    owners, mapped = pages.frames.count_owners(ranges)
    reclaimable = sum(
        1 << slab.order
        for cache in kernel.slabs.caches.values()
        if cache.gfp & Gfp.RECLAIMABLE
        for slab in cache.slabs.values()
        if node in (None, pages.zone_of(slab.pfn).node)
    )
    return MemoryCounts(
        anon=owners[Owner.ANON],
        file=owners[Owner.FILE],
        mapped=mapped[Owner.FILE],
        slab_reclaimable=reclaimable,
        slab_unreclaimable=owners[Owner.SLAB] - reclaimable,
        vmalloc=owners[Owner.VMALLOC],
    )
