"""Pages out of a zone: a block, or single pages by the run.

Source: mm/page_alloc.c: rmqueue_buddy, rmqueue_bulk.
"""

from __future__ import annotations

from ttbr.boot.free_area import CMA, HIGHATOMIC
from ttbr.run.alloc_flags import CMA_ALLOWED, HIGHATOMIC_ALLOWED, NON_BLOCK
from ttbr.run.fallback import rmqueue_types
from ttbr.run.zone import Run, RunZone


def rmqueue(zone: RunZone, order: int, kind: int, flags: int) -> int | None:
    """``rmqueue_buddy``: a block from the reserve for high orders, if allowed, or from the lists.

    An allocation that must not wait gets from the reserve before it fails.
    """
    pfn = None
    if flags & HIGHATOMIC_ALLOWED:
        pfn = zone.rmqueue_smallest(order, HIGHATOMIC)
    if pfn is None:
        pfn = rmqueue_types(zone, order, kind, flags)
    if pfn is None and flags & NON_BLOCK:
        pfn = zone.rmqueue_smallest(order, HIGHATOMIC)
    return pfn


def rmqueue_bulk(zone: RunZone, count: int, kind: int, flags: int) -> Run | None:
    """Up to ``count`` single pages in a row, as repeated calls would give them.

    With contiguous areas each page may change where the next one comes from: from there as long as
    more than half of the free memory is there.
    """
    room = count
    contiguous = zone.area.pages[CMA] if flags & CMA_ALLOWED else 0
    if contiguous:
        lead = 2 * contiguous - zone.free
        if zone.prefers_cma(flags):
            run = zone.take_run(min(count, max(1, lead)), CMA)
            if run is not None:
                return run
        else:
            room = min(count, max(1, -lead))
    run = zone.take_run(room, kind)
    if run is None:
        pfn = rmqueue(zone, 0, kind, flags)
        run = None if pfn is None else (pfn, 1)
    return run
