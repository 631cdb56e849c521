"""Rules about 32-bit ARM's lowmem, highmem and vmalloc area."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from ttbr.boot.arm.lowmem import lowmem_room
from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.boot import Boot
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Address, Bytes, Found, Place, Severity, argument, config, node
from ttbr.findings.words import said
from ttbr.format import about, size
from ttbr.kernel.arm_layout import VMALLOC_END, VMSPLIT

M = 1 << 20
IGNORED = "Ignoring RAM at {start}-{end}"
CONSIDER = "Consider using a HIGHMEM enabled kernel."
TOO_SMALL = "vmalloc area is too small, limiting to {size}MiB"
TOO_BIG = "vmalloc area is too big, limiting to {size}MiB"


def lowmem_boot(boot: Boot) -> ArmBoot | None:
    """The state of a 32-bit boot whose lowmem is known; else None."""
    state = boot.machine.arch_state
    return state if isinstance(state, ArmBoot) and state.lowmem.limit else None


@CHECK.rule(
    "ram-without-highmem",
    Severity.ERROR,
    "RAM is thrown away: the kernel has no HIGHMEM",
    source="arch/arm/mm/mmu.c: adjust_lowmem_bounds",
    remedy="Enable CONFIG_HIGHMEM, or choose a VMSPLIT that gives the kernel more of the address "
    "space (CONFIG_VMSPLIT_3G_OPT, _2G, _1G), or ask for a smaller vmalloc=.",
    example="A kernel without HIGHMEM and VMSPLIT_3G on a board with 1 GiB.",
    kernel=(IGNORED, CONSIDER),
)
@of_boot
def ram_without_highmem(boot: Boot) -> Iterable[Found]:
    """What lies above the end of lowmem is removed from memory if the kernel has no HIGHMEM.

    The end of lowmem is fixed by the split of the address space and by vmalloc=: with 3G/1G and
    the default of 240 MiB it is 768 MiB above PHYS_OFFSET. RAM is removed from the last multiple
    of 2 MiB on that all early allocations can end at, which may be lower.
    """
    state = lowmem_boot(boot)
    if state is None:
        return
    for line in said(boot, IGNORED):
        start, end = line.number("start"), line.number("end")
        yield Found(
            f"{about(end - start)} from {start:#x} on are beyond lowmem, and thrown away",
            _splits(state, end),
            kernel=(*line.lines, CONSIDER),
            numbers={"lost": Bytes(end - start), "lowmem limit": Address(state.lowmem.limit)},
            ranges={"lost": (start, end - 1)},
            places=(config("HIGHMEM"), argument("vmalloc="), *_split_places()),
        )


@CHECK.rule(
    "highmem",
    Severity.NOTE,
    "part of RAM is highmem",
    source="arch/arm/mm/mmu.c: adjust_lowmem_bounds; VMALLOC_END, VMALLOC_OFFSET",
    remedy="Nothing if highmem is wanted. Otherwise choose another VMSPLIT or a smaller vmalloc=: "
    "the finding says which would map all RAM.",
    example="VMSPLIT_3G and 2 GiB of RAM: 768 MiB lowmem, 1280 MiB highmem.",
)
@of_boot
def highmem(boot: Boot) -> Iterable[Found]:
    """The kernel maps only lowmem for good; pages of highmem are mapped one by one when needed.

    Kernel objects, tables but for user PTEs, and most DMA buffers must be in lowmem.
    """
    state = lowmem_boot(boot)
    if state is None or not state.config.enabled("HIGHMEM"):
        return
    limit, high = state.lowmem.limit, 0
    for region in boot.machine.memblock.memory.list:
        high += max(0, region.end - max(region.base, limit))
    if not high:
        return
    total = boot.machine.memblock.phys_mem_size()
    end = boot.machine.memblock.end_of_dram()
    yield Found(
        f"{about(total - high)} of RAM are lowmem, {about(high)} from {limit:#x} on highmem",
        _splits(state, end),
        numbers={
            "lowmem": Bytes(total - high),
            "highmem": Bytes(high),
            "vmalloc": Bytes(VMALLOC_END - state.vmalloc_start),
        },
        ranges={"highmem": (limit, end - 1)},
        places=(argument("vmalloc="), *_split_places()),
    )


@CHECK.rule(
    "lowmem-hole",
    Severity.WARNING,
    "a hole in RAM takes lowmem's addresses",
    source="arch/arm/mm/mmu.c: adjust_lowmem_bounds; asm/memory.h: __phys_to_virt_nodebug",
    remedy="Nothing in Linux closes the hole: choose a VMSPLIT with more lowmem, or let the memory "
    "controller map the banks next to each other.",
    example="512 MiB at 0x40000000, 512 MiB at 0x80000000 and VMSPLIT_3G: the second bank is all "
    "highmem.",
)
@of_boot
def lowmem_hole(boot: Boot) -> Iterable[Found]:
    """Lowmem is one stretch with one offset: a hole between banks uses up its addresses.

    RAM behind the hole then ends in highmem, or is lost, that without it would be lowmem.
    """
    state = lowmem_boot(boot)
    if state is None:
        return
    reach = lowmem_room(state.layout.page_offset, state.vmalloc_size) + state.phys_offset
    banks = [(bank.base, bank.end) for bank in boot.machine.board.ram]
    for (_, end), (start, _) in pairwise(banks):
        low, high = max(end, state.phys_offset), min(start, reach)
        pushed = sum(max(0, last - max(base, reach)) for base, last in banks)
        if low < high and pushed:
            yield Found(
                f"the hole in RAM from {low:#x} to {high - 1:#x} takes {about(high - low)} of "
                f"lowmem's addresses: as much RAM behind it is no lowmem",
                "map the banks next to each other, or choose a VMSPLIT with more lowmem",
                numbers={"hole": Bytes(high - low), "lost lowmem": Bytes(min(high - low, pushed))},
                ranges={"hole": (low, high - 1)},
                places=(node("/memory", "reg"), *_split_places()),
            )


@CHECK.rule(
    "memory-head-lost",
    Severity.WARNING,
    "the first bank loses its head",
    source="arch/arm/mm/mmu.c: adjust_lowmem_bounds",
    remedy="Begin the first bank at a multiple of 2 MiB.",
    example="memory { reg = <0x40100000 0x3ff00000>; };",
)
@of_boot
def memory_head_lost(boot: Boot) -> Iterable[Found]:
    """A first bank that is not 2 MiB aligned is marked NOMAP up to the next multiple.

    The kernel's tables map 2 MiB at a time; so much of RAM is never used.
    """
    seen: set[tuple[int, int]] = set()
    for event in boot.events:
        span = event.start, event.end
        if event.kind != "memblock_mark_nomap" or event.function != "adjust_lowmem_bounds":
            continue
        if span in seen:
            continue
        seen.add(span)
        lost = event.end - event.start + 1
        yield Found(
            f"the first bank of memory begins at {event.start:#x}, {size(lost)} below a multiple "
            "of 2 MiB: so much is never used",
            f"begin it at {event.end + 1:#x}",
            numbers={"lost": Bytes(lost)},
            ranges={"lost": span},
            places=(node("/memory", "reg"),),
        )


@CHECK.rule(
    "vmalloc-limited",
    Severity.WARNING,
    "vmalloc= is not taken as it was given",
    source="arch/arm/mm/mmu.c: early_vmalloc",
    remedy="Ask for at least 16 MiB, and leave room for 32 MiB of lowmem.",
    example="vmalloc=8M",
    kernel=(TOO_SMALL, TOO_BIG),
)
@of_boot
def vmalloc_limited(boot: Boot) -> Iterable[Found]:
    """vmalloc= is kept between 16 MiB and what leaves 32 MiB of lowmem."""
    for line in said(boot, TOO_SMALL, TOO_BIG):
        asked = boot.machine.params.last("vmalloc") or ""
        kind = "little" if "small" in line.text else "much"
        yield Found(
            f"vmalloc={asked} asks for too {kind}: it becomes {line['size']} MiB",
            "ask for a size within the limits",
            kernel=line.lines,
            numbers={"vmalloc": Bytes(line.number("size") * M)},
            places=(argument(f"vmalloc={asked}"),),
        )


def _splits(state: ArmBoot, end: int) -> str:
    """Which VMSPLIT would make all RAM up to ``end`` lowmem."""
    need = end - state.phys_offset
    fitting = [
        option
        for option, page_offset in VMSPLIT.items()
        if lowmem_room(page_offset, state.vmalloc_size) >= need
        and not (state.layout.lpae and option == "VMSPLIT_3G_OPT")
    ]
    if fitting:
        return f"CONFIG_{fitting[0]} would make all RAM lowmem"
    return "no VMSPLIT makes all RAM lowmem: keep CONFIG_HIGHMEM, or run a 64-bit kernel"


def _split_places() -> tuple[Place, ...]:
    return tuple(config(option) for option in VMSPLIT)
