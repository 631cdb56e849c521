"""The page allocator: blocks of 2^order page frames out of the zones' free lists.

Source: mm/page_alloc.c.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.buddy import Rules
from ttbr.boot.free_all import zone_places
from ttbr.boot.free_area import UNMOVABLE
from ttbr.boot.when_up import CONTIGUOUS, INIT, INITRD
from ttbr.boot.zonelists import mobility_grouping
from ttbr.errors import InputError
from ttbr.run import highatomic, watermarks
from ttbr.run.alloc_flags import HIGHATOMIC_ALLOWED, NO_WATERMARKS
from ttbr.run.events import RunLog
from ttbr.run.frames import Frames
from ttbr.run.gfp import GFP_KERNEL, Gfp, gfp_migratetype, gfp_zone
from ttbr.run.late_memory import free_deferred, free_reserved
from ttbr.run.oom import OutOfMemory
from ttbr.run.rmqueue import rmqueue, rmqueue_bulk
from ttbr.run.zone import Run, RunZone
from ttbr.run.zonelists import Zonelists

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

_ZERO = int(Gfp.ZERO)


class PageAllocator:
    """``alloc_pages`` and ``free_pages`` over the zones as they are when the kernel is up.

    Pages are named by their frame numbers. ``zones`` are those of all nodes, ``zone_names`` the
    kernel's, in its order; ``min_free_kbytes`` is the sysctl.

    Three things of the kernel are left out. There are no per-CPU lists: a page comes from its
    zone's lists and goes back there at once, so that buddies are always merged, where on a real
    machine some hundred free pages wait on each CPU. There is no reclaim: no page is taken from
    the page cache or written to a swap. And what the kernel itself allocated between the hand-over
    and its first program is not known; those pages are free here.
    """

    def __init__(self, machine: Machine, log: RunLog) -> None:
        """`machine`: as the last stage of the boot left it. `log`: hears what is freed first."""
        kernel, got = machine.kernel, machine.handed_over
        assert got is not None
        self.machine = machine
        self.page_size = kernel.page_size
        self.frames = Frames()
        self.frames.release = self._release
        self.zone_names = [zone.name for zone in machine.nodes[0].zones]
        rules = Rules.of(kernel, grouping=mobility_grouping(machine))
        self.max_order = rules.max_order
        self._grouping = rules.grouping
        unmovable = dict(zip(got.free.zones, got.unmovable, strict=True))
        self.zones = [
            RunZone(
                node.number,
                index,
                zone,
                rules,
                self.frames,
                kernel.release,
                unmovable[node.number, zone.name],
            )
            for node in machine.nodes
            for index, zone in enumerate(node.zones)
        ]
        by_name = {(zone.node, zone.name): zone for zone in self.zones}
        self._places = [
            (start, end, by_name[node.number, zone.name])
            for start, end, node, zone in zone_places(machine)
        ]
        self._starts = [start for start, _, _ in self._places]
        self.zonelists = Zonelists(machine, self.zones, self.zone_names)
        for index, zone in enumerate(self.zones):
            for order, kind, blocks in got.free.lists(index):
                zone.seed(order, kind, blocks)
            zone.managed = zone.free
        free_deferred(machine, self.zones, log)
        free_reserved(machine, self.zones_of, CONTIGUOUS, log)
        self.min_free_kbytes = watermarks.init_per_zone_wmark_min(
            kernel, self.zones, self.zone_names
        )
        if watermarks.thp_enabled(machine):
            self.start_khugepaged()
        for name in (INITRD, INIT):
            free_reserved(machine, self.zones_of, name, log)

    @property
    def free(self) -> int:
        """Free pages of all zones."""
        return sum(zone.free for zone in self.zones)

    def start_khugepaged(self) -> None:
        """Transparent huge pages are switched on: more is kept free for them from now on.

        Nothing changes for a kernel that has none.
        """
        if not self.machine.kernel.config.enabled("TRANSPARENT_HUGEPAGE"):
            return
        self.min_free_kbytes = watermarks.set_recommended_min_free_kbytes(
            self.machine.kernel, self.zones, self.zone_names, self.min_free_kbytes
        )

    def zone_of(self, pfn: int) -> RunZone:
        """The zone of a page frame that is memory; ValueError for any other."""
        index = bisect_right(self._starts, pfn) - 1
        if index >= 0:
            _, end, zone = self._places[index]
            if pfn < end:
                return zone
        raise ValueError(f"page frame {pfn:#x} is no memory")

    def zones_of(self, start: int, end: int) -> list[tuple[int, int, RunZone]]:
        """The parts of a range of frames that are memory, by zone: (first, behind last, zone)."""
        found = []
        for low, high, zone in self._places[max(0, bisect_right(self._starts, start) - 1) :]:
            if low >= end:
                break
            if max(low, start) < min(high, end):
                found.append((max(low, start), min(high, end), zone))
        return found

    def ranges_of(self, zone: RunZone) -> list[tuple[int, int]]:
        """A zone's memory: ranges of frames [first, behind the last), ascending."""
        return [(start, end) for start, end, owner in self._places if owner is zone]

    def alloc_pages(self, order: int, gfp: Gfp = GFP_KERNEL, node: int | None = None) -> int:
        """``alloc_pages``: the first frame of a block of 2^order pages, with one reference.

        ``node``: where to look first; None for the boot CPU's. `OutOfMemory` if no zone has it,
        which changes nothing; `InputError` for an order that there is not.
        """
        if not 0 <= order <= self.max_order:
            raise InputError(f"no order {order}: the largest is {self.max_order}")
        flags = int(gfp)
        kind, highest = self._kind(flags), gfp_zone(flags, self.zone_names)
        for zone, alloc_flags in self.zonelists.attempts(order, flags, kind, node):
            pfn = None
            if zone.watermark_ok(order, highest, alloc_flags):
                pfn = rmqueue(zone, order, kind, alloc_flags)
            if pfn is None:
                continue
            if alloc_flags & HIGHATOMIC_ALLOWED:
                highatomic.reserve(zone, pfn, order)
            self.frames.allocated(pfn, order)
            if flags & _ZERO:
                self._zero(pfn, 1 << order)
            return pfn
        raise OutOfMemory.of(self, order, flags, node)

    def free_pages(self, pfn: int, order: int) -> None:
        """``__free_pages``: drop a reference to an allocation; the last one frees its pages.

        `InputError` if ``pfn`` is not the first frame of an allocation of that order.
        """
        if self.frames.refcount(pfn) <= 0 or self.frames.order(pfn) != order:
            raise InputError(f"page frame {pfn:#x} is no allocation of order {order}")
        self.frames.put_page(pfn)

    def alloc_bulk(
        self, count: int, gfp: Gfp = GFP_KERNEL, node: int | None = None
    ) -> NDArray[np.uint64]:
        """``count`` single pages: those that as many `alloc_pages` would give, in their order.

        `OutOfMemory`, and none taken, if there are not as many: its report is of the moment when
        the last was gone. Page blocks that were claimed on the way keep their new type.
        """
        flags = int(gfp)
        kind, highest = self._kind(flags), gfp_zone(flags, self.zone_names)
        runs: list[Run] = []
        left = count
        for zone, alloc_flags in self.zonelists.attempts(0, flags, kind, node):
            while left:
                room = left
                if not alloc_flags & NO_WATERMARKS:
                    spare = zone.usable(0, alloc_flags) - zone.threshold(highest, alloc_flags)
                    room = min(left, spare)
                run = rmqueue_bulk(zone, room, kind, alloc_flags) if room > 0 else None
                if run is None:
                    break
                runs.append(run)
                left -= run[1]
            if not left:
                break
        else:
            error = OutOfMemory.of(self, 0, flags, node)
            self._give_back(runs)
            raise error
        for start, pages in runs:
            self.frames.allocated_run(start, pages)
            if flags & _ZERO:
                self._zero(start, pages)
        parts = [np.arange(start, start + pages, dtype=np.uint64) for start, pages in runs]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)

    def free_bulk(self, pfns: NDArray[np.uint64]) -> None:
        """Drop the reference to each of many single pages, in the order that they come in.

        `InputError`, and none freed, if one of them is not allocated as a single page.
        """
        edges = np.flatnonzero(np.diff(pfns.astype(np.int64)) != 1) + 1
        starts = pfns[np.concatenate([[0], edges])] if len(pfns) else pfns
        sizes = np.diff(np.concatenate([[0], edges, [len(pfns)]]))[: len(starts)]
        runs = list(zip(starts.tolist(), sizes.tolist(), strict=True))
        alone = not _overlap(starts, sizes) and all(self.frames.alone(*run) for run in runs)
        if not alone:
            self._drop_each(pfns)
            return
        for start, pages in runs:
            self.frames.freed_run(start, pages)
        self._give_back(runs)

    def _drop_each(self, pfns: NDArray[np.uint64]) -> None:
        """Drop references one by one, if all of them are there."""
        each, times = np.unique(pfns, return_counts=True)
        if self.frames.orders(each).any() or (self.frames.refcounts(each) < times).any():
            raise InputError("not all of these page frames are single pages that are allocated")
        for pfn in pfns.tolist():
            self.free_pages(pfn, 0)

    def _give_back(self, runs: list[Run]) -> None:
        for start, pages in runs:
            for low, high, zone in self.zones_of(start, start + pages):
                zone.free_range(low, high, to_tail=False)

    def _release(self, pfn: int, order: int) -> None:
        self.frames.freed(pfn, order)
        self.zone_of(pfn).free_block(pfn, order)

    def _zero(self, pfn: int, pages: int) -> None:
        self.machine.ram.zero(pfn * self.page_size, pages * self.page_size)

    def _kind(self, gfp: int) -> int:
        """The migrate type that an allocation wants."""
        return gfp_migratetype(gfp) if self._grouping else UNMOVABLE


def _overlap(starts: NDArray[np.uint64], sizes: NDArray[np.int64]) -> bool:
    """Whether some of the runs of frames have a frame in common."""
    order = np.argsort(starts)
    first = starts[order].astype(np.int64)
    return bool((first[:-1] + sizes[order][:-1] > first[1:]).any())
