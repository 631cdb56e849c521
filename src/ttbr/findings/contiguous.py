"""Rules about contiguous memory (CMA): areas that fail, and what they cost where they succeed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.boot import Boot
from ttbr.boot.cma import default_size
from ttbr.boot.machine import CmaArea
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import (
    Bytes,
    Found,
    Place,
    Severity,
    argument,
    config,
)
from ttbr.findings.words import said
from ttbr.format import about, size
from ttbr.kernel.arm_layout import PMD_SIZE
from ttbr.kernel.pageblock import pageblock_bytes

M, G4 = 1 << 20, 1 << 32
FAILED = "cma: Failed to reserve {size} MiB"
FAILED_ON = "cma: Failed to reserve {size} MiB on node {nid}"
MUST_ALIGN = "cma: Region at {base} must be aligned to {align} bytes"
BEYOND = "cma: Size ({size}) of region at {base} exceeds limit ({limit})"
BOUNDARY = "cma: Region at {base} defined on low/high memory boundary ({boundary})"
INACTIVE = "cma: CMA area {name} could not be activated"


def _source(boot: Boot) -> tuple[Place, ...]:
    """Where the default area's size comes from."""
    if boot.machine.params.cma is not None:
        return (argument(f"cma={boot.machine.params.last('cma')}"),)
    return (config("CMA_SIZE_MBYTES"), argument("cma="))


@CHECK.rule(
    "cma-failed",
    Severity.ERROR,
    "the contiguous memory area cannot be reserved",
    source="mm/cma.c: cma_declare_contiguous_nid; kernel/dma/contiguous.c: dma_contiguous_reserve",
    remedy="Ask for less, or for a place that is free, aligned to a page block, and below the "
    "limit. With 64K pages a page block has 512 MiB (32 MiB with 16K): a board without that much "
    "to spare needs CONFIG_ARCH_FORCE_MAX_ORDER lower, or cma=0.",
    example="cma=2G on a board with 1 GiB; a kernel with 64K pages on a board with 512 MiB.",
    kernel=(MUST_ALIGN, BEYOND, FAILED, FAILED_ON),
)
@of_boot
def cma_failed(boot: Boot) -> Iterable[Found]:
    """Size and place of an area are rounded to page blocks; then it must fit below the limit.

    The limit is the end of the DMA zone, or what cma=SIZE@BASE-LIMIT says. A fixed area must be
    aligned, must be free, and must not cross into highmem.
    """
    reason = ""
    why = "there is no free RAM for it"
    for line in said(boot, MUST_ALIGN, BEYOND, BOUNDARY, FAILED_ON, FAILED):
        if "Failed" not in line.text:
            reason = line.text
            if "align" in line.fields:
                why = f"its base {line['base']} is not aligned to {size(line.number('align'))}"
            else:
                why = f"it would end beyond {line.fields.get('limit', '')}"
            continue
        if "low/high" not in reason:
            block = pageblock_bytes(boot.machine.kernel)
            yield Found(
                f"{line['size']} MiB of contiguous memory cannot be reserved: {why}",
                f"ask for less with cma=, or for another place; page blocks have {size(block)}",
                kernel=(*([reason] if reason else []), *line.lines),
                numbers={"size": Bytes(line.number("size") * M), "page block": Bytes(block)},
                places=_source(boot),
            )
        reason, why = "", "there is no free RAM for it"


@CHECK.rule(
    "cma-crosses-highmem",
    Severity.ERROR,
    "a contiguous area would cross from lowmem into highmem",
    source="mm/cma.c: cma_declare_contiguous_nid",
    remedy="Choose a base so that the area lies on one side of the boundary.",
    example="cma=64M@0x6e000000 on 32-bit ARM with lowmem up to 0x70000000.",
    kernel=(BOUNDARY, FAILED, FAILED_ON),
)
@of_boot
def cma_crosses_highmem(boot: Boot) -> Iterable[Found]:
    """Pages of an area must be in one zone: one that has the end of lowmem inside is refused."""
    lines = list(said(boot, BOUNDARY, FAILED_ON, FAILED))
    for line, after in pairwise(lines):
        if "boundary" in line.fields:
            yield Found(
                f"the area at {line['base']} has the end of lowmem, {line['boundary']}, inside",
                "choose a base on one side of it",
                kernel=(line.text, after.text),
                numbers={"size": Bytes(after.number("size") * M)},
                places=_source(boot),
            )


@CHECK.rule(
    "cma-splits-lowmem",
    Severity.NOTE,
    "a contiguous area in lowmem is mapped by pages",
    source="arch/arm/mm/dma-mapping.c: dma_contiguous_remap",
    remedy="Let the area lie in highmem (a base above the end of lowmem), or make it smaller.",
    example="32-bit ARM with 512 MiB of RAM: the default area is in lowmem.",
)
@of_boot
def cma_splits_lowmem(boot: Boot) -> Iterable[Found]:
    """Drivers change attributes of single pages there, so sections are replaced by page tables.

    Each 2 MiB cost a table of 4 KiB, and TLB entries of 4 KiB instead of 1 or 2 MiB. Areas in
    highmem cost nothing.
    """
    state = boot.machine.arch_state
    if not isinstance(state, ArmBoot) or "paging_init" not in boot.stages:
        return
    for base, length in boot.machine.cma.remap:
        end = min(base + length, state.lowmem.limit)
        if base >= end:
            continue
        tables = -(-end // PMD_SIZE) - base // PMD_SIZE
        yield Found(
            f"{about(end - base)} of contiguous memory at {base:#x} are in lowmem: mapped by "
            f"pages, with {tables} tables",
            "give the area a base in highmem, or make it smaller",
            numbers={"by pages": Bytes(end - base), "tables": Bytes(tables * 4096)},
            ranges={"area": (base, end - 1)},
            places=_source(boot),
        )


@CHECK.rule(
    "cma-reserved-twice",
    Severity.WARNING,
    "the contiguous area is reserved twice, and one copy is lost",
    source="mm/cma.c of Linux before 6.3: cma_declare_contiguous_nid",
    remedy="Give cma= a limit of at most 4 GiB (cma=16M@0-0xffffffff), or use Linux 6.3 or later.",
    example="An LPAE kernel of Linux 6.1 on a board with RAM beyond 4 GiB.",
)
@of_boot
def cma_reserved_twice(boot: Boot) -> Iterable[Found]:
    """Old kernels first take an area in highmem, then try above 4 GiB, and forget the first.

    It stays reserved for ever.
    """
    machine, state = boot.machine, boot.machine.arch_state
    if not isinstance(state, ArmBoot) or machine.kernel.release.has("cma_above_4g_first"):
        return
    default = machine.cma.default
    if default is None or machine.kernel.phys_bits != 64:
        return
    for event in boot.events:
        # Only this allocation asks memblock without a line of its own.
        alike = event.function == "memblock_alloc_range_nid" and not event.detail
        length = event.end - event.start + 1
        if alike and length == default.size and event.start not in (default.base, 0):
            if event.start < state.lowmem.limit or event.kind != "memblock_reserve":
                continue
            yield Found(
                f"{about(length)} at {event.start:#x} are reserved for contiguous memory and then "
                f"forgotten: the area itself is at {default.base:#x}",
                "bound the area below 4 GiB: cma=SIZE@0-0xffffffff",
                numbers={"lost": Bytes(length)},
                ranges={"lost": (event.start, event.end)},
                places=_source(boot),
            )


@CHECK.rule(
    "cma-rounded",
    Severity.NOTE,
    "the contiguous area is larger than was asked for",
    source="mm/cma.c: cma_declare_contiguous_nid; include/linux/pageblock-flags.h",
    remedy="Ask for a multiple of the page block, or lower CONFIG_ARCH_FORCE_MAX_ORDER.",
    example="cma=16M with 64K pages: 512 MiB are taken.",
)
@of_boot
def cma_rounded(boot: Boot) -> Iterable[Found]:
    """The size is rounded up to whole page blocks: 2, 32 or 512 MiB with 4K, 16K or 64K pages."""
    machine = boot.machine
    asked = machine.params.cma[0] if machine.params.cma else default_size(machine)
    for area in machine.cma.areas:
        if area.name == "reserved" and 0 < asked < area.size:
            block = pageblock_bytes(machine.kernel)
            yield Found(
                f"{size(asked)} of contiguous memory were asked for, {size(area.size)} are taken: "
                f"page blocks have {size(block)}",
                "ask for a multiple of the page block",
                numbers={"asked": Bytes(asked), "taken": Bytes(area.size)},
                ranges={"area": (area.base, area.base + area.size - 1)},
                places=_source(boot),
            )


@CHECK.rule(
    "cma-above-4g",
    Severity.NOTE,
    "the contiguous area lies above 4 GiB",
    source="mm/cma.c: cma_declare_contiguous_nid",
    remedy="Bound it (cma=SIZE@0-0x100000000), or describe the devices' reach with dma-ranges.",
    example="A kernel without DMA zones on a board with 8 GiB.",
)
@of_boot
def cma_above_4g(boot: Boot) -> Iterable[Found]:
    """Where the limit allows it, areas are placed from 4 GiB on upwards, to spare low memory.

    Devices that reach 32 bits only cannot use it.
    """
    for area in _areas(boot):
        if area.base >= G4:
            yield Found(
                f"the contiguous area of {size(area.size)} is at {area.base:#x}: devices with "
                "32-bit DMA cannot use it",
                "bound it with cma=SIZE@0-0x100000000",
                numbers={"size": Bytes(area.size)},
                ranges={"area": (area.base, area.base + area.size - 1)},
                places=_source(boot),
            )


@CHECK.rule(
    "cma-not-activated",
    Severity.ERROR,
    "a contiguous area has two zones in it, and is not activated",
    source="mm/cma.c: cma_activate_area",
    remedy="Move it so that it lies in one zone; see the kernel's lines 'Zone ranges'.",
    example="A pool that has the end of the DMA zone inside.",
    kernel=(INACTIVE,),
)
@of_boot
def cma_not_activated(boot: Boot) -> Iterable[Found]:
    """All pages of an area must be in one zone. Otherwise they are freed, and there is no area."""
    page = boot.machine.kernel.page_size
    zones = [zone for owner in boot.machine.nodes for zone in owner.zones if zone.spanned]
    for area in boot.machine.cma.areas:
        inside = [
            zone.end_pfn * page
            for zone in zones
            if area.base < zone.end_pfn * page < area.base + area.size
            and any(other.start_pfn == zone.end_pfn for other in zones)
        ]
        if inside:
            yield Found(
                f"the area '{area.name}' at {area.base:#x} has the end of a zone, "
                f"{inside[0]:#x}, inside: it is not activated",
                "move it to one side of the zone's end",
                kernel=(INACTIVE.format(name=area.name),),
                numbers={"size": Bytes(area.size)},
                ranges={"area": (area.base, area.base + area.size - 1)},
                places=_source(boot),
            )


def _areas(boot: Boot) -> Iterator[CmaArea]:
    """The default area, where it is not the tree's own."""
    for area in boot.machine.cma.areas:
        if area is boot.machine.cma.default and area.name == "reserved":
            yield area
