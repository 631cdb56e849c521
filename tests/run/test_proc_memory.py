"""/proc about memory, of a running kernel: columns, sums, and what an allocation changes."""

import pytest
from memory_maps import mapped

from ttbr.report.proc.buddyinfo import buddyinfo
from ttbr.report.proc.meminfo import meminfo, meminfo_lines
from ttbr.report.proc.pagetypeinfo import pagetypeinfo
from ttbr.report.proc.zoneinfo import zoneinfo
from ttbr.run import Gfp, run
from ttbr.run.gfp import GFP_KERNEL

BOARDS = ["arm64", "arm-highmem", "arm64-numa", "arm64-16k"]


@pytest.fixture(params=BOARDS)
def kernel(request):
    return run(mapped(request.param))


def free_in(lines: list[str]) -> int:
    return sum(
        int(count) << order
        for line in lines
        for order, count in enumerate(line.split("zone")[1].split()[1:])
    )


def test_buddyinfo_adds_up(kernel) -> None:
    lines = buddyinfo(kernel.pages)
    assert free_in(lines) == kernel.pages.free
    kernel.pages.alloc_pages(3)
    assert free_in(buddyinfo(kernel.pages)) == kernel.pages.free
    assert len(lines) == sum(bool(zone.present) for zone in kernel.pages.zones)


def test_pagetypeinfo_adds_up(kernel) -> None:
    kernel.pages.alloc_pages(0, GFP_KERNEL | Gfp.RECLAIMABLE)
    lines = pagetypeinfo(kernel.pages)
    free = sum(
        int(count) << order
        for line in lines
        if ", type " in line
        for order, count in enumerate(line.split()[6:])
    )
    assert free == kernel.pages.free
    counted = [line for line in lines if "zone" in line and "type" not in line]
    for line, zone in zip(counted, [z for z in kernel.pages.zones if z.present], strict=True):
        blocks = sum(map(int, line.split()[4:]))
        first, last = zone.start >> zone.pageblock_order, (zone.end - 1) >> zone.pageblock_order
        assert 0 < blocks <= last - first + 1
    assert sum(int(line.split()[6]) for line in counted) >= 1


def test_zoneinfo_says_what_zones_are_like(kernel) -> None:
    text = "\n".join(zoneinfo(kernel))
    for zone in kernel.pages.zones:
        assert f"Node {zone.node}, zone {zone.name:>8}\n" in text
        assert f"        managed  {zone.managed}\n" in text
    assert text.count("start_pfn:") == sum(bool(zone.present) for zone in kernel.pages.zones)
    assert text.count("per-node stats") == len({zone.node for zone in kernel.pages.zones})


@pytest.mark.parametrize("board", ["arm64", "arm-highmem"])
def test_meminfo_follows_allocations(board: str) -> None:
    kernel = run(mapped(board))
    kib = kernel.page_size >> 10
    before = meminfo(kernel)
    assert before["MemFree"] == kernel.pages.free * kib
    kernel.kmalloc(100)
    kernel.vmalloc(10 * kernel.page_size)
    process = kernel.spawn()
    process.store(process.mmap(1 << 20), b"x")
    after = meminfo(kernel)
    slab = kernel.slabs.cache(100)
    assert after["SUnreclaim"] - before["SUnreclaim"] >= kib << slab.order
    assert after["VmallocUsed"] - before["VmallocUsed"] == 10 * kib
    assert after["AnonPages"] > before["AnonPages"]
    assert after["PageTables"] > before["PageTables"] == 0
    assert after["MemFree"] < before["MemFree"] and after["MemTotal"] == before["MemTotal"]
    assert after["MemAvailable"] < before["MemAvailable"] < before["MemFree"]


def test_figures_are_in_the_kernels_columns() -> None:
    figures = {"MemTotal": 12, "HardwareCorrupted": 0, "HugePages_Total": 3, "KernelStack": None}
    assert meminfo_lines(figures | {"VmallocTotal": 135288315904}) == [
        "MemTotal:             12 kB",
        "HardwareCorrupted:     0 kB",
        "HugePages_Total:       3",
        "KernelStack:           ? kB",
        "VmallocTotal:   135288315904 kB",
    ]
