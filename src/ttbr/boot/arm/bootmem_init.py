"""bootmem_init(): zones and the memory map, at the end of paging_init().

Source: arch/arm/mm/init.c (bootmem_init, find_limits, zone_sizes_init).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.memblock_init import arm_dma_limit
from ttbr.boot.sparse import SectionArrays, sparse_init
from ttbr.boot.zones import DMA, HIGHMEM, NORMAL, free_area_init
from ttbr.kernel.arm_layout import PAGE_SHIFT
from ttbr.kernel.structs import section_shift

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot

MAX_PHYSMEM_BITS = 36
LAST = 0xFFFF_FFFF


def bootmem_init(boot: ArmBoot) -> None:
    """Make the zones; mem_map and the flags of page blocks are allocated on the way."""
    boot.memblock.growth.allow()
    if boot.config.enabled("MEMTEST") and boot.machine.params.given("memtest"):
        boot.unknown("memtest=: the lines that the memory test prints, and RAM that fails it")
    if boot.config.enabled("SPARSEMEM"):
        goal = max_dma_address(boot)
        arrays = SectionArrays(boot.machine, goal)
        sparse_init(boot.machine, arrays, physmem_bits=MAX_PHYSMEM_BITS, goal=goal)
        boot.machine.section_arrays = arrays.arrays
    zone_sizes_init(boot)


def max_dma_address(boot: ArmBoot) -> int:
    """MAX_DMA_ADDRESS as a physical one: behind the DMA zone, or of the last virtual address."""
    size = boot.mdesc.zone_size(boot.config) if boot.config.enabled("ZONE_DMA") else 0
    reachable = 0 < size <= LAST - boot.layout.page_offset
    virtual = boot.layout.page_offset + size if reachable else LAST
    return (virtual - boot.layout.page_offset + boot.phys_offset) & boot.memblock.address_max


def zone_sizes_init(boot: ArmBoot) -> None:
    """The page frames behind each zone: lowmem up to the DMA limit, lowmem, all RAM."""
    max_low = boot.memblock.current_limit >> PAGE_SHIFT
    ends = {
        DMA: min(arm_dma_limit(boot) >> PAGE_SHIFT, max_low),
        NORMAL: max_low,
        HIGHMEM: boot.memblock.end_of_dram() >> PAGE_SHIFT,
    }
    section = 1 << section_shift(boot.machine.kernel)
    sparse = boot.config.enabled("SPARSEMEM")
    free_area_init(boot.machine, ends, section_bytes=section if sparse else None)
