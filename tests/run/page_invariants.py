"""What must hold for the page allocator at any moment, whoever uses it.

`check` takes what the test itself knows to be allocated: nothing here trusts the allocator's own
account of that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ttbr.boot.buddy import MERGEABLE, FreeBlocks, columns
from ttbr.boot.free_area import MIGRATE_TYPES
from ttbr.run.page_alloc import PageAllocator


def free_blocks(pages: PageAllocator) -> FreeBlocks:
    """All free blocks, as columns."""
    return columns([(zone.node, zone.name, zone) for zone in pages.zones])


def contents(pages: PageAllocator) -> list[tuple[int, str, int, int]]:
    """(node, zone, order, first frame) of all free blocks, whatever list they are on."""
    found = free_blocks(pages)
    rows = zip(found.zone.tolist(), found.order.tolist(), found.pfn.tolist(), strict=True)
    return sorted((*found.zones[zone], order, pfn) for zone, order, pfn in rows)


def check(pages: PageAllocator, allocated: Mapping[int, int]) -> None:
    """No frame owned twice, none lost, buddies merged, lists and counts in step.

    ``allocated``: order by first frame of everything that was allocated and not freed.
    """
    found = free_blocks(pages)
    _each_frame_once(pages, found, allocated)
    _merged(pages, found)
    _counts(pages, found)
    heads = np.fromiter(allocated, np.uint64, len(allocated))
    assert (pages.frames.refcounts(heads) > 0).all(), "an allocated page without a reference"
    assert not pages.frames.refcounts(found.pfn).any(), "a free page with a reference"


def _each_frame_once(pages: PageAllocator, free: FreeBlocks, allocated: Mapping[int, int]) -> None:
    taken = np.fromiter(allocated, np.int64, len(allocated))
    orders = np.fromiter(allocated.values(), np.int64, len(allocated))
    starts = np.concatenate([free.pfn.astype(np.int64), taken])
    sizes = np.left_shift(1, np.concatenate([free.order.astype(np.int64), orders]))
    assert not (starts % sizes).any(), "a block that is not aligned to its size"
    by_start = np.argsort(starts)
    starts, sizes = starts[by_start], sizes[by_start]
    assert (starts[:-1] + sizes[:-1] <= starts[1:]).all(), "a frame that two have"
    assert sizes.sum() == sum(zone.managed for zone in pages.zones), "a frame that is lost"
    for start in starts[[0, -1]].tolist():
        pages.zone_of(start)


def _merged(pages: PageAllocator, free: FreeBlocks) -> None:
    here = dict(
        zip(
            free.pfn.tolist(),
            zip(free.order.tolist(), free.zone.tolist(), strict=True),
            strict=True,
        )
    )
    for pfn, (order, index) in here.items():
        zone = pages.zones[index]
        if order == zone.rules.max_order or here.get(pfn ^ 1 << order) != (order, index):
            continue
        kinds = zone.block_type(pfn), zone.block_type(pfn ^ 1 << order)
        apart = kinds[0] != kinds[1] and not all(kind in MERGEABLE for kind in kinds)
        assert apart and order >= zone.pageblock_order, f"{pfn:#x} has a free buddy"


def _counts(pages: PageAllocator, free: FreeBlocks) -> None:
    sizes = np.left_shift(1, free.order.astype(np.int64))
    for index, zone in enumerate(pages.zones):
        for kind in range(len(MIGRATE_TYPES)):
            mine = (free.zone == index) & (free.migratetype == kind)
            assert zone.area.pages[kind] == sizes[mine].sum()
        if zone.rules.by_page_blocks:
            mine = free.zone == index
            kinds = [zone.block_type(pfn) for pfn in free.pfn[mine].tolist()]
            assert kinds == free.migratetype[mine].tolist(), "a block on another type's list"
