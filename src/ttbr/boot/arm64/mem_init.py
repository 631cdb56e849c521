"""What arm64's part of mm_init() adds: bounce buffers, for DMA or only for short buffers.

Source: arch/arm64/mm/init.c: mem_init; asm/dma.h: MAX_DMA_ADDRESS;
asm/processor.h: ARCH_LOW_ADDRESS_LIMIT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm64 import kaslr
from ttbr.boot.mm_init import Reach, mm_init

if TYPE_CHECKING:
    from ttbr.boot.arm64.state import Arm64
    from ttbr.boot.swiotlb import Swiotlb

ADDRESS_MASK = (1 << 64) - 1
PER_RAM = 1024  # one byte of bounce buffer for so many of RAM


def hand_over(state: Arm64) -> None:
    """start_kernel() behind setup_arch() until the page allocator has all memory."""
    goal = state.memstart & ADDRESS_MASK
    mm_init(state.machine, Reach(goal, lambda pool, cpus: _swiotlb(state, pool, cpus)))
    if not state.machine.kernel.release.has("arm64_early_map_in_c"):
        kaslr.report(state)  # an initcall, long after


def _swiotlb(state: Arm64, pool: Swiotlb, cpus: int) -> None:
    machine = state.machine
    config, memblock = machine.kernel.config, machine.memblock
    limit = state.dma_limit
    page = machine.kernel.page_size
    needed = memblock.end_of_dram() // page > limit // page
    if config.enabled("DMA_BOUNCE_UNALIGNED_KMALLOC") and not needed:
        pool.adjust_size(min(pool.size, -(-memblock.phys_mem_size() // PER_RAM)))
        needed = True
    pool.init(needed=needed, limit=limit - 1, cpus=cpus)
