"""A zone at run time: its buddies, its watermarks, and the pages that it gives out.

Source: mm/page_alloc.c: __rmqueue, __rmqueue_smallest, expand, __zone_watermark_ok.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.buddy import Buddies, Rules
from ttbr.boot.free_area import (
    CMA,
    HIGHATOMIC,
    ISOLATE,
    MIGRATE_TYPES,
    MOVABLE,
    RECLAIMABLE,
)
from ttbr.boot.zones import Zone
from ttbr.kernel.release import Release
from ttbr.run.alloc_flags import (
    CMA_ALLOWED,
    HIGHATOMIC_ALLOWED,
    MIN_RESERVE,
    NO_WATERMARKS,
    NON_BLOCK,
    RESERVES,
    WMARK_MASK,
)
from ttbr.run.frames import Frames

Run = tuple[int, int]
"""First frame of pages in a row, and how many."""


class RunZone(Buddies):
    """A zone of a node. Page frame numbers and pages throughout.

    ``index``: its place among the kernel's zones. ``managed``: pages that the page allocator has,
    free or not; ``cma``: those of them in contiguous areas. ``marks``: the watermarks min, low and
    high. ``reserve``: by index of the zone that an allocation would have liked best, pages that are
    kept from it in this one. ``highatomic``: pages in the page blocks that are reserved for
    high-order atomic allocations. ``claims``, ``counts_free_highatomic``: behaviours of the
    release.

    There is no watermark boost: kswapd takes it back as soon as it has run.
    """

    def __init__(
        self,
        node: int,
        index: int,
        zone: Zone,
        rules: Rules,
        frames: Frames,
        release: Release,
        unmovable: Iterable[int] = (),
    ) -> None:
        """`unmovable`: first frames of page blocks that are not movable at the hand-over."""
        super().__init__(rules, unmovable)
        self.node, self.name, self.index = node, zone.name, index
        self.start, self.spanned, self.present = zone.start_pfn, zone.spanned, zone.present
        self.frames = frames
        self.managed = self.cma = self.highatomic = 0
        self.marks = [0, 0, 0]
        self.reserve: list[int] = []
        self.claims = release.has("fallback_claims_before_it_steals")
        self.counts_free_highatomic = release.has("highatomic_counts_free_pages")

    def seed(self, order: int, kind: int, blocks: NDArray[np.uint64]) -> None:
        """Take over a list of the hand-over: blocks from its head to its tail."""
        if order < self.rules.max_order:
            for pfn in blocks.tolist():
                self.area.add(pfn, order, kind, to_tail=True)
            return
        breaks = np.flatnonzero(np.diff(blocks.astype(np.int64)) != 1 << order) + 1
        for run in np.split(blocks, breaks):
            if len(run):
                self.area.add_largest(int(run[0]), len(run), kind)

    @property
    def end(self) -> int:
        """The frame behind the zone's last."""
        return self.start + self.spanned

    @property
    def free(self) -> int:
        """NR_FREE_PAGES: free pages that may be given out."""
        pages = self.area.pages
        return sum(pages) - pages[ISOLATE]

    def page_blocks(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """Page blocks by migrate type, of the zone's memory in ranges of frames, ascending."""
        shift = self.pageblock_order
        counts = [0] * len(MIGRATE_TYPES)
        behind = 0
        for start, end in ranges:
            first = max(start >> shift, behind)
            behind = max(behind, -(-end >> shift))
            others = [kind for block, kind in self._types.items() if first <= block < behind]
            for kind in others:
                counts[kind] += 1
            counts[MOVABLE] += max(behind - first, 0) - len(others)
        return counts

    def usable(self, order: int, flags: int) -> int:
        """Free pages that count for an allocation (__zone_watermark_unusable_free)."""
        pages = self.area.pages
        found = sum(pages) - pages[ISOLATE] - (1 << order) + 1
        if not flags & RESERVES:
            found -= pages[HIGHATOMIC] if self.counts_free_highatomic else self.highatomic
        if not flags & CMA_ALLOWED:
            found -= pages[CMA]
        return found

    def threshold(self, highest: int, flags: int) -> int:
        """What the usable free pages must exceed.

        ``highest``: index of the zone that the allocation would have liked best.
        """
        least = self.marks[flags & WMARK_MASK]
        if flags & MIN_RESERVE:
            least -= least // 2
            if flags & NON_BLOCK:
                least -= least // 4
        return least + self.reserve[highest]

    def watermark_ok(self, order: int, highest: int, flags: int) -> bool:
        """``__zone_watermark_ok``: enough is free, and a block of the order among it."""
        if flags & NO_WATERMARKS:
            return True
        if self.usable(order, flags) <= self.threshold(highest, flags):
            return False
        if not order:
            return True
        area = self.area
        kinds = [*range(RECLAIMABLE + 1)]
        if flags & CMA_ALLOWED:
            kinds.append(CMA)
        if flags & HIGHATOMIC_ALLOWED:
            kinds.append(HIGHATOMIC)
        return any(area.smallest(order, kind) is not None for kind in kinds)

    def rmqueue_smallest(self, order: int, kind: int) -> int | None:
        """``__rmqueue_smallest``: the smallest block of the type that is large enough, split."""
        current = self.area.smallest(order, kind)
        if current is None:
            return None
        pfn = self.area.pop(current, kind)
        self.expand(pfn, order, current, kind)
        return pfn

    def expand(self, pfn: int, low: int, high: int, kind: int) -> None:
        """``expand``: give back what is not needed of a block, halving it."""
        while high > low:
            high -= 1
            self.area.add(pfn + (1 << high), high, kind)

    def prefers_cma(self, flags: int) -> bool:
        """Whether movable pages come from contiguous areas: most of the free memory is there."""
        return bool(flags & CMA_ALLOWED) and self.area.pages[CMA] > self.free // 2

    def take_run(self, count: int, kind: int) -> Run | None:
        """Up to ``count`` single pages of one block: what as many `rmqueue_smallest` would give.

        They take the smallest block first and split it, so that its pages come out in order. None
        if the type has no block.
        """
        area = self.area
        current = area.smallest(0, kind)
        if current is None:
            return None
        pfn = area.pop(current, kind)
        end = pfn + (1 << current)
        at = pfn + min(count, 1 << current)
        run = pfn, at - pfn
        while at < end:
            order = (at & -at).bit_length() - 1
            area.add(at, order, kind)
            at += 1 << order
        return run
