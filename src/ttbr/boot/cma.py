"""Contiguous memory areas: mm/cma.c and kernel/dma/contiguous.c up to their reservation."""

from __future__ import annotations

from ttbr.boot.machine import CmaArea, Machine
from ttbr.boot.params import memparse, sizes_by_node
from ttbr.boot.regions import NO_NODE
from ttbr.kernel.pageblock import pageblock_bytes
from ttbr.kernel.structs import max_numnodes

M = 1 << 20
G4 = 1 << 32


def dma_contiguous_reserve(machine: Machine, limit: int, highmem_start: int) -> None:
    """``dma_contiguous_reserve``: the default area, unless the device tree made one.

    Args:
        machine: ``cma.default`` and ``cma.remap`` change, and memblock.
        limit: the physical address that the area may not reach, 0 for none.
        highmem_start: the physical address behind the linear map's RAM.
    """
    if not machine.kernel.config.enabled("DMA_CMA"):
        return
    if machine.kernel.config.enabled("DMA_NUMA_CMA"):
        dma_numa_cma_reserve(machine, highmem_start)
    size, base, fixed = default_size(machine), 0, False
    asked = machine.params.cma
    if asked is not None:
        size, base, asked_limit = asked
        fixed = base + size == asked_limit
        limit = min(filter(None, (asked_limit, limit)), default=0)
    if not size or machine.cma.default is not None:
        return
    area = cma_declare_contiguous(
        machine,
        base=base,
        size=size,
        limit=limit,
        fixed=fixed,
        name="reserved",
        highmem_start=highmem_start,
    )
    if area is not None:
        machine.cma.default = area
        early_fixup(machine, area.base, area.size)


def dma_pernuma_cma_reserve(machine: Machine, highmem_start: int) -> None:
    """``dma_pernuma_cma_reserve`` of 6.1: ``cma_pernuma=`` asks for an area on every node."""
    size = _pernuma(machine)
    if not machine.kernel.config.enabled("DMA_PERNUMA_CMA") or not size:
        return
    for nid in machine.numa.online:
        _declare_on_node(machine, f"pernuma{nid}", size, nid, highmem_start)


def dma_numa_cma_reserve(machine: Machine, highmem_start: int) -> None:
    """``dma_numa_cma_reserve``: the same, and ``numa_cma=`` for single nodes."""
    everywhere = _pernuma(machine)
    single: dict[int, int] = {}
    for value in machine.params.all("numa_cma"):
        single |= sizes_by_node(value or "", max_numnodes(machine.kernel))[0]
    for nid in range(max(machine.numa.online, default=0) + 1):
        if nid not in machine.numa.online:
            if everywhere or single.get(nid):
                machine.log.say(f"invalid node {nid} specified")
            continue
        if everywhere:
            _declare_on_node(machine, f"pernuma{nid}", everywhere, nid, highmem_start)
        if single.get(nid):
            _declare_on_node(machine, f"numa{nid}", single[nid], nid, highmem_start)


def _pernuma(machine: Machine) -> int:
    value = machine.params.last("cma_pernuma")
    return memparse(value)[0] if value is not None else 0


def _declare_on_node(
    machine: Machine, name: str, size: int, nid: int, highmem_start: int
) -> CmaArea | None:
    return cma_declare_contiguous(
        machine,
        base=0,
        size=size,
        limit=0,
        fixed=False,
        name=name,
        highmem_start=highmem_start,
        nid=nid,
    )


def default_size(machine: Machine) -> int:
    """Bytes that the configuration asks for (CMA_SIZE_MBYTES, …_PERCENTAGE and which counts)."""
    config = machine.kernel.config
    fixed = config.integer("CMA_SIZE_MBYTES", 0) * M
    page = machine.kernel.page_size
    pages = machine.memblock.phys_mem_size() // page
    share = pages * config.integer("CMA_SIZE_PERCENTAGE", 0) // 100 * page
    for option, size in (
        ("CMA_SIZE_SEL_MBYTES", fixed),
        ("CMA_SIZE_SEL_PERCENTAGE", share),
        ("CMA_SIZE_SEL_MIN", min(fixed, share)),
        ("CMA_SIZE_SEL_MAX", max(fixed, share)),
    ):
        if config.enabled(option):
            return size
    return 0


def cma_declare_contiguous(
    machine: Machine,
    *,
    base: int,
    size: int,
    limit: int,
    fixed: bool,
    name: str,
    highmem_start: int,
    alignment: int = 0,
    nid: int = NO_NODE,
) -> CmaArea | None:
    """``cma_declare_contiguous_nid``: find and reserve an area; None, and a message, if it fails.

    All in bytes. ``base`` and ``limit`` bound it (0: no bound); ``fixed`` wants it at ``base``;
    ``alignment`` counts where it is more than that of page blocks. On node ``nid`` and no other.
    """
    memblock, say, pa = machine.memblock, machine.log.say, machine.kernel.pa
    align = max(alignment, pageblock_bytes(machine.kernel))
    if not machine.kernel.config.enabled("NUMA"):
        nid = NO_NODE
    if _full(machine) or not size:
        return None
    problem = ""
    if fixed and base % align:
        problem = f"cma: Region at {pa(base)} must be aligned to {pa(align)} bytes"
    else:
        base, size = _up(base, align), _up(size, align)
        end = memblock.end_of_dram()
        limit = min(limit // align * align or end, end)
        fixed = fixed and base != 0
        if fixed and base < highmem_start < base + size:
            problem = (
                f"cma: Region at {pa(base)} defined on low/high memory boundary "
                f"({pa(highmem_start)})"
            )
        elif base + size > limit:
            problem = f"cma: Size ({pa(size)}) of region at {pa(base)} exceeds limit ({pa(limit)})"
    area = None
    if problem:
        say(problem)
    elif fixed:
        if not memblock.is_region_reserved(base, size):
            memblock.reserve(base, size, "cma_declare_contiguous_nid")
            area = cma_init_reserved_mem(machine, base, size, name)
    elif base := _place(machine, (base, limit), size, align, highmem_start, nid):
        area = cma_init_reserved_mem(machine, base, size, name)
    node = f" on node {nid}" if machine.kernel.release.has("cma_above_4g_first") else ""
    if area is None:
        say(f"cma: Failed to reserve {size // M} MiB{node}")
    else:
        say(f"cma: Reserved {size // M} MiB at {pa(area.base)}{node}")
    return area


def _place(
    machine: Machine,
    bounds: tuple[int, int],
    size: int,
    align: int,
    highmem_start: int,
    nid: int,
) -> int:
    """Where an area that is not fixed goes within [base, limit); 0 if nowhere."""
    memblock = machine.memblock
    base, limit = bounds
    wide = (
        machine.kernel.phys_bits == 64
        and not memblock.bottom_up
        and memblock.end_of_dram() >= G4 + size
    )
    above_first = machine.kernel.release.has("cma_above_4g_first")
    found = 0
    if wide and above_first:
        found = _above_4g(machine, size, align, limit, nid)
    if not found and base < highmem_start < limit:
        found = memblock.alloc_range_nid(size, align, highmem_start, limit, nid=nid, exact=True)
        limit = highmem_start
    if wide and not above_first:
        # Whatever was found in highmem stays reserved, and is forgotten.
        found = _above_4g(machine, size, align, limit, nid)
    return found or memblock.alloc_range_nid(size, align, base, limit, nid=nid, exact=True)


def _above_4g(machine: Machine, size: int, align: int, limit: int, nid: int) -> int:
    memblock = machine.memblock
    memblock.bottom_up = True
    found = memblock.alloc_range_nid(size, align, G4, limit, nid=nid, exact=True)
    memblock.bottom_up = False
    return found


def cma_init_reserved_mem(machine: Machine, base: int, size: int, name: str) -> CmaArea | None:
    """``cma_init_reserved_mem``: make an area of what is reserved; None if it is not fit for it."""
    if _full(machine) or not size or not machine.memblock.is_region_reserved(base, size):
        return None
    if (base | size) % pageblock_bytes(machine.kernel):
        return None
    area = CmaArea(base, size, name)
    machine.cma.areas.append(area)
    return area


def early_fixup(machine: Machine, base: int, size: int) -> None:
    """``dma_contiguous_early_fixup``: on arm, note an area to be mapped by pages later."""
    if machine.kernel.arch == "arm" and machine.kernel.config.enabled("DMA_CMA"):
        machine.cma.remap.append((base, size))


def _full(machine: Machine) -> bool:
    room = machine.kernel.config.integer("CMA_AREAS", 0)
    if machine.kernel.release.has("cma_areas_plus_one"):
        room += 1
    if len(machine.cma.areas) < room:
        return False
    machine.log.say("cma: Not enough slots for CMA reserved regions!")
    return True


def _up(value: int, align: int) -> int:
    return -(-value // align) * align
