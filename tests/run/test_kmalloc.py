"""Memory in bytes: caches, slabs, large blocks, and what kfree() refuses."""

import random
from itertools import pairwise

import pytest
from memory_maps import mapped
from page_invariants import check, contents

from ttbr.boot.free_area import CMA
from ttbr.errors import InputError
from ttbr.run import Gfp, run
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_ATOMIC, GFP_DMA, GFP_KERNEL, GFP_KERNEL_ACCOUNT
from ttbr.run.kmalloc import ZERO_SIZE_PTR

BOARDS = ["arm64", "arm", "arm64-16k", "arm64-64k", "arm64-numa"]


@pytest.fixture(params=BOARDS)
def kernel(request):
    return run(mapped(request.param))


def test_objects_do_not_overlap_and_come_back(kernel) -> None:
    chance = random.Random(7)
    pages = kernel.pages
    before = contents(pages)
    held: dict[int, int] = {}
    for _ in range(3000):
        if held and chance.random() < 0.45:
            address = chance.choice(list(held))
            kernel.kfree(address)
            del held[address]
            continue
        size = int(2 ** chance.uniform(0, 15))
        gfp = chance.choice([GFP_KERNEL, GFP_ATOMIC, GFP_KERNEL_ACCOUNT, GFP_KERNEL | Gfp.ZERO])
        held[kernel.kmalloc(size, gfp)] = size
    ranges = sorted(held.items())
    assert all(start + size <= after for (start, size), (after, _) in pairwise(ranges))
    for address in list(held):
        kernel.kfree(address)
    caches = kernel.slabs.caches.values()
    slabs = {slab.pfn: slab.order for cache in caches for slab in cache.slabs.values()}
    check(pages, slabs)
    assert not any(cache.inuse for cache in caches)
    # Empty slabs that a cache keeps are all that is missing.
    kept = sum(1 << order for order in slabs.values())
    assert pages.free + kept == sum(1 << order for _, _, order, _ in before)


def test_bytes_are_where_the_address_says(kernel) -> None:
    address = kernel.kmalloc(200)
    phys = kernel.addresses.phys(address)
    assert kernel.addresses.virt(phys) == address
    assert kernel.pages.frames.owner(phys // kernel.page_size) == Owner.SLAB
    kernel.ram.write(phys, b"left over")
    kernel.kfree(address)
    assert kernel.kmalloc(200) == address and kernel.ram.read(phys, 4) == b"left"
    kernel.kfree(address)
    assert kernel.kmalloc(200, GFP_KERNEL | Gfp.ZERO) == address
    assert not any(kernel.ram.read(phys, 200))


def test_large_ones_are_blocks_of_pages(kernel) -> None:
    page = kernel.page_size
    address = kernel.kmalloc(5 * page)
    pfn = kernel.addresses.pfn(address)
    assert kernel.pages.frames.order(pfn) == 3 and address % (8 * page) == 0
    free = kernel.pages.free
    kernel.kfree(address)
    assert kernel.pages.free == free + 8
    with pytest.raises(InputError, match="no block of pages"):
        kernel.kmalloc((page << kernel.pages.max_order) + 1)


def test_a_cache_by_size_and_flags() -> None:
    slabs = run(mapped("arm64")).slabs
    names = [slabs.cache(size).name for size in (1, 128, 129, 200, 4096, 4097)]
    assert names == ["kmalloc-128"] * 2 + ["kmalloc-256"] * 2 + ["kmalloc-4k", "kmalloc-8k"]
    assert slabs.cache(64, GFP_DMA | GFP_KERNEL).name == "dma-kmalloc-128"
    assert slabs.cache(64, GFP_KERNEL_ACCOUNT).name == "kmalloc-cg-128"
    assert slabs.cache(64, GFP_KERNEL | Gfp.RECLAIMABLE).name == "kmalloc-rcl-128"
    small = run(mapped("arm64-16k")).slabs
    assert [small.cache(size).name for size in (1, 70, 130)] == [
        "kmalloc-64",
        "kmalloc-128",
        "kmalloc-192",
    ]


@pytest.mark.parametrize("address", ["object", "inside", "page", "free", "elsewhere", "user"])
def test_what_was_never_given_cannot_be_freed(address: str) -> None:
    kernel = run(mapped("arm64"))
    given = kernel.kmalloc(256)
    gone = kernel.kmalloc(256)
    kernel.kfree(gone)
    pfn = kernel.pages.alloc_pages(0)
    wrong = {
        "object": gone,
        "inside": given + 8,
        "page": kernel.addresses.page_address(pfn) + 64,
        "free": kernel.addresses.page_address(kernel.pages.zones[0].end - 1),
        "elsewhere": 0xFFFF_8000_0000_0000,
        "user": 0x1000,
    }[address]
    inuse = kernel.slabs.cache(256).inuse
    with pytest.raises(InputError, match="kfree of"):
        kernel.kfree(wrong)
    assert kernel.slabs.cache(256).inuse == inuse


def test_nothing_is_an_address_of_its_own() -> None:
    kernel = run(mapped("arm64"))
    assert kernel.kmalloc(0) == ZERO_SIZE_PTR
    free = kernel.pages.free
    kernel.kfree(ZERO_SIZE_PTR)
    kernel.kfree(0)
    assert kernel.pages.free == free


def test_a_smaller_slab_where_large_ones_are_rare() -> None:
    kernel = run(mapped("arm64-small"))
    pages = kernel.pages
    cache = kernel.slabs.cache(4096)
    assert cache.order == 3
    (zone,) = [zone for zone in pages.zones if zone.present]
    many = pages.alloc_bulk(zone.free - zone.area.pages[CMA], GFP_KERNEL | Gfp.MEMALLOC)
    pages.free_bulk(many[many % 2 == 0])
    kernel.kmalloc(4096)
    (slab,) = cache.slabs.values()
    assert (slab.order, slab.objects) == (0, 1)


def test_the_command_line_bounds_slabs() -> None:
    from machines import G
    from memory_maps import made_up

    booted = made_up(((G, G, None),), "6.12.117", args="slab_max_order=1 slub_min_objects=2")
    cache = run(booted).slabs.cache(4096)
    assert (cache.order, cache.objects) == (1, 2)
