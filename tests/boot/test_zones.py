"""Zones and nodes: spans, holes, ZONE_MOVABLE, and the kernel's lines about them."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.events import EventLog
from ttbr.boot.memblock import Flags, Memblock
from ttbr.boot.params import Params
from ttbr.boot.zone_movable import CoreSizes, MovableFinder, core_sizes
from ttbr.boot.zones import Zone, free_area_init, zone_names
from ttbr.kernel.config import Config
from ttbr.kernel.release import Release

M = 1 << 20
PAGE = 4096


def machine(banks, options="", *, arch="arm64", bootargs="", release="6.12.117", nomap=()):
    config = dict.fromkeys(options.split(), "y") | {"HAVE_ALIGNED_STRUCT_PAGE": "y"}
    kernel = SimpleNamespace(
        arch=arch,
        config=Config(config),
        release=Release.parse(release),
        page_size=PAGE,
        sizes={},
        phys_bits=32 if arch == "arm" else 64,
        caller=lambda *chain, tail=0: chain[-1],
    )
    log = EventLog()
    memblock = Memblock(log, 32 if arch == "arm" else 64)
    for base, size in banks:
        memblock.add(base, size, "test")
    for base, size in nomap:
        memblock.mark_nomap(base, size, "test")
    return SimpleNamespace(
        kernel=kernel,
        log=log,
        memblock=memblock,
        params=Params(bootargs),
        elfcorehdr=None,
        nodes=[],
        nr_kernel_pages=0,
        memmap_bytes=0,
        nr_all_pages=0,
    )


def said(made):
    return [message.text for message in made.log.messages]


def spans(made):
    return {z.name: (z.start_pfn * PAGE, z.spanned, z.present) for z in made.nodes[0].zones}


def test_a_kernel_has_the_zones_of_its_configuration() -> None:
    assert zone_names(Config({})) == ["Normal", "Movable"]
    every = Config({"ZONE_DMA": "y", "ZONE_DMA32": "y", "HIGHMEM": "y", "ZONE_DEVICE": "y"})
    assert zone_names(every) == ["DMA", "DMA32", "Normal", "HighMem", "Movable"]


def test_a_hole_between_banks_is_absent_and_unavailable() -> None:
    made = machine([(0x8000_0000, 256 * M), (0xA000_0000, 256 * M)])
    free_area_init(made, {"Normal": 0xB_0000}, section_bytes=128 * M)
    assert spans(made)["Normal"] == (0x8000_0000, 768 * M // PAGE, 512 * M // PAGE)
    # whole sections without memory have no struct pages
    assert not [line for line in said(made) if "unavailable" in line]


def test_struct_pages_of_no_memory_are_counted_by_section() -> None:
    made = machine([(0x4000_0000, 100 * M), (0x4C00_0000, 10 * M)])
    free_area_init(made, {"Normal": 0x4_CA00}, section_bytes=128 * M)
    inside, behind = (28 + 64) * M // PAGE, (64 - 10) * M // PAGE
    assert said(made)[-2:] == [
        f"On node 0, zone Normal: {inside} pages in unavailable ranges",
        f"On node 0, zone Normal: {behind} pages in unavailable ranges",
    ]


def test_on_arm_page_blocks_with_memory_count_instead() -> None:
    made = machine([(0x6000_0000, 9 * M), (0x6080_0000 + 24 * M, M)], arch="arm")
    free_area_init(made, {"Normal": 0x6_2100})
    # page blocks are 4 MiB: the second has 3 MiB behind the first bank, the last begins with RAM
    assert said(made)[-1] == f"On node 0, zone Normal: {3 * M // PAGE} pages in unavailable ranges"
    (zone,) = (z for z in made.nodes[0].zones if z.spanned)
    assert zone.absent == 23 * M // PAGE


def test_the_lines_of_zones_that_are_empty_or_not() -> None:
    made = machine([(0x4000_0000, 512 * M)], "ZONE_DMA ZONE_DMA32")
    free_area_init(made, {"DMA": 0x10_0000, "DMA32": 0x10_0000, "Normal": 0x6_0000})
    assert said(made)[:8] == [
        "Zone ranges:",
        "  DMA      [mem 0x0000000040000000-0x00000000ffffffff]",
        "  DMA32    empty",
        "  Normal   empty",
        "Movable zone start for each node",
        "Early memory node ranges",
        "  node   0: [mem 0x0000000040000000-0x000000005fffffff]",
        "Initmem setup node 0 [mem 0x0000000040000000-0x000000005fffffff]",
    ]
    assert "  Device   empty" not in said(made)
    made = machine([(0x4000_0000, 512 * M)], "ZONE_DEVICE")
    free_area_init(made, {"Normal": 0x6_0000})
    assert said(made)[1:4] == [
        "  Normal   [mem 0x0000000040000000-0x000000005fffffff]",
        "  Device   empty",
        "Movable zone start for each node",
    ]


@pytest.mark.parametrize(
    ("bootargs", "start"),
    [
        ("kernelcore=512M", 0x6000_0000),
        ("kernelcore=50%", 0x6000_0000),
        ("movablecore=256M", 0x7000_0000),
        ("movablecore=25%", 0x7000_0000),
        ("movablecore=255M", 0x7000_0000),  # rounded up to a block of the largest order
        ("kernelcore=900M movablecore=512M", 0x7840_0000),  # the larger kernelcore wins
        ("kernelcore=2G", None),
        ("kernelcore=mirror", None),
    ],
)
def test_movable_begins_where_the_kernels_share_ends(bootargs: str, start: int | None) -> None:
    made = machine([(0x4000_0000, 1024 * M)], bootargs=bootargs)
    free_area_init(made, {"Normal": 0x8_0000}, section_bytes=128 * M)
    movable = spans(made)["Movable"]
    if start is None:
        assert movable == (0, 0, 0)
        assert not [line for line in said(made) if line.startswith("  Node")]
    else:
        assert movable[0] == start
        assert f"  Node 0: {start:#018x}" in said(made)
        assert spans(made)["Normal"][1] + movable[1] == 1024 * M // PAGE


def test_movable_node_takes_hotplug_memory() -> None:
    made = machine([(0x4000_0000, 1024 * M)])
    made.memblock.mark_hotplug(0x6000_0000, 256 * M, "test")
    made.memblock.movable_node = True
    free_area_init(made, {"Normal": 0x8_0000}, section_bytes=128 * M)
    assert spans(made)["Movable"] == (0x6000_0000, 512 * M // PAGE, 512 * M // PAGE)


def test_core_sizes_are_bytes_or_per_cent() -> None:
    assert core_sizes(Params("kernelcore=1G movablecore=30%"), PAGE) == CoreSizes(
        kernelcore=0x4_0000, movablecore_percent=30
    )
    assert core_sizes(Params("kernelcore=mirror kernelcore"), PAGE) == CoreSizes(mirror=True)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=6),
    st.integers(0, 3000),
)
def test_two_nodes_keep_at_least_what_was_asked_for(gaps, core) -> None:
    ranges, at = [], 0
    for index, (gap, size) in enumerate(gaps):
        ranges.append((at + gap, at + gap + size, index % 2))
        at += gap + size
    finder = MovableFinder(ranges, 1, 64)
    finder.from_sizes(CoreSizes(kernelcore=core), 0)
    total = sum(end - start for start, end, _ in ranges)
    kernels = sum(
        max(0, min(end, finder.starts.get(node) or end) - start) for start, end, node in ranges
    )
    if 0 < core < total:
        # a remainder smaller than the number of nodes is not spread
        assert kernels >= core - 2
    else:
        assert kernels == total


@given(
    st.lists(st.tuples(st.integers(0, 1 << 18), st.integers(1, 1 << 18)), min_size=1, max_size=8),
    st.lists(st.integers(0, 1 << 20), min_size=3, max_size=3),
)
def test_zones_cover_the_memory_below_the_highest_bound(banks, bounds) -> None:
    made = machine([(base * PAGE, size * PAGE) for base, size in banks], "ZONE_DMA ZONE_DMA32")
    dma, dma32, normal = sorted(bounds)
    end = max(normal, made.memblock.end_of_dram() // PAGE)
    free_area_init(made, {"DMA": dma, "DMA32": dma32, "Normal": end}, section_bytes=128 * M)
    (node,) = made.nodes
    assert node.spanned == sum(zone.spanned for zone in node.zones)
    assert node.present * PAGE == made.memblock.phys_mem_size()
    at = node.start_pfn
    for zone in node.zones:
        if zone.spanned:
            assert zone.start_pfn == at
            at = zone.end_pfn
        assert 0 <= zone.absent <= zone.spanned
    assert isinstance(node.zones[0], Zone)


def test_nomap_memory_is_memory_of_its_zone() -> None:
    made = machine([(0x4000_0000, 64 * M)], nomap=[(0x4100_0000, M)])
    assert made.memblock.memory.list[1].flags == Flags.NOMAP
    free_area_init(made, {"Normal": 0x4_4000}, section_bytes=128 * M)
    assert spans(made)["Normal"] == (0x4000_0000, 64 * M // PAGE, 64 * M // PAGE)
    assert sum(line.startswith("  node") for line in said(made)) == 3
