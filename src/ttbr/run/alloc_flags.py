"""What an allocation may do to get its pages: the allocator's own flags, from the GFP flags.

Source: mm/internal.h, mm/page_alloc.c: gfp_to_alloc_flags, gfp_to_alloc_flags_cma,
alloc_flags_nofragment. Cpusets and real-time tasks are none of the model's.
"""

from __future__ import annotations

from ttbr.boot.free_area import MOVABLE
from ttbr.run.gfp import Gfp

WMARK_MIN, WMARK_LOW, WMARK_HIGH = 0, 1, 2
"""Which watermark counts, in the lowest two bits."""
WMARK_MASK = 3
NO_WATERMARKS = 0x04
NON_BLOCK = 0x10
MIN_RESERVE = 0x20
CMA_ALLOWED = 0x80
NOFRAGMENT = 0x100
HIGHATOMIC_ALLOWED = 0x200
RESERVES = NON_BLOCK | MIN_RESERVE | HIGHATOMIC_ALLOWED

_DIRECT_RECLAIM, _NOMEMALLOC = int(Gfp.DIRECT_RECLAIM), int(Gfp.NOMEMALLOC)
_MEMALLOC, _HIGH = int(Gfp.MEMALLOC), int(Gfp.HIGH)


def cma_flag(kind: int) -> int:
    """Movable allocations may use contiguous areas."""
    return CMA_ALLOWED if kind == MOVABLE else 0


def slow_flags(gfp: int, order: int) -> int:
    """The flags once the low watermarks have refused an allocation, but for `cma_flag`."""
    flags = WMARK_MIN
    if gfp & _HIGH:
        flags |= MIN_RESERVE
    if not gfp & (_DIRECT_RECLAIM | _NOMEMALLOC):
        flags |= NON_BLOCK
        if order and flags & MIN_RESERVE:
            flags |= HIGHATOMIC_ALLOWED
    return flags


def ignores_watermarks(gfp: int) -> bool:
    """Whether the reserves are open to the allocation (__gfp_pfmemalloc_flags)."""
    return bool(gfp & _MEMALLOC) and not gfp & _NOMEMALLOC
