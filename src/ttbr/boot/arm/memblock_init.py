"""arm_memblock_init(): every reservation before the final tables.

Source: arch/arm/mm/{init,mmu}.c (setup_dma_zone, arm_memblock_init, arm_mm_memblock_reserve),
init/initramfs.c (reserve_initrd_mem).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.machine_reserve import RESERVE
from ttbr.boot.cma import dma_contiguous_reserve
from ttbr.boot.memblock_dump import dump_all
from ttbr.boot.reserved_mem import early_init_fdt_scan_reserved_mem
from ttbr.kernel.arm_layout import PAGE_SIZE

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot


def arm_memblock_init(boot: ArmBoot) -> None:
    """Reserve the image, the initrd, swapper_pg_dir, and what machine and device tree ask for."""
    memblock = boot.memblock
    first = boot.physical(boot.symbol("_stext"))
    memblock.reserve(first, boot.symbol("_end") - boot.symbol("_stext"), "arm_memblock_init")
    reserve_initrd_mem(boot)
    function = boot.machine.kernel.caller("arm_mm_memblock_reserve", "arm_memblock_init", tail=1)
    memblock.reserve(boot.tables.root, boot.layout.pg_dir_size, function)
    if boot.mdesc.reserve is not None:
        RESERVE[boot.mdesc.reserve](boot)
    early_init_fdt_scan_reserved_mem(boot.machine)
    dma_contiguous_reserve(boot.machine, arm_dma_limit(boot), boot.lowmem.limit)
    dump_all(memblock)


def reserve_initrd_mem(boot: ArmBoot) -> None:
    """Reserve the initrd's pages, or give it up if they are not all free RAM."""
    machine, memblock = boot.machine, boot.memblock
    if machine.initrd is None or not boot.config.enabled("BLK_DEV_INITRD"):
        return
    given, length = machine.initrd
    start = given // PAGE_SIZE * PAGE_SIZE
    size = -(-(length + given - start) // PAGE_SIZE) * PAGE_SIZE
    say = memblock.log.say
    if not memblock.is_region_memory(start, size):
        say(f"INITRD: {start:#010x}+{size:#010x} is not a memory region - disabling initrd")
    elif memblock.is_region_reserved(start, size):
        # This message, unlike the other, ends its line before it is continued.
        say(f"INITRD: {start:#010x}+{size:#010x} overlaps in-use memory region")
        say(" - disabling initrd")
    else:
        memblock.reserve(start, size, "reserve_initrd_mem")
        return
    machine.initrd = None


def arm_dma_limit(boot: ArmBoot) -> int:
    """The last physical address of the DMA zone (setup_dma_zone); all ones without one."""
    if not boot.config.enabled("ZONE_DMA"):
        return boot.memblock.address_max
    size = boot.mdesc.zone_size(boot.config)
    return boot.phys_offset + size - 1 if size else 0xFFFF_FFFF
