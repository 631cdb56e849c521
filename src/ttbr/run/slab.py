"""A cache of objects of one size, in slabs that come from the page allocator.

Source: mm/slub.c.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_RECLAIM, Gfp
from ttbr.run.oom import OutOfMemory
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.slab_order import SlabOrders

_SLAB_MASK = (
    GFP_RECLAIM
    | (Gfp.HIGH | Gfp.IO | Gfp.FS | Gfp.NOWARN | Gfp.RETRY_MAYFAIL | Gfp.NOFAIL | Gfp.NORETRY)
    | (Gfp.MEMALLOC | Gfp.NOMEMALLOC | Gfp.HARDWALL | Gfp.THISNODE)
)
"""GFP_RECLAIM_MASK and GFP_CONSTRAINT_MASK: what of the flags concerns the pages of a slab."""
_MIN_PARTIAL = (5, 10)


@dataclass(slots=True)
class Slab:
    """The pages of some objects: ``pfn`` and ``order``. ``free``: indices, the next one last."""

    cache: SlabCache
    pfn: int
    order: int
    objects: int
    free: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.free = list(range(self.objects - 1, -1, -1))

    @property
    def inuse(self) -> int:
        """Objects that are allocated."""
        return self.objects - len(self.free)


class SlabCache:
    """A cache of objects of ``size`` bytes, in slabs of ``order``; `objects` of them in each.

    ``gfp``: what its pages are asked for with, whoever asks. ``slabs``: by first frame.

    One CPU works on it: it takes from its own slab, then from those that have room, then from a
    new one. The kernel's lists of such slabs for each CPU (CONFIG_SLUB_CPU_PARTIAL) and the random
    order of a new slab's objects (CONFIG_SLAB_FREELIST_RANDOM) are not modelled, and the pointers
    that free objects hold are not written to RAM.
    """

    def __init__(
        self,
        name: str,
        size: int,
        pages: PageAllocator,
        orders: SlabOrders,
        gfp: Gfp,
    ) -> None:
        """`orders`: what slabs may be like."""
        self.name, self.size = name, size
        self.order = orders.order(size)
        self.slabs: dict[int, Slab] = {}
        self._least = orders.get_order(size)
        self._pages = pages
        self.gfp = gfp | Gfp.COMP
        self._current: Slab | None = None
        self._partial: OrderedDict[int, Slab] = OrderedDict()
        low, high = _MIN_PARTIAL
        self._min_partial = min(max((size.bit_length() - 1) // 2, low), high)

    @property
    def objects(self) -> int:
        """Objects in a slab."""
        return (self._pages.page_size << self.order) // self.size

    @property
    def inuse(self) -> int:
        """Objects that are allocated, in all slabs."""
        return sum(slab.inuse for slab in self.slabs.values())

    def alloc(self, gfp: Gfp) -> tuple[Slab, int]:
        """An object: its slab, and its index there; `OutOfMemory` without a page for it."""
        slab = self._current
        if slab is None or not slab.free:
            slab = self._partial.popitem(last=False)[1] if self._partial else self._new_slab(gfp)
            self._current = slab
        return slab, slab.free.pop()

    def free(self, slab: Slab, index: int) -> None:
        """Give an object back; a slab without any goes back, too, if others have room."""
        was_full = not slab.free
        slab.free.append(index)
        if slab is self._current:
            return
        if not slab.inuse and len(self._partial) >= self._min_partial:
            self._partial.pop(slab.pfn, None)
            del self.slabs[slab.pfn]
            self._pages.free_pages(slab.pfn, slab.order)
        elif was_full:
            self._partial[slab.pfn] = slab

    def _new_slab(self, gfp: Gfp) -> Slab:
        """``allocate_slab``: of the usual order if that is easily had, else of the least."""
        flags = gfp & _SLAB_MASK | self.gfp
        first = (flags | Gfp.NOWARN | Gfp.NORETRY) & ~Gfp.NOFAIL
        if first & Gfp.DIRECT_RECLAIM and self.order > self._least:
            first = (first | Gfp.NOMEMALLOC) & ~GFP_RECLAIM
        order = self.order
        try:
            pfn = self._pages.alloc_pages(order, first)
        except OutOfMemory:
            order = self._least
            pfn = self._pages.alloc_pages(order, flags)
        self._pages.frames.set_owner(pfn, Owner.SLAB, order)
        slab = Slab(self, pfn, order, (self._pages.page_size << order) // self.size)
        self.slabs[pfn] = slab
        return slab
