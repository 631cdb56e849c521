"""What a FLATMEM kernel allocates for its nodes: mem_map, and the page-block flags of zones.

Source: mm/mm_init.c (6.1: mm/page_alloc.c): alloc_node_mem_map, setup_usemap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.memblock import BootPanic
from ttbr.kernel.pageblock import max_page_order, pageblock_bytes
from ttbr.kernel.structs import struct_size

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.boot.zones import Node, Zone

PAGEBLOCK_BITS = 4  # NR_PAGEBLOCK_BITS: three of the migrate type, one to skip the block


def alloc_node_mem_map(machine: Machine, node: Node) -> None:
    """One array of struct page for the node, holes included, in blocks of the largest order."""
    if not node.spanned:
        return
    block = 1 << max_page_order(machine.kernel)
    first, behind = node.start_pfn // block * block, -(-node.end_pfn // block) * block
    size = (behind - first) * struct_size(machine.kernel, "page")
    callers = "alloc_node_mem_map", "free_area_init_node", "free_area_init"
    line = machine.memblock.cache_line
    node.mem_map = memmap_alloc(machine, size, line, callers, nid=node.number)
    if not node.mem_map:
        raise BootPanic(
            f"the kernel panics: 'Failed to allocate {size} bytes for node {node.number} "
            "memory map'"
        )
    machine.memmap_bytes += size


def memmap_alloc(
    machine: Machine,
    size: int,
    align: int,
    callers: tuple[str, ...],
    *,
    nid: int,
    goal: int = 0,
    exact: bool = False,
) -> int:
    """``memmap_alloc``: memory for struct pages, on the node and above ``goal`` if possible.

    ``callers``: who calls it, as for `Kernel.caller`. ``exact``: on no other node. 0 without room.
    """
    kernel, memblock = machine.kernel, machine.memblock
    # It jumps to memblock, so that the return address is its caller's; but not on arm where wide
    # addresses need more stack than it got itself.
    wide = kernel.arch == "arm" and kernel.phys_bits == 64
    function = kernel.caller("memmap_alloc", *callers, tail=0 if wide else 1)
    alloc = memblock.alloc_exact_nid_raw if exact else memblock.alloc_try_nid_raw
    return alloc(size, align, function, start=goal, nid=nid)


def setup_usemap(machine: Machine, node: Node, zone: Zone) -> None:
    """Four bits for each page block that the zone touches, in whole words."""
    if not zone.spanned:
        return
    kernel, memblock = machine.kernel, machine.memblock
    block = pageblock_bytes(kernel) // kernel.page_size
    blocks = -(-(zone.spanned + zone.start_pfn % block) // block)
    word = 32 if kernel.arch == "arm" else 64
    size = -(-blocks * PAGEBLOCK_BITS // word) * word // 8
    function = kernel.caller(
        "setup_usemap", "free_area_init_core", "free_area_init_node", "free_area_init"
    )
    zone.usemap = memblock.alloc_try_nid(size, memblock.cache_line, function, nid=node.number)
    if not zone.usemap:
        raise BootPanic(
            f"the kernel panics: 'Failed to allocate {size} bytes for zone {zone.name} pageblock "
            f"flags on node {node.number}'"
        )
