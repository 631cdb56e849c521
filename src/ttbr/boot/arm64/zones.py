"""zone_sizes_init: how far the zones of arm64 reach.

Source: arch/arm64/mm/init.c of 6.1 and 6.12.
"""

from __future__ import annotations

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.of_address import PHYS_ADDR_MAX, of_dma_get_max_cpu_address
from ttbr.boot.zones import DMA, DMA32, NORMAL, free_area_init
from ttbr.kernel.structs import section_shift

U32_MAX = (1 << 32) - 1


def zone_sizes_init(state: Arm64) -> None:
    """``zone_sizes_init``: set ``state.dma_limit``, and make the zones of all nodes."""
    machine = state.machine
    config, memblock = machine.kernel.config, machine.memblock
    exact = machine.kernel.release.has("arm64_zone_dma_exact")
    page = state.layout.geometry.page_size
    ends: dict[str, int] = {}
    state.dma_limit = 0
    if config.enabled("ZONE_DMA"):
        reach = of_dma_get_max_cpu_address(machine.tree.root)
        if exact:
            if memblock.start_of_dram() < U32_MAX:
                reach = min(reach, U32_MAX)
            state.dma_limit = _end(state, reach)
        else:
            state.dma_limit = _end_by_bits(state, min(32, reach.bit_length()))
        ends[DMA] = state.dma_limit // page
    if config.enabled("ZONE_DMA32"):
        limit = _end(state, U32_MAX) if exact else _end_by_bits(state, 32)
        ends[DMA32] = limit // page
        state.dma_limit = state.dma_limit or limit
    if not state.dma_limit:
        state.dma_limit = 1 << state.phys_mask_shift
    ends[NORMAL] = memblock.end_of_dram() // page
    free_area_init(
        machine,
        ends,
        nodes=machine.numa.online,
        section_bytes=1 << section_shift(machine.kernel) if config.enabled("SPARSEMEM") else None,
    )


def _end(state: Arm64, limit: int) -> int:
    """``max_zone_phys``: the address behind a zone that reaches up to ``limit``."""
    return min(limit, state.machine.memblock.end_of_dram() - 1) + 1


def _end_by_bits(state: Arm64, bits: int) -> int:
    """``max_zone_phys`` of 6.1: by address bits, which memory that lies above them widens."""
    limit = (1 << bits) - 1
    start = state.machine.memblock.start_of_dram()
    if start > U32_MAX:
        limit = PHYS_ADDR_MAX
    elif start > limit:
        limit = U32_MAX
    return _end(state, limit)
