"""Made-up arm64 kernels to the end of setup_arch: memory map, zones, huge pages, crash kernels."""

from __future__ import annotations

import arm64_kernels as made
import numpy as np
import pytest
from arm64_kernels import PLAIN, WIDE, G, M

from device_trees import blob, cells
from ttbr.boot.machine import Machine

NEW, OLD = "6.12.117", "6.1.192"
CUTS = [(NEW, 12, 39), (NEW, 14, 47), (NEW, 16, 42), (OLD, 12, 48), (OLD, 16, 48)]
CUTS += [(NEW, 12, 52), (NEW, 14, 52), (NEW, 16, 52), (OLD, 16, 52)]
SPARSE = {"SPARSEMEM": "y", "SPARSEMEM_EXTREME": "y", "SPARSEMEM_VMEMMAP": "y", "SMP": "y"}
SPARSE |= {"HAVE_ALIGNED_STRUCT_PAGE": "y", "OF_KOBJ": "y", "HUGETLB_PAGE": "y", "NODES_SHIFT": "2"}
HOLES = [(0x4000_0000, 512 * M), (0x7800_0000, 3 * M), (2 * G, 64 * M)]


def booted(
    cut: tuple[str, int, int] = (NEW, 12, 48),
    line: str = "",
    memory: list[tuple[int, int]] | None = None,
    *,
    tree: bytes | None = None,
    cpu=PLAIN,
    **options: str,
) -> Machine:
    kernel = made.kernel(*cut, **(SPARSE | options))
    given = tree or made.tree(memory or [(0x4000_0000, G)], f"nokaslr {line}")
    return made.run(kernel, given, cpu=cpu, stop="bootmem_init")


def said(machine: Machine) -> str:
    return "\n".join(message.text for message in machine.log.messages)


@pytest.mark.parametrize("cpu", [PLAIN, WIDE], ids=lambda cpu: cpu.name)
@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_every_page_has_its_struct_page(cut, cpu) -> None:
    """Each struct page is mapped, to memory that is reserved and nobody else's."""
    machine = booted(cut, memory=HOLES, cpu=cpu)
    state, memblock = machine.arch_state, machine.memblock
    space = machine.image().address_space("kernel")
    page, shift = 1 << cut[1], 29 if cut[1] == 16 else 27
    memstart = state.memstart - ((1 << 64) if state.memstart >> 63 else 0)
    start = state.layout.vmemmap_start - (memstart >> cut[1]) * 64
    backing: set[int] = set()
    for section in machine.sections:
        first = (section << shift) >> cut[1]
        behind = (section + 1 << shift) >> cut[1]
        va = np.array(
            [(start + pfn * 64) & ((1 << 64) - 1) for pfn in range(first, behind, page // 64)],
            np.uint64,
        )
        found = space.translate_many(va)
        assert (found.fault == 0).all()
        places = set(found.pa.tolist())
        assert len(places) == len(va) and backing.isdisjoint(places)
        backing |= places
    assert len(machine.sections) == len(
        {at >> shift for base, size in HOLES for at in range(base, base + size, M)}
    )
    assert machine.memmap_bytes == len(backing) * page
    assert all(memblock.is_region_reserved(place, page) for place in backing)


def test_blocks_where_there_is_memory_for_them() -> None:
    machine = booted()
    space = machine.image().address_space("kernel")
    vmemmap = machine.arch_state.layout.vmemmap_start
    step = space.translate(vmemmap).steps[-1]
    assert step.level == 2 and step.descriptor & ~0xFFFF_FFE0_0000 == 0x0068_0000_0000_0701
    old = booted((OLD, 12, 48)).image().address_space("kernel")
    raw = old.translate((1 << 64) - (1 << 42)).steps[-1].descriptor
    assert raw & ~0xFFFF_FFE0_0000 == 0x0060_0000_0000_0701


def dma_tree(ranges: bytes, memory: list[tuple[int, int]]) -> bytes:
    reg = b"".join(cells(b >> 32, b & 0xFFFFFFFF, s >> 32, s & 0xFFFFFFFF) for b, s in memory)
    wide = {"#address-cells": cells(2), "#size-cells": cells(2)}
    soc = ("soc", wide | {"dma-ranges": ranges}, [])
    nodes = [("memory@0", {"device_type": b"memory\0", "reg": reg}, []), soc]
    return blob(("", wide, nodes))


def zones(machine: Machine) -> dict[str, tuple[int, int]]:
    page = machine.kernel.page_size
    return {
        zone.name: (zone.start_pfn * page, zone.end_pfn * page)
        for zone in machine.nodes[0].zones
        if zone.spanned
    }


@pytest.mark.parametrize("release", [NEW, OLD])
def test_zones_by_what_devices_reach(release: str) -> None:
    ram = [(0x4000_0000, 7 * G)]
    both = {"ZONE_DMA": "y", "ZONE_DMA32": "y"}

    def of(end: int | None, **options: str) -> dict[str, tuple[int, int]]:
        ranges = b"" if end is None else cells(0, 0, 0, 0, end >> 32, end & 0xFFFF_FFFF)
        return zones(booted((release, 12, 48), tree=dma_tree(ranges, ram), **options))

    low, top = 0x4000_0000, 8 * G
    assert of(None, **both) == {"DMA": (low, 4 * G), "Normal": (4 * G, top)}
    assert of(2 * G, **both) == {
        "DMA": (low, 2 * G),
        "DMA32": (2 * G, 4 * G),
        "Normal": (4 * G, top),
    }
    # 3 GiB is exact, or the next power of two.
    end = 3 * G if release == NEW else 4 * G
    assert of(3 * G, ZONE_DMA="y") == {"DMA": (low, end), "Normal": (end, top)}
    assert of(2 * G, ZONE_DMA32="y") == {"DMA32": (low, 4 * G), "Normal": (4 * G, top)}
    assert of(2 * G) == {"Normal": (low, top)}


@pytest.mark.parametrize("release", [NEW, OLD])
def test_memory_above_4g_only(release: str) -> None:
    ram = [(8 * G, 4 * G)]
    machine = made.run(
        made.kernel(release, 12, 48, **(SPARSE | {"ZONE_DMA": "y", "ZONE_DMA32": "y"})),
        made.tree(ram),
        kernel_at=8 * G + 2 * M,
        dtb_at=8 * G + 128 * M,
        stop="bootmem_init",
    )
    assert zones(machine) == {"DMA": (8 * G, 12 * G)}


def crash(line: str, **options: str) -> tuple[list[tuple[int, int]], str]:
    machine = booted(line=line, memory=[(0x4000_0000, 7 * G)], **({"CRASH_RESERVE": "y"} | options))
    return machine.crash_areas, said(machine)


@pytest.mark.parametrize(
    ("line", "areas"),
    [
        ("crashkernel=256M", [(4 * G - 256 * M, 256 * M)]),
        ("crashkernel=256M@0x50000000", [(0x5000_0000, 256 * M)]),
        ("crashkernel=256M@0x40000000", []),
        ("crashkernel=1G-4G:128M,4G-:512M", [(4 * G - 512 * M, 512 * M)]),
        # Too much for low memory: high, and 128 MiB low.
        ("crashkernel=3500M", [(4 * G - 128 * M, 128 * M), (None, 3500 * M)]),
        ("crashkernel=256M,high", [(4 * G - 128 * M, 128 * M), (None, 256 * M)]),
        ("crashkernel=256M,high crashkernel=64M,low", [(4 * G - 64 * M, 64 * M), (None, 256 * M)]),
        ("crashkernel=256M,high crashkernel=0,low", [(None, 256 * M)]),
        # Too much for high memory: low alone would do, but has no room either.
        ("crashkernel=4000M,high", []),
        ("crashkernel=8G", []),
        ("crashkernel=64M,low", []),
        ("crashkernel=nonsense", []),
        ("quiet", []),
    ],
)
def test_a_crash_kernels_memory(line: str, areas: list[tuple[int | None, int]]) -> None:
    found, words = crash(line, ZONE_DMA="y")
    assert [size for _, size in found] == [size for _, size in areas]
    for (start, _), (wanted, _) in zip(found, areas, strict=True):
        assert start == wanted if wanted is not None else start >= 4 * G
    assert ("crashkernel reserved: " in words) == bool(areas)


def test_words_about_crash_kernels() -> None:
    assert "memory is in use" in crash("crashkernel=256M@0x40000000")[1]
    assert "cannot allocate crashkernel (size:0xfa000000)" in crash("crashkernel=4000M,high")[1]
    words = crash("crashkernel=256M,high", ZONE_DMA="y")[1]
    assert "low memory reserved: 0xf8000000 - 0x100000000 (128 MB)" in words
    assert not crash("crashkernel=256M", CRASH_RESERVE="n")[0]


def test_6_1_takes_low_memory_only_if_asked() -> None:
    options = {"KEXEC_CORE": "y", "ZONE_DMA": "y"}
    for line, sizes in (
        ("crashkernel=256M,high", [256 * M]),
        ("crashkernel=256M,high crashkernel=64M,low", [64 * M, 256 * M]),
        ("crashkernel=3500M", []),
    ):
        machine = booted((OLD, 12, 48), line, [(0x4000_0000, 7 * G)], **options)
        assert [size for _, size in machine.crash_areas] == sizes
        assert machine.stage == "bootmem_init"


CMA = {"CMA": "y", "DMA_CMA": "y", "CMA_AREAS": "7"}


@pytest.mark.parametrize(
    ("line", "sizes", "words"),
    [
        ("hugetlb_cma=1G", [G], "hugetlb_cma: reserved 1024 MiB on node 0"),
        ("hugetlb_cma=1500M", [2 * G], "up to 2048 MiB per node"),
        ("hugetlb_cma=0:2G", [2 * G], "reserved 2048 MiB on node 0"),
        ("hugetlb_cma=512M", [], "cma area should be at least 1024 MiB"),
        ("hugetlb_cma=1:1G", [], "invalid node 1 specified"),
        ("hugetlb_cma=0:512M", [], "cma area of node 0 should be at least 1024 MiB"),
        ("hugetlb_cma=100G", [], "reservation failed"),
    ],
)
def test_memory_for_gigantic_pages(line: str, sizes: list[int], words: str) -> None:
    machine = booted(line=line, memory=[(0x4000_0000, 7 * G)], **CMA)
    areas = [area for area in machine.cma.areas if area.name.startswith("hugetlb")]
    assert [area.size for area in areas] == sizes
    assert all(area.base % G == 0 for area in areas)
    assert words in said(machine)


def test_resources_and_the_configuration_come_last() -> None:
    machine = booted(line="memblock=debug", memory=HOLES)
    last = machine.log[-1]
    assert last.detail.startswith(f"memblock_alloc_try_nid: {3 * 64} bytes align=0x40")
    assert " memory.cnt  = 0x3" in said(machine)


def test_what_is_not_predicted_is_said() -> None:
    for line, options in (
        ("memtest=1", {"MEMTEST": "y"}),
        ("kvm-arm.mode=protected", {"KVM": "y"}),
        ("numa=fake=2", {"NUMA": "y", "NUMA_EMU": "y"}),
    ):
        unknowns = booted(line=line, **options).unknowns
        assert any(line.split("=")[0] in unknown for unknown in unknowns), line
