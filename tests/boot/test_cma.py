"""The default contiguous-memory area."""

import pytest
from machines import CMA, G, M, board_tree, kernel, machine

from ttbr.boot.cma import default_size, dma_contiguous_reserve
from ttbr.boot.early_fdt import early_init_dt_scan

CONFIG = CMA | {"CMA_SIZE_SEL_MBYTES": "y", "CMA_SIZE_MBYTES": 16}


def prepared(
    arch: str = "arm64", release: str = "6.12.117", memory=((G, G),), bootargs: str = "", **options
):
    cpu = "arm,cortex-a53" if arch == "arm64" else "arm,cortex-a15"
    chosen = {"bootargs": bootargs.encode() + b"\0"}
    tree = board_tree(memory=memory, cpu=cpu, chosen=chosen)
    there = machine(tree, kernel(arch, release, **(CONFIG | options)))
    early_init_dt_scan(there)
    return there


def area(there) -> tuple[int, int] | None:
    found = there.cma.default
    return None if found is None else (found.base, found.size)


def said(there) -> str:
    return "\n".join(message.text for message in there.log.messages)


@pytest.mark.parametrize(
    ("choice", "size"),
    [
        ("CMA_SIZE_SEL_MBYTES", 16 * M),
        ("CMA_SIZE_SEL_PERCENTAGE", G // 4096 * 10 // 100 * 4096),
        ("CMA_SIZE_SEL_MIN", 16 * M),
        ("CMA_SIZE_SEL_MAX", G // 4096 * 10 // 100 * 4096),
        ("NONE", 0),
    ],
)
def test_size(choice: str, size: int) -> None:
    options = {"CMA_SIZE_SEL_MBYTES": "n", choice: "y", "CMA_SIZE_PERCENTAGE": 10}
    assert default_size(prepared(**options)) == size


def test_top_of_memory() -> None:
    there = prepared()
    dma_contiguous_reserve(there, 1 << 48, 2 * G)
    assert area(there) == (2 * G - 16 * M, 16 * M)
    assert [event.function for event in there.log if event.kind == "memblock_reserve"] == [
        "memblock_alloc_range_nid"
    ]
    assert said(there) == "cma: Reserved 16 MiB at 0x000000007f000000 on node -1"


def test_nothing_without_the_option_or_with_an_area() -> None:
    there = prepared(DMA_CMA="n")
    dma_contiguous_reserve(there, 0, 2 * G)
    assert area(there) is None
    there = prepared()
    dma_contiguous_reserve(there, 0, 2 * G)
    first = area(there)
    dma_contiguous_reserve(there, 0, 2 * G)
    assert area(there) == first and len(there.cma.areas) == 1


@pytest.mark.parametrize(
    ("bootargs", "where"),
    [
        ("cma=0", None),
        ("cma=5M", (2 * G - 8 * M, 8 * M)),
        ("cma=8M@0x50000000", (0x50000000, 8 * M)),
        ("cma=8M@0x50000000-0x60000000", (0x5F800000, 8 * M)),
        ("cma=8M@0x50001000", None),
        ("cma=2G", None),
        ("cma=8M@0x7fc00000", None),
    ],
)
def test_command_line(bootargs: str, where: tuple[int, int] | None) -> None:
    there = prepared(bootargs=bootargs)
    dma_contiguous_reserve(there, 0, 2 * G)
    assert area(there) == where
    assert ("Failed to reserve" in said(there)) == (where is None and bootargs != "cma=0")


def test_a_fixed_area_must_be_free() -> None:
    there = prepared(bootargs="cma=8M@0x50000000")
    there.memblock.reserve(0x50000000, 1, "f")
    dma_contiguous_reserve(there, 0, 2 * G)
    assert area(there) is None


def test_highmem_first() -> None:
    there = prepared("arm")
    dma_contiguous_reserve(there, 0xFFFFFFFF, G + 768 * M)
    assert area(there) == (2 * G - 16 * M, 16 * M)
    assert there.cma.remap == [(2 * G - 16 * M, 16 * M)]
    fixed = prepared("arm", bootargs="cma=16M@0x6f800000")
    dma_contiguous_reserve(fixed, 0xFFFFFFFF, G + 768 * M)
    assert area(fixed) is None and "low/high memory boundary" in said(fixed)


def test_lowmem_if_highmem_is_too_small() -> None:
    there = prepared("arm")
    dma_contiguous_reserve(there, 0xFFFFFFFF, 2 * G - 8 * M)
    assert area(there) == (2 * G - 24 * M, 16 * M)


@pytest.mark.parametrize(("release", "base", "reserved"), [("6.1.176", G, 2), ("6.12.1", 4 * G, 1)])
def test_above_4g(release: str, base: int, reserved: int) -> None:
    """Old LPAE kernels try highmem, then 4 GiB below a limit that is already gone, then lowmem."""
    memory = ((G, G), (4 * G, G))
    there = prepared("arm", release, memory, ARM_LPAE="y")
    dma_contiguous_reserve(there, 0, G + 768 * M)
    found = area(there)
    assert found is not None
    assert found[0] == (4 * G if reserved == 1 else G + 752 * M)
    assert sum(event.kind == "memblock_reserve" for event in there.log) == reserved


def test_room_for_areas() -> None:
    there = prepared(CMA_AREAS=0)
    dma_contiguous_reserve(there, 0, 2 * G)
    assert area(there) is None and "Not enough slots" in said(there)
    old = prepared(release="6.1.1", CMA_AREAS=0)
    dma_contiguous_reserve(old, 0, 2 * G)
    assert area(old) is not None


def test_64k_pages_want_512m() -> None:
    options = {"ARM64_64K_PAGES": "y", "HUGETLB_PAGE": "y", "ARCH_FORCE_MAX_ORDER": 13}
    there = prepared(memory=((G, 512 * M),), **options)
    there.memblock.reserve(G, 1, "f")
    dma_contiguous_reserve(there, 0, G + 512 * M)
    assert area(there) is None and "Failed to reserve 512 MiB" in said(there)
