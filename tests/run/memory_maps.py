"""Memory maps for the tests: nodes, zones, page sizes and areas in all that kernels can do."""

import functools
from collections.abc import Callable

from arm64_kernels import PLAIN
from arm64_kernels import kernel as arm64_kernel
from machines import CMA, G, M, board_tree, pairs
from machines_up import booted

from device_trees import blob, cells
from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot
from ttbr.boot.loader import custom

ZONES = {"ZONE_DMA": "y", "ZONE_DMA32": "y"}
SPARSE = {"SPARSEMEM": "y", "SPARSEMEM_EXTREME": "y", "SPARSEMEM_VMEMMAP": "y"}
HUGE = {"HUGETLB_PAGE": "y", "TRANSPARENT_HUGEPAGE": "y", "TRANSPARENT_HUGEPAGE_ALWAYS": "y"}
NUMA = {"NUMA": "y", "OF_NUMA": "y", "NODES_SHIFT": "2"}
AREA = {**CMA, "CMA_SIZE_SEL_MBYTES": "y", "CMA_SIZE_MBYTES": "64", "CMA_AREAS": "19"}
DMA_END = G + G // 4
"""What the devices of made-up boards reach: only that much is in the DMA zone, if there is one."""
COMMON = {**SPARSE, **AREA, "SMP": "y", "NR_CPUS": "8", "COMPACTION": "y"}


def made_up(
    banks: tuple[tuple[int, int, int | None], ...],
    release: str,
    page_shift: int = 12,
    va_bits: int = 48,
    args: str = "",
    **options: str,
) -> Boot:
    """An arm64 kernel that nobody built, on banks (base, size, node)."""
    nodes = [
        (
            f"memory@{base:x}",
            {"device_type": b"memory\0", "reg": pairs((base, size))}
            | ({} if nid is None else {"numa-node-id": cells(nid)}),
            [],
        )
        for base, size, nid in banks
    ]
    reach = pairs((0, 0), (DMA_END, 0))[:24]  # device, CPU and size, of two cells each
    soc = {"#address-cells": cells(2), "#size-cells": cells(2), "ranges": b"", "dma-ranges": reach}
    chosen = {"bootargs": args.encode() + b"\0"}
    board = Board.from_dtb(blob(board_tree(("soc", soc, []), *nodes, memory=(), chosen=chosen)))
    made = arm64_kernel(release, page_shift, va_bits, **(COMMON | options))
    base = banks[0][0]
    return boot(board, made, custom(board, base + 2 * M, base + 64 * M), cpu=PLAIN)


MAPS: dict[str, Callable[[], Boot]] = {
    # Three zones, and nodes that take turns.
    "arm64-numa": lambda: made_up(
        ((G, G // 4, 0), (G + G // 4, G // 4, 1), (2 * G, G // 4, 0), (4 * G, G // 2, 1)),
        "6.12.117",
        **ZONES,
        **NUMA,
        **HUGE,
    ),
    "arm64-16k": lambda: made_up(((G, G, None),), "6.12.117", 14, 47, **HUGE),
    # A page block of 512 MiB: too much for grouping by mobility.
    "arm64-64k": lambda: made_up(
        ((G, G, None),), "6.1.176", 16, 42, **HUGE, ARCH_FORCE_MAX_ORDER="14"
    ),
    "arm64-small": lambda: made_up(((G, G // 8, None),), "6.1.176", **ZONES, CMA_SIZE_MBYTES="48"),
}
ALL = ("arm64", "arm", "arm-highmem", *MAPS)


@functools.cache
def mapped(name: str) -> Boot:
    """A board of `MAPS` or of those with shipped kernels, up to the hand-over."""
    return MAPS[name]() if name in MAPS else booted(name)
