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
    # memmap_alloc() jumps to memblock, so that the return address is its caller's; but not where
    # wide addresses need more stack than it got itself.
    function = machine.kernel.caller(
        "memmap_alloc",
        "alloc_node_mem_map",
        "free_area_init_node",
        "free_area_init",
        tail=1 if machine.kernel.phys_bits == 32 else 0,
    )
    memblock = machine.memblock
    node.mem_map = memblock.alloc_try_nid_raw(size, memblock.cache_line, function, nid=node.number)
    if not node.mem_map:
        raise BootPanic(
            f"the kernel panics: 'Failed to allocate {size} bytes for node {node.number} "
            "memory map'"
        )


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
