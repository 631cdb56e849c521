"""What the page allocator gives, from where, and when it does not."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_maps import ALL, mapped
from page_invariants import check, contents, free_blocks

from ttbr.boot.free_area import CMA, HIGHATOMIC, MOVABLE, RECLAIMABLE, UNMOVABLE
from ttbr.errors import InputError
from ttbr.run import Gfp, OutOfMemory, run
from ttbr.run.gfp import (
    GFP_ATOMIC,
    GFP_DMA,
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_NOWAIT,
    gfp_words,
)

KINDS = {
    "kernel": GFP_KERNEL,
    "reclaimable": GFP_KERNEL | Gfp.RECLAIMABLE,
    "user": GFP_HIGHUSER_MOVABLE,
    "atomic": GFP_ATOMIC,
    "dma": GFP_KERNEL | GFP_DMA,
}


@pytest.mark.parametrize("board", ALL)
@pytest.mark.parametrize("kind", ["kernel", "user", "dma", "atomic"])
def test_many_pages_are_those_that_single_calls_give(board: str, kind: str) -> None:
    at_once, singly = (run(mapped(board)).pages for _ in range(2))
    chance = random.Random(kind)
    for _ in range(5):
        count = chance.randrange(1200)
        many = at_once.alloc_bulk(count, KINDS[kind])
        assert many.tolist() == [singly.alloc_pages(0, KINDS[kind]) for _ in range(count)]
        for pages in (at_once, singly):
            # A hole here and there, so that there are small blocks.
            for pfn in many[::97].tolist():
                pages.free_pages(pfn, 0)
        lists = [free_blocks(pages) for pages in (at_once, singly)]
        assert lists[0].pfn.tolist() == lists[1].pfn.tolist()
        assert lists[0].migratetype.tolist() == lists[1].migratetype.tolist()


@pytest.mark.parametrize("board", ["arm64", "arm64-16k"])
def test_many_pages_come_back_as_single_ones_do(board: str) -> None:
    at_once, singly = (run(mapped(board)).pages for _ in range(2))
    many = at_once.alloc_bulk(5000)
    assert singly.alloc_bulk(5000).tolist() == many.tolist()
    order = np.concatenate([many[1000:1800], many[:500], many[4000:], many[2000:1800:-1]])
    at_once.free_bulk(order)
    for pfn in order.tolist():
        singly.free_pages(pfn, 0)
    one, other = free_blocks(at_once), free_blocks(singly)
    assert one.pfn.tolist() == other.pfn.tolist()


def test_what_is_wrong_is_refused() -> None:
    pages = run(mapped("arm64-small")).pages
    pfn = pages.alloc_pages(2)
    for wrong, order in ((pfn, 1), (pfn + 1, 0), (pfn + 4096, 2), (1 << 60, 0)):
        with pytest.raises(InputError, match="is no allocation of order"):
            pages.free_pages(wrong, order)
    with pytest.raises(InputError, match="no order 11"):
        pages.alloc_pages(11)
    with pytest.raises(InputError, match="no node 5"):
        pages.alloc_pages(0, node=5)
    with pytest.raises(InputError, match="not all"):
        pages.free_bulk(np.array([pfn], np.uint64))
    single = pages.alloc_pages(0)
    with pytest.raises(InputError, match="not all"):
        pages.free_bulk(np.array([single, single], np.uint64))
    pages.frames.get_page(single)
    pages.free_bulk(np.array([single, single], np.uint64))
    for outside in (0, 1 << 60):
        with pytest.raises(ValueError, match="is no memory"):
            pages.zone_of(outside)
    check(pages, {pfn: 2})


def test_movable_pages_share_contiguous_areas_fairly() -> None:
    """While most of the free memory is in areas, movable pages come from there; others never."""
    pages = run(mapped("arm64-small")).pages
    (zone,) = [zone for zone in pages.zones if zone.present]
    assert zone.cma == zone.area.pages[CMA] == 12288
    ordinary = zone.free - zone.cma
    pages.alloc_bulk(ordinary - 8000)
    assert zone.area.pages[CMA] == 12288
    assert zone.block_type(pages.alloc_pages(0, GFP_HIGHUSER_MOVABLE)) == CMA
    pages.alloc_bulk(4287, GFP_HIGHUSER_MOVABLE)
    assert (zone.area.pages[CMA], zone.free) == (8000, 16000)
    found = pages.alloc_bulk(4, GFP_HIGHUSER_MOVABLE)
    assert [zone.block_type(pfn) == CMA for pfn in found.tolist()] == [False, True] * 2
    with pytest.raises(OutOfMemory):
        pages.alloc_bulk(8000)


@pytest.mark.parametrize("board", ["arm64", "arm64-16k"])
def test_a_page_block_is_claimed_for_another_type(board: str) -> None:
    pages = run(mapped(board)).pages
    zone = next(zone for zone in pages.zones if zone.present)
    block = 1 << zone.pageblock_order
    assert not zone.area.pages[RECLAIMABLE]
    pfn = pages.alloc_pages(0, GFP_KERNEL | Gfp.RECLAIMABLE)
    assert zone.block_type(pfn) == RECLAIMABLE
    # With it went the largest block that there was, and nothing else.
    assert zone.area.pages[RECLAIMABLE] + 1 == 1 << pages.max_order >= block
    next_pfn = pages.alloc_pages(0, GFP_KERNEL | Gfp.RECLAIMABLE)
    assert pfn ^ 1 == next_pfn
    for each in (pfn, next_pfn):
        pages.free_pages(each, 0)
    assert zone.block_type(pfn) == RECLAIMABLE
    assert not zone.area.pages[RECLAIMABLE] - (1 << pages.max_order)


def test_no_types_where_memory_is_short() -> None:
    pages = run(mapped("arm64-64k")).pages
    for kind in ("user", "reclaimable", "kernel"):
        pages.alloc_pages(0, KINDS[kind])
    (zone,) = [zone for zone in pages.zones if zone.present]
    assert not zone.area.pages[RECLAIMABLE]
    assert zone.area.pages[UNMOVABLE] and zone.area.pages[MOVABLE]


def test_nodes_and_zones_in_order() -> None:
    """From the best zone down, then to the next node; reserves keep some of the lower ones."""
    pages = run(mapped("arm64-numa")).pages
    names = [(zone.node, zone.name) for zone in pages.zonelists.zones(int(GFP_KERNEL), None)]
    assert names == [(0, "DMA32"), (0, "DMA"), (1, "Normal"), (1, "DMA32")]
    names = [(zone.node, zone.name) for zone in pages.zonelists.zones(int(GFP_KERNEL), 1)]
    assert names == [(1, "Normal"), (1, "DMA32"), (0, "DMA32"), (0, "DMA")]
    here = pages.zonelists.zones(int(GFP_KERNEL | Gfp.THISNODE), 1)
    assert [zone.name for zone in here] == ["Normal", "DMA32"]
    assert [zone.name for zone in pages.zonelists.zones(int(GFP_DMA), 1)] == ["DMA"]
    first = pages.zone_of(pages.alloc_pages(0))
    assert (first.node, first.name) == (0, "DMA32")
    # As long as node 0 has more than its low watermarks and what is kept for its higher zones.
    zone, low = pages.zonelists.zones(int(GFP_KERNEL), None)[:2]
    rest = zone.free - zone.marks[1]
    got = pages.alloc_bulk(rest)
    assert {pages.zone_of(pfn) for pfn in got.tolist()} == {zone}
    assert zone.free == zone.marks[1]
    spare = low.free - low.area.pages[CMA] - low.marks[1] - low.reserve[2]
    got = pages.alloc_bulk(spare + 1)
    assert [pages.zone_of(pfn).name for pfn in got[-2:].tolist()] == ["DMA", "Normal"]


def test_reserves_are_for_those_that_must_not_wait() -> None:
    pages = run(mapped("arm64-small")).pages
    (zone,) = [zone for zone in pages.zones if zone.present]

    def drain(gfp: Gfp) -> int:
        """Free pages but those in areas, when such allocations fail."""
        while True:
            try:
                pages.alloc_pages(0, gfp)
            except OutOfMemory:
                return zone.free - zone.area.pages[CMA]

    least = zone.marks[0]
    assert drain(GFP_NOWAIT) == drain(GFP_KERNEL) == least
    assert drain(GFP_KERNEL | Gfp.HIGH) == least - least // 2
    half = least - least // 2
    assert drain(GFP_ATOMIC) == half - half // 4
    assert drain(GFP_KERNEL | Gfp.MEMALLOC) == 0


def test_blocks_are_kept_for_atomic_allocations() -> None:
    pages = run(mapped("arm64-16k")).pages
    zone = next(zone for zone in pages.zones if zone.present)
    free, order = zone.free, 2
    assert zone.managed // 100 < 1 << zone.pageblock_order
    while not zone.highatomic and zone.free > zone.marks[0] // 2:
        try:
            pages.alloc_pages(order, GFP_ATOMIC)
        except OutOfMemory:
            break
    # A page block is more than 1% of this zone.
    assert not zone.highatomic and zone.free < free
    pages = run(mapped("arm64")).pages
    zone = next(zone for zone in pages.zones if zone.present)
    while zone.free - zone.area.pages[CMA] > zone.marks[1]:
        pages.alloc_bulk(min(5000, zone.free - zone.area.pages[CMA] - zone.marks[1]))
    pfn = pages.alloc_pages(order, GFP_ATOMIC)
    assert zone.block_type(pfn) == HIGHATOMIC
    assert zone.highatomic == 1 << zone.pageblock_order
    # In the end, everybody gets it.
    while zone.highatomic:
        pages.alloc_pages(0)
    assert zone.block_type(pfn) == UNMOVABLE


def test_the_report_of_an_allocation_that_fails() -> None:
    pages = run(mapped("arm64-numa")).pages
    before = contents(pages)
    with pytest.raises(OutOfMemory) as caught:
        pages.alloc_bulk(pages.free, GFP_KERNEL | Gfp.ZERO)
    error = caught.value
    assert str(error) == (
        "out of memory: page allocation failure: order:0, mode:0xdc0(GFP_KERNEL|__GFP_ZERO)"
    )
    assert contents(pages) == before and error.kills
    lines = error.lines("cat")
    assert lines[0] == (
        "cat invoked oom-killer: gfp_mask=0xdc0(GFP_KERNEL|__GFP_ZERO), order=0, oom_score_adj=0"
    )
    assert lines[1] == "Mem-Info:"
    # The report is of the moment when nothing was left above the minimum but contiguous areas.
    left = sum(z.marks[0] + z.reserve[2] for z in pages.zones if z.present)
    assert lines[2].startswith(f" free:{left + 16384} free_pcp:0 free_cma:16384")
    (dma,) = [line for line in lines if line.startswith("Node 0 DMA free:")]
    marks = [4 * pages.zones[0].marks[i] for i in range(3)]
    assert "boost:0kB min:{}kB low:{}kB high:{}kB reserved_highatomic:0KB".format(*marks) in dma
    assert lines[lines.index(dma) + 1] == "lowmem_reserve[]: 0 247 247 247"
    (buddies,) = [line for line in lines if line.startswith("Node 1 Normal: ")]
    assert "*4096kB" in buddies and buddies.endswith("kB")
    assert lines[-1] == "16384 pages cma reserved"
    free = pages.free
    with pytest.raises(OutOfMemory) as caught:
        while True:
            pages.alloc_pages(10, GFP_NOWAIT & ~Gfp.NOWARN)
    assert not caught.value.kills and pages.free < free
    head = caught.value.lines("cat")[0]
    assert head == (
        "cat: page allocation failure: order:10, mode:0x800(__GFP_KSWAPD_RECLAIM), nodemask=(null)"
    )
    with pytest.raises(OutOfMemory) as caught:
        pages.alloc_pages(10, GFP_NOWAIT)
    assert caught.value.lines("cat") == []


def test_flags_in_the_kernels_words() -> None:
    assert gfp_words(GFP_HIGHUSER_MOVABLE) == "0x100cca(GFP_HIGHUSER_MOVABLE)"
    assert gfp_words(GFP_ATOMIC | Gfp.COMP) == "0x40820(GFP_ATOMIC|__GFP_COMP)"
    assert gfp_words(GFP_KERNEL | Gfp.DMA) == "0xcc1(GFP_KERNEL|GFP_DMA)"
    assert gfp_words(0) == "0x0(none)"
    assert gfp_words(1 << 30) == "0x40000000(0x40000000)"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
@settings(max_examples=20)
def test_references_and_blocks(steps: list[tuple[bool, int]]) -> None:
    """A block with a reference more than one is nobody's to free."""
    pages = run(mapped("arm64-small")).pages
    owned: dict[int, list[int]] = {}
    for take, order in steps:
        if take or not owned:
            owned[pages.alloc_pages(order)] = [order, 1]
            continue
        pfn = next(iter(owned))
        if order % 2:
            pages.frames.get_page(pfn)
            owned[pfn][1] += 1
        else:
            pages.free_pages(pfn, owned[pfn][0])
            owned[pfn][1] -= 1
            if not owned[pfn][1]:
                del owned[pfn]
        assert all(pages.frames.refcount(pfn) == count for pfn, (_, count) in owned.items())
    check(pages, {pfn: order for pfn, (order, _) in owned.items()})
