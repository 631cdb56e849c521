"""Rules about zones and memory sections."""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.boot import Boot
from ttbr.boot.of_address import PHYS_ADDR_MAX, of_dma_get_max_cpu_address
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Address, Bytes, Found, Severity, config, node
from ttbr.findings.words import said
from ttbr.format import about

SECTION_START = (
    "mminit::pfnvalidation Start of range {start} -> {end} exceeds SPARSEMEM max {limit}"
)
SECTION_END = "mminit::pfnvalidation End of range {start} -> {end} exceeds SPARSEMEM max {limit}"
NO_COVERAGE = "NUMA: no nodes coverage for {missing}MB of {total}MB RAM"
MOVABLE = "Movable"
SOURCE = "arch/arm64/mm/init.c: zone_sizes_init; arch/arm/mm/init.c: zone_sizes_init"


@CHECK.rule(
    "zone-empty",
    Severity.NOTE,
    "a zone of the kernel has no memory",
    source=SOURCE,
    remedy="Nothing, as a rule. A GFP_DMA request then comes from all of memory, and a kernel for "
    "this board alone can do without the zone (CONFIG_ZONE_DMA, CONFIG_ZONE_DMA32).",
    example="arm64 with ZONE_DMA and all RAM below 4 GiB: DMA has it all, DMA32 and Normal none.",
)
@of_boot
def zone_empty(boot: Boot) -> Iterable[Found]:
    """Zones are cut by the DMA limit and by lowmem's end; what lies beyond RAM is empty.

    Without a limit of the device tree's, arm64's ZONE_DMA reaches up to 4 GiB, and on 32-bit ARM
    ZONE_DMA is all of lowmem where the machine sets no size.
    """
    page = boot.machine.kernel.page_size
    present: dict[str, int] = {}
    for owner in boot.machine.nodes:
        for zone in owner.zones:
            present[zone.name] = present.get(zone.name, 0) + zone.present * page
    empty = [name for name, amount in present.items() if not amount and name != MOVABLE]
    if empty:
        full = ", ".join(f"{name} {about(amount)}" for name, amount in present.items() if amount)
        yield Found(
            f"no memory is in {', '.join(f'ZONE_{name.upper()}' for name in empty)} ({full})",
            "nothing, unless memory was expected there",
            numbers={name: Bytes(amount) for name, amount in present.items()},
            places=tuple(config(f"ZONE_{name}") for name in empty if name in ("DMA", "DMA32")),
        )


@CHECK.rule(
    "dma-zone-limit",
    Severity.NOTE,
    "a bus of the device tree limits the DMA zone",
    source="arch/arm64/mm/init.c: zone_sizes_init; drivers/of/address.c: "
    "of_dma_get_max_cpu_address",
    remedy="Nothing if the bus is really so narrow. A node that is not used, or whose dma-ranges "
    "is too strict, can be disabled or corrected: its devices then count no more.",
    example="soc { dma-ranges = <0x0 0x0 0x0 0x0 0x0 0x80000000>; }; and RAM beyond 2 GiB.",
)
@of_boot
def dma_zone_limit(boot: Boot) -> Iterable[Found]:
    """ZONE_DMA ends where the narrowest dma-ranges of the tree does; so do the default CMA area,
    the software I/O TLB and crashkernel's low memory.

    Linux 6.1 rounds the limit up to a power of two, 6.12 takes it as it is. Empty dma-ranges say
    nothing, disabled nodes do not count.
    """
    machine, state = boot.machine, boot.machine.arch_state
    if not isinstance(state, Arm64) or "bootmem_init" not in boot.stages:
        return
    reach = of_dma_get_max_cpu_address(machine.tree.root)
    end = machine.memblock.end_of_dram()
    if reach == PHYS_ADDR_MAX or not state.dma_limit or state.dma_limit >= end:
        return
    narrow = [
        found.path
        for found in machine.tree.root.walk()
        if found.prop("dma-ranges") is not None and of_dma_get_max_cpu_address(found) == reach
    ]
    yield Found(
        f"ZONE_DMA ends at {state.dma_limit:#x}: the dma-ranges of {narrow[-1]} reach no further "
        f"than {reach:#x}",
        "correct or disable the node if the limit is not true",
        numbers={"limit": Address(state.dma_limit), "beyond": Bytes(end - state.dma_limit)},
        ranges={"beyond": (state.dma_limit, end - 1)},
        places=tuple(node(path, "dma-ranges") for path in narrow),
    )


@CHECK.rule(
    "memory-beyond-kernel",
    Severity.ERROR,
    "RAM lies beyond the kernel's physical addresses",
    source="arch/arm64/mm/init.c: arm64_memblock_init (PHYS_MASK_SHIFT); mm/sparse.c: "
    "mminit_validate_memmodel_limits",
    remedy="Use a kernel with more CONFIG_ARM64_PA_BITS: 52 bits need 64K pages, or since Linux "
    "6.9 LPA2 and a CPU that has it.",
    example="A kernel with 48 bits and memory { reg = <0x10000 0x0 0x0 0x40000000>; };",
    kernel=(SECTION_START, SECTION_END),
)
@of_boot
def memory_beyond_kernel(boot: Boot) -> Iterable[Found]:
    """arm64 removes RAM that its descriptors cannot name, without a word.

    Memory sections end there, too: their own message, of kernels with CONFIG_DEBUG_MEMORY_INIT, is
    for architectures that leave such RAM in.
    """
    machine, state = boot.machine, boot.machine.arch_state
    if not isinstance(state, Arm64) or "memblock" not in boot.stages:
        return
    end = 1 << state.phys_mask_shift
    for bank in machine.board.ram:
        lost = bank.end - max(bank.base, end)
        if lost > 0:
            yield Found(
                f"{about(lost)} of RAM from {max(bank.base, end):#x} on are beyond the "
                f"{end.bit_length() - 1} bits of this kernel's physical addresses",
                "use a kernel with more CONFIG_ARM64_PA_BITS",
                numbers={"lost": Bytes(lost)},
                ranges={"lost": (max(bank.base, end), bank.end - 1)},
                places=(config("ARM64_PA_BITS"),),
            )


@CHECK.rule(
    "node-without-memory",
    Severity.WARNING,
    "part of RAM belongs to no NUMA node",
    source="mm/memblock.c: memblock_validate_numa_coverage (6.8 and later)",
    remedy="Give every memory node a numa-node-id.",
    example="Two memory nodes of which one has no numa-node-id.",
    kernel=(NO_COVERAGE,),
)
@of_boot
def node_without_memory(boot: Boot) -> Iterable[Found]:
    """With NUMA in the tree every memory range needs a node; else NUMA is given up."""
    for line in said(boot, NO_COVERAGE):
        yield Found(
            f"{line['missing']} of {line['total']} of RAM belong to no NUMA node",
            "give every memory node a numa-node-id",
            kernel=line.lines,
        )
