"""From a boot to a running kernel."""

import numpy as np
import pytest
from machines_up import BOARDS, booted

from ttbr.boot.boot import boot_until_failure
from ttbr.boot.buddy import columns
from ttbr.boot.when_up import when_up
from ttbr.errors import InputError
from ttbr.run import Gfp, OutOfMemory, run
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE, GFP_KERNEL, gfp_zone
from ttbr.run.page_alloc import PageAllocator


@pytest.fixture(params=BOARDS)
def kernel(request):
    return run(booted(request.param))


def contents(pages: PageAllocator) -> list[tuple[int, str, int, int]]:
    """(node, zone, order, first frame) of all free blocks, whatever list they are on."""
    found = columns([(zone.node, zone.name, zone) for zone in pages.zones])
    rows = zip(found.zone.tolist(), found.order.tolist(), found.pfn.tolist(), strict=True)
    return sorted((*found.zones[zone], order, pfn) for zone, order, pfn in rows)


def test_every_page_that_is_freed_at_last_is_there(kernel) -> None:
    assert kernel.pages.free == sum(up.managed for up in when_up(kernel.machine))
    assert kernel.pages.free > kernel.machine.handed_over.free.pages
    freed = [event.function for event in kernel.log if event.kind == "free"]
    assert freed[-3:] == ["cma_activate_area", "free_initrd_mem", "free_initmem"]
    assert kernel.image().facts.stage == "running"


def test_two_kernels_of_one_boot_have_nothing_in_common(kernel) -> None:
    other = run(booted("arm64"))
    pa = kernel.pages.alloc_pages(0) * kernel.page_size
    kernel.ram.write(pa, b"mine")
    assert other.pages.free == sum(up.managed for up in when_up(other.machine))
    assert other.ram.written() == booted("arm64").machine.ram.written()
    assert kernel.image().memory.read(pa, 4) == b"mine"
    assert kernel.machine.arch_state.machine is kernel.machine


def test_pages_go_out_and_come_back(kernel) -> None:
    pages = kernel.pages
    before = contents(pages)
    free = pages.free
    found = [pages.alloc_pages(order) for order in (0, 3, 0, 1)]
    many = pages.alloc_bulk(1000, GFP_HIGHUSER_MOVABLE)
    assert len(np.unique(many)) == 1000
    assert free - pages.free == 1 + 8 + 1 + 2 + 1000
    assert pages.frames.refcounts(many).tolist() == [1] * 1000
    pages.free_bulk(many)
    for pfn, order in zip(found, (0, 3, 0, 1), strict=True):
        assert pfn % (1 << order) == 0
        pages.free_pages(pfn, order)
    assert pages.free == free
    assert contents(pages) == before


def test_pages_by_their_linear_address(kernel) -> None:
    address = kernel.get_free_pages(2)
    assert address % (kernel.page_size << 2) == 0
    assert kernel.pages.frames.order(kernel.addresses.pfn(address)) == 2
    kernel.free_pages(address, 2)
    for wrong in (address, 0x1000):
        with pytest.raises(InputError):
            kernel.free_pages(wrong, 2)


def test_references_keep_a_page(kernel) -> None:
    frames, pfn = kernel.pages.frames, kernel.pages.alloc_pages(0)
    frames.get_page(pfn)
    assert not frames.put_page(pfn) and frames.refcount(pfn) == 1
    assert frames.put_page(pfn) and frames.refcount(pfn) == 0
    with pytest.raises(ValueError, match="not allocated"):
        frames.put_page(pfn)
    with pytest.raises(InputError, match="no allocation of order 0"):
        kernel.pages.free_pages(pfn, 0)


def test_zeroed_pages_read_as_zeros(kernel) -> None:
    pages, ram, page = kernel.pages, kernel.ram, kernel.page_size
    pfn = pages.alloc_pages(1)
    ram.write(pfn * page, b"x" * (page << 1))
    pages.free_pages(pfn, 1)
    assert pages.alloc_pages(1, GFP_KERNEL | Gfp.ZERO) == pfn
    assert not any(ram.read(pfn * page, page << 1))


def test_more_than_there_is(kernel) -> None:
    free = kernel.pages.free
    with pytest.raises(OutOfMemory):
        kernel.pages.alloc_bulk(free + 1)
    assert kernel.pages.free == free


def test_zones_by_flags() -> None:
    names = ["DMA", "Normal", "HighMem", "Movable"]
    assert [gfp_zone(f, names) for f in (0, Gfp.DMA, Gfp.DMA32, Gfp.HIGHMEM)] == [1, 0, 1, 2]
    assert gfp_zone(GFP_HIGHUSER_MOVABLE, names) == 3 and gfp_zone(Gfp.MOVABLE, names) == 1
    with pytest.raises(ValueError, match="two zones"):
        gfp_zone(Gfp.DMA | Gfp.HIGHMEM, names)


def test_a_boot_that_stopped_early_does_not_run() -> None:
    whole = booted("arm64").machine
    early = boot_until_failure(whole.board, whole.kernel, whole.placement, stop="memblock")
    with pytest.raises(InputError, match="the boot ended before"):
        run(early)


def test_events_are_json(kernel) -> None:
    before = len(kernel.log)
    event = kernel.log.add("map", "vmap", "a page", 0x1000, 0x1FFF, pages=1)
    assert kernel.log.since(before) == [event] and kernel.log[before:] == [event]
    assert list(kernel.log)[-1] is event
    assert event.as_dict() == {
        "kind": "map",
        "function": "vmap",
        "detail": "a page",
        "start": "0x1000",
        "end": "0x1fff",
        "values": {"pages": 1},
    }


def test_tables_are_written_and_read(kernel) -> None:
    table = kernel.pages.alloc_pages(0, GFP_KERNEL | Gfp.ZERO) * kernel.page_size
    tables = kernel.tables
    tables.set(table, 3, 0x703)
    tables.fill(table, 4, 0x1003, 0x1000, 2)
    assert [tables.get(table, n) for n in range(3, 7)] == [0x703, 0x1003, 0x2003, 0]
    tables.clear(table, 3, 2)
    assert [tables.get(table, n) for n in range(3, 7)] == [0, 0, 0x2003, 0]
    assert tables.entry_size == kernel.entry_size
