"""The page allocator: blocks of 2^order page frames out of the zones' free lists.

Source: mm/page_alloc.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import TtbrError
from ttbr.kernel.pageblock import max_page_order, pageblock_bytes
from ttbr.run.frames import Frames
from ttbr.run.gfp import GFP_KERNEL, Gfp, gfp_migratetype, gfp_zone
from ttbr.run.zone import RunZone

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine


class OutOfMemory(TtbrError):
    """No zone has what was asked for; the model's state is as it was before."""


class PageAllocator:
    """``alloc_pages`` and ``free_pages`` over the zones as the boot handed them over.

    Pages are named by their frame numbers. There are no per-CPU lists: a single page comes from
    the head of its zone's list and goes back at once, so that buddies are always merged.
    """

    def __init__(self, machine: Machine) -> None:
        kernel, got = machine.kernel, machine.handed_over
        assert got is not None
        self.page_size = kernel.page_size
        self.max_order = max_page_order(kernel)
        self.frames = Frames()
        self.frames.release = self._release
        self._ram = machine.ram
        block = (pageblock_bytes(kernel) // kernel.page_size).bit_length() - 1
        self.zone_names = [zone.name for zone in machine.nodes[0].zones]
        self.zones = [
            RunZone(
                node.number,
                zone.name,
                index,
                start=zone.start_pfn,
                spanned=zone.spanned,
                present=zone.present,
                max_order=self.max_order,
                pageblock_order=block,
            )
            for node in machine.nodes
            for index, zone in enumerate(node.zones)
        ]
        by_name = {(zone.node, zone.name): zone for zone in self.zones}
        free = got.free
        for number, key in enumerate(free.zones):
            mine = free.zone == number
            columns = (free.order[mine], free.migratetype[mine], free.pfn[mine])
            zone = by_name[key]
            zone.seed(zip(*(column.tolist() for column in columns), strict=True))
            zone.managed = zone.free

    @property
    def free(self) -> int:
        """Free pages of all zones."""
        return sum(zone.free for zone in self.zones)

    def zone_of(self, pfn: int) -> RunZone:
        """The zone of a page frame; ValueError outside all of them."""
        for zone in self.zones:
            if zone.start <= pfn < zone.end:
                return zone
        raise ValueError(f"page frame {pfn:#x} is in no zone")

    def alloc_pages(self, order: int, gfp: Gfp = GFP_KERNEL, node: int | None = None) -> int:
        """``alloc_pages``: the first frame of a block of 2^order; `OutOfMemory` without one."""
        kind = gfp_migratetype(gfp)
        for zone in self._zonelist(gfp, node):
            pfn = zone.rmqueue(order, kind)
            if pfn is not None:
                self.frames.allocated(pfn, order)
                if int(gfp) & Gfp.ZERO:
                    self._ram.zero(pfn * self.page_size, self.page_size << order)
                return pfn
        raise OutOfMemory(f"page allocation failure: order:{order}, mode:{int(gfp):#x}")

    def free_pages(self, pfn: int, order: int) -> None:
        """``__free_pages``: drop a reference to an allocation; the last one frees its pages.

        ValueError if ``pfn`` is not the first frame of an allocation of that order.
        """
        if self.frames.refcount(pfn) <= 0 or self.frames.order(pfn) != order:
            raise ValueError(f"page frame {pfn:#x} is no allocation of order {order}")
        self.frames.put_page(pfn)

    def alloc_bulk(self, count: int, gfp: Gfp = GFP_KERNEL) -> NDArray[np.uint64]:
        """``count`` single pages; `OutOfMemory`, and none taken, if there are not as many."""
        found: list[int] = []
        try:
            found.extend(self.alloc_pages(0, gfp) for _ in range(count))
        except OutOfMemory:
            self.free_bulk(np.array(found, np.uint64))
            raise
        return np.array(found, np.uint64)

    def free_bulk(self, pfns: NDArray[np.uint64]) -> None:
        """Free single pages."""
        for pfn in pfns.tolist():
            self.free_pages(pfn, 0)

    def _release(self, pfn: int, order: int) -> None:
        self.frames.freed(pfn)
        self.zone_of(pfn).free_one(pfn, order)

    def _zonelist(self, gfp: Gfp, node: int | None) -> list[RunZone]:
        """The zones to try in turn."""
        highest = gfp_zone(gfp, self.zone_names)
        home = self.zones[0].node if node is None else node
        found = [zone for zone in self.zones if zone.index <= highest and zone.managed]
        return sorted(found, key=lambda zone: (zone.node != home, zone.node, -zone.index))
