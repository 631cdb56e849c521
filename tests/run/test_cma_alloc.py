"""Contiguous allocations: where they go, what they leave, and what is in their way."""

import random

import pytest
from memory_maps import mapped
from page_invariants import check, contents

from ttbr.boot.free_area import CMA
from ttbr.errors import InputError
from ttbr.run import run
from ttbr.run.cma import CmaBusy
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE

BOARDS = ["arm64", "arm64-16k", "arm64-numa", "arm-highmem"]


@pytest.fixture(params=BOARDS)
def kernel(request):
    return run(mapped(request.param))


def area_of(kernel) -> tuple[int, int]:
    area = kernel.machine.cma.default
    return area.base // kernel.page_size, (area.base + area.size) // kernel.page_size


def test_in_a_row_from_the_start_of_the_area(kernel) -> None:
    start, end = area_of(kernel)
    before = contents(kernel.pages)
    first = kernel.cma.alloc(3)
    second = kernel.cma.alloc(10, align=4)
    assert first == start and second == -(-(start + 3) // 16) * 16
    held = {first + i: 0 for i in range(3)} | {second + i: 0 for i in range(10)}
    check(kernel.pages, held)
    with pytest.raises(CmaBusy, match="in a row"):
        kernel.cma.alloc(end - start)
    check(kernel.pages, held)
    kernel.cma.release(second, 10)
    kernel.cma.release(first, 3)
    assert contents(kernel.pages) == before
    functions = [event.function for event in kernel.log][-4:]
    assert functions == ["cma_alloc"] * 2 + ["cma_release"] * 2


def test_the_whole_area(kernel) -> None:
    start, end = area_of(kernel)
    zone = kernel.pages.zone_of(start)
    assert kernel.cma.alloc(end - start) == start
    assert zone.area.pages[CMA] == 0
    check(kernel.pages, dict.fromkeys(range(start, end), 0))
    kernel.cma.release(start, end - start)
    assert zone.area.pages[CMA] == end - start


def test_pages_in_use_are_in_the_way() -> None:
    kernel = run(mapped("arm64-small"))
    pages = kernel.pages
    (zone,) = [zone for zone in pages.zones if zone.present]
    pages.alloc_bulk(zone.free - zone.cma - 8000)
    user = [pages.alloc_pages(0, GFP_HIGHUSER_MOVABLE) for _ in range(3)]
    inside = [pfn for pfn in user if zone.block_type(pfn) == CMA]
    assert inside
    found = kernel.cma.alloc(64)
    assert not set(inside) & set(range(found, found + 64))


def test_at_random() -> None:
    kernel, chance = run(mapped("arm64-16k")), random.Random(3)
    before, held = contents(kernel.pages), {}
    for _ in range(300):
        if held and chance.random() < 0.5:
            pfn = chance.choice(list(held))
            kernel.cma.release(pfn, held.pop(pfn))
            continue
        count, align = chance.randrange(1, 400), chance.randrange(6)
        try:
            pfn = kernel.cma.alloc(count, align)
        except CmaBusy:
            continue
        assert pfn % (1 << align) == 0
        held[pfn] = count
    check(kernel.pages, {pfn + i: 0 for pfn, count in held.items() for i in range(count)})
    for pfn, count in held.items():
        kernel.cma.release(pfn, count)
    assert contents(kernel.pages) == before


def test_what_is_refused() -> None:
    kernel = run(mapped("arm64"))
    start, _ = area_of(kernel)
    with pytest.raises(InputError, match="no contiguous area 'camera': there is reserved"):
        kernel.cma.alloc(1, area="camera")
    with pytest.raises(InputError, match="none to allocate"):
        kernel.cma.alloc(0)
    with pytest.raises(InputError, match="of no contiguous area"):
        kernel.cma.release(start, 1)
    bare = run(mapped("arm64-64k"))
    with pytest.raises(InputError, match="no contiguous area 'default': there is none"):
        bare.cma.alloc(1)
