"""Pools of huge pages that the command line asks for (hugetlb).

Source: mm/hugetlb.c: hugetlb_hstate_alloc_pages, hugetlb_reserve_pages, dequeue_hugetlb_folio_vma.
PMD tables that shared mappings of a GiB and more can have in common are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ttbr.boot.hugetlb import huge_page_sizes
from ttbr.errors import InputError
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE, Gfp
from ttbr.run.oom import OutOfMemory

if TYPE_CHECKING:
    from ttbr.boot.machine import HugePages
    from ttbr.run.mm.user_space import UserSpace

POOL_GFP = GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.RETRY_MAYFAIL | Gfp.NOWARN


@dataclass(slots=True)
class Reservation:
    """Pages that a pool keeps for a mapping: the addresses of those that were not used yet."""

    left: set[int] = field(default_factory=set)


@dataclass(slots=True)
class HugeCache:
    """The pages of a shared mapping, by their index: first frames."""

    pages: dict[int, int] = field(default_factory=dict)


class HugePool:
    """Huge pages of one size (struct hstate).

    ``size``: bytes of a page. ``free``: first frames of the free ones. ``total``: all there are.
    ``reserved``: how many of the free ones are promised.
    """

    def __init__(self, size: int, order: int) -> None:
        self.size = size
        self.order = order
        self.free: list[int] = []
        self.total = 0
        self.reserved = 0

    def add(self, pfn: int) -> None:
        """Put a page into the pool."""
        self.free.append(pfn)
        self.total += 1

    def reserve(self, count: int) -> bool:
        """Promise pages; False, and nothing done, if there are not enough."""
        if len(self.free) - self.reserved < count:
            return False
        self.reserved += count
        return True

    def take(self, reservation: Reservation | None, va: int) -> int | None:
        """A page for ``va``: a promised one, or one that is not promised to anybody."""
        if reservation is not None and va in reservation.left:
            reservation.left.discard(va)
            self.reserved -= 1
        elif len(self.free) <= self.reserved:
            return None
        return self.free.pop()

    def give_back(self, pfn: int) -> None:
        """``free_huge_folio``"""
        self.free.append(pfn)


class HugePools:
    """The pools of a kernel, by size in bytes."""

    def __init__(self, user: UserSpace) -> None:
        machine = user.kernel.machine
        shift = user.page_shift
        self._user = user
        self._pools = {
            size: HugePool(size, (size >> shift).bit_length() - 1)
            for size in sorted(huge_page_sizes(machine))
        }
        for size, wanted in machine.hugepages.items():
            pool = self._pools[size]
            if pool.order > user.pages.max_order:
                for place in wanted.places:
                    user.frames.allocated(place >> shift, pool.order)
                    user.frames.set_owner(place >> shift, Owner.ANON)
                    pool.add(place >> shift)
            else:
                _fill(user, pool, wanted)
        self.default = user.levels[-2].size

    def __iter__(self) -> Iterator[HugePool]:
        return iter(self._pools.values())

    def pool(self, size: int) -> HugePool:
        """The pool of a size; `InputError` if the kernel has no such pages."""
        found = self._pools.get(size)
        if found is None:
            known = ", ".join(f"{each >> 10}K" for each in self._pools) or "none"
            raise InputError(f"no huge pages of {size >> 10}K: this kernel knows {known}")
        return found

    def grow(self, size: int, count: int) -> int:
        """nr_hugepages at run time: ``count`` pages more, as far as there is room; how many now."""
        pool = self.pool(size)
        if pool.order > self._user.pages.max_order:
            raise InputError(f"pages of {size >> 10}K come from the command line only")
        for _ in range(count):
            try:
                pfn = self._user.pages.alloc_pages(pool.order, POOL_GFP)
            except OutOfMemory:
                break
            self._user.frames.set_owner(pfn, Owner.ANON)
            pool.add(pfn)
        return pool.total


def _fill(user: UserSpace, pool: HugePool, wanted: HugePages) -> None:
    """Take the pages of a pool from the page allocator, as many as there are."""
    nodes = [node.number for node in user.kernel.machine.nodes if node.present]
    if wanted.by_node:
        turns = [node for node, count in sorted(wanted.by_node.items()) for _ in range(count)]
    else:
        turns = [nodes[number % len(nodes)] for number in range(wanted.pages)]
    for node in turns:
        try:
            pfn = user.pages.alloc_pages(pool.order, POOL_GFP, node)
        except OutOfMemory:
            return
        user.frames.set_owner(pfn, Owner.ANON)
        pool.add(pfn)
