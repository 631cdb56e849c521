"""bootmem_init(): zones and the memory map, at the end of paging_init().

Source: arch/arm/mm/init.c (bootmem_init, find_limits, zone_sizes_init).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.memblock_init import arm_dma_limit
from ttbr.boot.zones import DMA, HIGHMEM, NORMAL, free_area_init
from ttbr.errors import InputError
from ttbr.kernel.arm_layout import PAGE_SHIFT

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot


def bootmem_init(boot: ArmBoot) -> None:
    """Make the zones; mem_map and the flags of page blocks are allocated on the way."""
    boot.memblock.allow_resize()
    if boot.config.enabled("MEMTEST") and boot.machine.params.given("memtest"):
        boot.unknown("memtest=: the lines that the memory test prints, and RAM that fails it")
    if boot.config.enabled("SPARSEMEM"):
        raise InputError("a 32-bit ARM kernel with SPARSEMEM is not covered")
    zone_sizes_init(boot)


def zone_sizes_init(boot: ArmBoot) -> None:
    """The page frames behind each zone: lowmem up to the DMA limit, lowmem, all RAM."""
    max_low = boot.memblock.current_limit >> PAGE_SHIFT
    ends = {
        DMA: min(arm_dma_limit(boot) >> PAGE_SHIFT, max_low),
        NORMAL: max_low,
        HIGHMEM: boot.memblock.end_of_dram() >> PAGE_SHIFT,
    }
    free_area_init(boot.machine, ends)
