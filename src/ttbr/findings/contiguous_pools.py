"""Rules about the contiguous pools that the device tree asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ttbr.boot.boot import Boot
from ttbr.boot.reserved_mem import ReservedMemory
from ttbr.boot.reserved_mem_kinds import is_reusable_pool
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.contiguous import FAILED, FAILED_ON
from ttbr.findings.finding import (
    Bytes,
    Found,
    Severity,
    argument,
    config,
    node,
)
from ttbr.findings.reserved_memory import NO_MATCH, path
from ttbr.findings.words import said
from ttbr.format import about, counted, size
from ttbr.kernel.pageblock import pageblock_bytes

ALIGNMENT = "Reserved memory: incorrect alignment of CMA region"
BYPASS = "Reserved memory: bypass {node} node, using cmdline CMA params instead"
NO_SLOT = "cma: Not enough slots for CMA reserved regions!"
NO_SETUP = "Reserved memory: unable to setup CMA region"


@CHECK.rule(
    "cma-misaligned",
    Severity.ERROR,
    "a reserved-memory pool is not aligned to page blocks, and is given back",
    source="kernel/dma/contiguous.c: rmem_cma_setup",
    remedy="Align base and size to CMA_MIN_ALIGNMENT_BYTES, which the finding names: 2 MiB on "
    "arm64 with 4K pages, 32 MiB with 16K, 512 MiB with 64K, 4 or 8 MiB on 32-bit ARM.",
    example="pool@60100000 { reusable; reg = <0x0 0x60100000 0x0 0x1000000>; }; on arm64.",
    kernel=(ALIGNMENT, NO_MATCH),
)
@of_boot
def cma_misaligned(boot: Boot) -> Iterable[Found]:
    """A reusable shared-dma-pool must begin and end at page blocks; they depend on page size.

    Otherwise the region is not reserved at all, and its devices fall back to the default area.
    """
    block = pageblock_bytes(boot.machine.kernel)
    for name, lines in _refused(boot, ALIGNMENT):
        yield Found(
            f"{path(name)} is not aligned to page blocks of {size(block)}: it is not reserved",
            f"align its base and size to {size(block)}",
            kernel=lines,
            numbers={"page block": Bytes(block)},
            places=(node(path(name), "reg"),),
        )


@CHECK.rule(
    "cma-overridden",
    Severity.WARNING,
    "cma= on the command line turns a pool of the device tree off",
    source="kernel/dma/contiguous.c: rmem_cma_setup",
    remedy="Drop cma=, or the node's linux,cma-default.",
    example="cma=32M with a node that has linux,cma-default.",
    kernel=(BYPASS, NO_MATCH),
)
@of_boot
def cma_overridden(boot: Boot) -> Iterable[Found]:
    """A node with linux,cma-default is not reserved if cma= is given, whatever its size says.

    Devices that refer to the node by memory-region then have no memory of their own.
    """
    for name, lines in _refused(boot, BYPASS):
        yield Found(
            f"cma= replaces {path(name)}: the node is not reserved",
            "drop cma= from the command line, or linux,cma-default from the node",
            kernel=lines,
            places=(argument("cma="), node(path(name), "linux,cma-default")),
        )


@CHECK.rule(
    "cma-no-slot",
    Severity.ERROR,
    "there are more contiguous areas than the kernel has slots for",
    source="mm/cma.c: cma_init_reserved_mem; CONFIG_CMA_AREAS",
    remedy="Raise CONFIG_CMA_AREAS, or join areas.",
    example="22 reusable shared-dma-pool nodes with Debian's kernel.",
    kernel=(NO_SLOT, NO_SETUP, NO_MATCH, FAILED, FAILED_ON),
)
@of_boot
def cma_no_slot(boot: Boot) -> Iterable[Found]:
    """CONFIG_CMA_AREAS is a fixed number (7 or 8, 19 or 20 with NUMA); more areas are refused.

    The default area comes last, and is the first to go without.
    """
    lines = list(said(boot, NO_SLOT))
    if lines:
        refused = [name for name, _ in _refused(boot, NO_SETUP)]
        yield Found(
            f"{counted(len(lines), 'contiguous area')} beyond the "
            f"{len(boot.machine.cma.areas)} that the kernel has slots for",
            "raise CONFIG_CMA_AREAS, or join areas",
            kernel=tuple(line.text for line in lines),
            numbers={"slots": len(boot.machine.cma.areas), "beyond": len(lines)},
            places=(config("CMA_AREAS"), *(node(path(name)) for name in refused)),
        )


@CHECK.rule(
    "cma-default-late",
    Severity.WARNING,
    "the default contiguous area is reserved beside the tree's own",
    source="drivers/of/of_reserved_mem.c: fdt_scan_reserved_mem_reg_nodes; "
    "arch/arm/mm/init.c: arm_memblock_init (6.12 and later)",
    remedy="Pass cma=0, or give the node a size and alloc-ranges instead of a reg.",
    example="32-bit ARM, Linux 6.12, and a node with reg and linux,cma-default.",
)
@of_boot
def cma_default_late(boot: Boot) -> Iterable[Found]:
    """Since 6.12 nodes with reg become areas only when the tree is unflattened.

    32-bit ARM reserves the default area before that: it finds none from the tree, takes the
    configuration's size too, and the tree's area then replaces it as the default.
    """
    machine = boot.machine
    if machine.kernel.arch != "arm" or not machine.kernel.release.has("reserved_mem_two_pass"):
        return
    own = next((area for area in machine.cma.areas if area.name == "reserved"), None)
    nodes = [
        child
        for child, _, _ in ReservedMemory(machine).reg_ranges()
        if is_reusable_pool(child) and child.prop("linux,cma-default") is not None
    ]
    if own is not None and nodes and machine.params.cma is None:
        yield Found(
            f"{about(own.size)} at {own.base:#x} are reserved as the default area, though "
            f"{nodes[0].path} is to be it",
            "pass cma=0, or give the node size and alloc-ranges instead of reg",
            numbers={"wasted": Bytes(own.size)},
            ranges={"area": (own.base, own.base + own.size - 1)},
            places=(argument("cma=0"), node(nodes[0].path, "reg")),
        )


def _refused(boot: Boot, template: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The node names of pools that are refused with a message, and what the kernel says."""
    reason: str | None = None
    for line in said(boot, template, NO_MATCH):
        if "compatible matching fail" not in line.text:
            reason = line.text
        elif reason is not None:
            yield line["node"], (reason, line.text)
            reason = None
