"""What arm's part of mm_init() adds: bounce buffers of LPAE kernels.

Source: arch/arm/mm/init.c: mem_init; asm/dma.h, include/linux/memblock.h:
ARCH_LOW_ADDRESS_LIMIT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.bootmem_init import max_dma_address
from ttbr.boot.arm.memblock_init import arm_dma_limit
from ttbr.boot.mm_init import Reach, mm_init
from ttbr.kernel.arm_layout import PAGE_SHIFT

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot
    from ttbr.boot.swiotlb import Swiotlb

LAST = 0xFFFF_FFFF


def hand_over(boot: ArmBoot) -> None:
    """start_kernel() behind setup_arch() until the page allocator has all memory."""
    mm_init(
        boot.machine, Reach(max_dma_address(boot), lambda pool, cpus: _swiotlb(boot, pool, cpus))
    )


def _swiotlb(boot: ArmBoot, pool: Swiotlb, cpus: int) -> None:
    if not boot.config.enabled("ARM_LPAE"):
        return
    max_pfn = boot.memblock.end_of_dram() >> PAGE_SHIFT
    needed = max_pfn > min(arm_dma_limit(boot), LAST) >> PAGE_SHIFT
    release, limit = boot.machine.kernel.release, LAST
    if boot.config.enabled("ZONE_DMA") and release.has("arm_low_memory_is_dma_memory"):
        limit = arm_dma_limit(boot)
    pool.init(needed=needed, limit=limit, cpus=cpus)
