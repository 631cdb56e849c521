"""/reserved-memory once more, with memory to allocate: drivers/of/of_reserved_mem.c of 6.12.

The regions with a ``reg`` were reserved early; here they enter the array, which is as long as the
early scan counted, and are initialised.
"""

from __future__ import annotations

from ttbr.boot.machine import Machine
from ttbr.boot.reserved_mem import ReservedMemory
from ttbr.kernel.structs import struct_size

FUNCTION = "fdt_scan_reserved_mem_reg_nodes"


def fdt_scan_reserved_mem_reg_nodes(machine: Machine) -> None:
    """``fdt_scan_reserved_mem_reg_nodes``: enter and initialise every node with a ``reg``."""
    nodes = ReservedMemory(machine)
    if nodes.parent is None:
        nodes.say("Reserved memory: No reserved-memory node in the DT")
        return
    grows = machine.kernel.release.has("reserved_mem_grows")
    if grows and not alloc_reserved_mem_array(machine, nodes):
        return
    addresses, sizes = nodes.cells
    entry = 4 * (addresses + sizes)
    mask = machine.memblock.address_max
    for node in nodes.children():
        found = node.prop("reg")
        if found is None:
            continue
        if found.data and (not entry or len(found.data) % entry):
            nodes.say_bad_reg(node)
            continue
        if len(found.data) > entry:
            ignored = len(found.data) // entry - 1
            nodes.say(f"{FUNCTION}() ignores {ignored} regions in node '{node.name}'")
        # The first entry is read whatever the length: of an empty one, what follows in the tree.
        raw = machine.tree.blob[found.offset : found.offset + entry]
        base = int.from_bytes(raw[: 4 * addresses], "big") & mask
        size = int.from_bytes(raw[4 * addresses :], "big") & mask
        if size:
            nodes.save_and_init(node, base, size, FUNCTION)
    if nodes.well_formed:
        nodes.check_for_overlap()


def alloc_reserved_mem_array(machine: Machine, nodes: ReservedMemory) -> bool:
    """``alloc_reserved_mem_array``: an array for all regions; False if there is no memory."""
    room = machine.reserved_mem.room
    if not room:
        return True
    size = room * struct_size(machine.kernel, "reserved_mem")
    function = machine.kernel.caller("alloc_reserved_mem_array", FUNCTION)
    if machine.memblock.alloc(size, machine.memblock.cache_line, function):
        return True
    nodes.say("Failed to allocate memory for reserved_mem array with err: -12")
    machine.reserved_mem.saved.clear()
    return False
