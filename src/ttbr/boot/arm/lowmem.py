"""adjust_lowmem_bounds(): what of RAM the kernel maps for good, and where allocations end.

Source: arch/arm/mm/mmu.c (adjust_lowmem_bounds, early_vmalloc).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.memblock import BootPanic
from ttbr.kernel.arm_layout import PMD_SIZE, VMALLOC_END, VMALLOC_OFFSET, ArmLayout

if TYPE_CHECKING:
    from ttbr.boot.memblock import Memblock

M = 1 << 20
VMALLOC_DEFAULT = 240 * M
VMALLOC_LEAST = 16 * M
LOWMEM_LEAST = 32 * M


@dataclass(frozen=True, slots=True)
class Lowmem:
    """Where lowmem ends: `limit` is the physical address behind it, `high_memory` the virtual."""

    limit: int
    high_memory: int


def early_vmalloc(asked: int, layout: ArmLayout, memblock: Memblock) -> int:
    """early_vmalloc(): the size in bytes that `vmalloc=` gets of what it asked for."""
    size = asked & 0xFFFF_FFFF
    if size < VMALLOC_LEAST:
        size = VMALLOC_LEAST
        memblock.log.say(f"vmalloc area is too small, limiting to {size // M}MiB")
    most = VMALLOC_END - (layout.page_offset + LOWMEM_LEAST + VMALLOC_OFFSET)
    if size > most:
        size = most
        memblock.log.say(f"vmalloc area is too big, limiting to {size // M}MiB")
    return size


def lowmem_room(page_offset: int, vmalloc_size: int) -> int:
    """Bytes between PAGE_OFFSET and the gap below a vmalloc area: what lowmem can have at most."""
    return VMALLOC_END - vmalloc_size - VMALLOC_OFFSET - page_offset


def adjust_lowmem_bounds(
    memblock: Memblock, layout: ArmLayout, phys_offset: int, vmalloc_size: int, *, highmem: bool
) -> Lowmem:
    """Find the end of lowmem and set memblock's current limit below it.

    A first range that is not 2 MiB aligned loses its head to NOMAP. Without HIGHMEM (`highmem`)
    the RAM above is removed. `vmalloc_size` in bytes.
    """
    vmalloc_limit = lowmem_room(layout.page_offset, vmalloc_size) + phys_offset
    first = next(iter(memblock.for_each_mem_range()), None)
    if first is not None and first[0] % PMD_SIZE:
        head = -first[0] % PMD_SIZE
        memblock.mark_nomap(first[0], head, "adjust_lowmem_bounds")

    lowmem_limit = memblock_limit = 0
    for start, end in memblock.for_each_mem_range():
        if start >= vmalloc_limit:
            continue
        if end > lowmem_limit:
            lowmem_limit = min(vmalloc_limit, end)
        # Allocations must end before the first 2 MiB that are RAM only in part: mapping those
        # takes a table, and so memory that is mapped already.
        if not memblock_limit:
            if start % PMD_SIZE:
                memblock_limit = start
            elif end % PMD_SIZE:
                memblock_limit = lowmem_limit
    if not lowmem_limit:
        raise BootPanic(
            f"no RAM below {vmalloc_limit:#x}: a kernel whose memory starts at {phys_offset:#x} "
            "can use none as lowmem"
        )
    memblock_limit = (memblock_limit or lowmem_limit) // PMD_SIZE * PMD_SIZE

    if not highmem and memblock.end_of_dram() > lowmem_limit:
        end = memblock.end_of_dram()
        width = 2 + 2 * memblock.address_max.bit_length() // 8
        memblock.log.say(f"Ignoring RAM at {memblock_limit:#0{width}x}-{end:#0{width}x}")
        memblock.log.say("Consider using a HIGHMEM enabled kernel.")
        memblock.remove(memblock_limit, end - memblock_limit, "adjust_lowmem_bounds")

    memblock.current_limit = memblock_limit
    high_memory = lowmem_limit - phys_offset + layout.page_offset
    return Lowmem(lowmem_limit, high_memory)
