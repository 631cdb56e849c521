"""memblock as the kernel prints it: the block ``MEMBLOCK configuration:`` of its log."""

from __future__ import annotations

from ttbr.boot.memblock import Memblock
from ttbr.boot.regions import NO_NODE, Region, is_node


def dump_all(memblock: Memblock) -> None:
    """``memblock_dump_all``: with ``memblock=debug``, messages about both arrays."""
    if memblock.log.printing:
        for line in configuration(memblock):
            memblock.log.say(line)


def configuration(memblock: Memblock) -> list[str]:
    """The lines of ``memblock_dump_all``."""
    pa = memblock.pa
    arrays = memblock.memory, memblock.reserved
    memory, reserved = (pa(regions.total_size()) for regions in arrays)
    lines = ["MEMBLOCK configuration:", f" memory size = {memory} reserved size = {reserved}"]
    for regions in arrays:
        found = regions.list
        if not found and memblock.empty_entry:
            # An array that was never used, as it was compiled: nothing, on the first node.
            found = [Region(0, 0, nid=0 if memblock.numa else NO_NODE)]
        lines.append(f" {regions.name}.cnt  = {len(found):#x}")
        for index, region in enumerate(found):
            node = f" on node {region.nid}" if is_node(region.nid) else ""
            last = pa(region.end - 1 & memblock.address_max)
            lines.append(
                f" {regions.name}[{index:#x}]\t[{pa(region.base)}-{last}], "
                f"{pa(region.size)} bytes{node} flags: {region.flags:#x}"
            )
    return lines
