"""The flat device tree, read before anything else: drivers/of/fdt.c."""

from __future__ import annotations

from ttbr.boot.board import c_string, chosen_initrd
from ttbr.boot.fdt import DeviceTree, Property
from ttbr.boot.machine import Machine

FDT_NOP = (4).to_bytes(4, "big")
PROPERTY_HEADER = 12  # token, length and name in front of a property's data
U64 = (1 << 64) - 1
MAX_USABLE_RANGES = 2


def early_init_dt_scan(machine: Machine) -> None:
    """``early_init_dt_scan``: /chosen, then memory, then what may be used of it.

    Fills ``params``, ``initrd``, ``elfcorehdr`` and memblock's memory; wipes ``rng-seed`` in RAM.
    """
    early_init_dt_scan_chosen(machine)
    early_init_dt_scan_memory(machine)
    early_init_dt_check_for_usable_mem_range(machine)


def early_init_dt_scan_chosen(machine: Machine) -> None:
    """``early_init_dt_scan_chosen``: initrd, elfcorehdr, seed and command line."""
    chosen = machine.tree.find("/chosen")
    bootargs = chosen.prop("bootargs") if chosen else None
    machine.set_command_line(c_string(bootargs) if bootargs is not None else None)
    if chosen is None:
        return
    config = machine.kernel.config
    if config.enabled("BLK_DEV_INITRD"):
        machine.initrd = chosen_initrd(machine.tree)
    header = chosen.prop("linux,elfcorehdr")
    if config.enabled("CRASH_DUMP") and header is not None:
        pairs = header.pairs(*_root_cells(machine))
        machine.elfcorehdr = (pairs[0][0] & U64, pairs[0][1] & U64) if pairs else None
    seed = chosen.prop("rng-seed")
    if seed is not None and seed.data:
        nop_property(machine, seed)


def nop_property(machine: Machine, found: Property) -> None:
    """``fdt_nop_property``: overwrite a property in RAM, header and all, with FDT_NOP tokens.

    The tree that the kernel reads from here on has it no more.
    """
    size = PROPERTY_HEADER + -(-len(found.data) // 4) * 4
    machine.ram.write(machine.dtb + found.offset - PROPERTY_HEADER, FDT_NOP * (size // 4))
    del found.node.properties[found.name]


def early_init_dt_scan_memory(machine: Machine) -> None:
    """``early_init_dt_scan_memory``: every entry of every memory node."""
    function = "early_init_dt_scan_memory"
    for entry in machine.board.memory:
        if not entry.size:
            continue
        early_init_dt_add_memory_arch(machine, entry.base, entry.size)
        if entry.hotpluggable:
            machine.memblock.mark_hotplug(entry.base, entry.size, function)


def early_init_dt_add_memory_arch(machine: Machine, base: int, size: int) -> None:
    """``early_init_dt_add_memory_arch``: cut an entry to whole pages that the kernel can use."""
    memblock, page = machine.memblock, machine.kernel.page_size
    lowest = machine.phys_offset if machine.kernel.arch == "arm" else 0
    highest = memblock.address_max

    def ignoring(what: str, start: int, end: int) -> None:
        machine.log.say(f"OF: fdt: Ignoring memory {what} {start:#x} - {end & U64:#x}")

    if size < page - base % page:
        ignoring("block", base, base + size)
        return
    if base % page:
        size -= page - base % page
        base = _page_up(base, page)
    size = size // page * page
    if base > highest:
        ignoring("block", base, base + size)
        return
    if (base + size - 1) & U64 > highest:
        ignoring("range", highest + 1, base + size)
        size = highest - base + 1
    if (base + size) & U64 < lowest:
        ignoring("block", base, base + size)
        return
    if base < lowest:
        ignoring("range", base, lowest)
        size -= lowest - base
        base = lowest
    # A phys_addr_t takes the size: all 4 GiB of a 32-bit one come out as nothing.
    memblock.add(base, size & memblock.address_max, "early_init_dt_add_memory_arch")


def early_init_dt_check_for_usable_mem_range(machine: Machine) -> None:
    """``early_init_dt_check_for_usable_mem_range``: a crash kernel's share of memory."""
    chosen = machine.tree.find("/chosen")
    found = chosen.prop("linux,usable-memory-range") if chosen else None
    cells = _root_cells(machine)
    # The kernel takes the length in bytes modulo a number of cells; so it is here.
    if found is None or not sum(cells) or len(found.data) % sum(cells):
        return
    memblock = machine.memblock
    function = "early_init_dt_check_for_usable_mem_range"
    mask = memblock.address_max
    ranges = [(base & mask, size & mask) for base, size in found.pairs(*cells)][:MAX_USABLE_RANGES]
    if not ranges:
        return
    memblock.cap_memory_range(*ranges[0], function)
    for base, size in ranges[1:]:
        if not size:
            break
        memblock.add(base, size, function)


def _root_cells(machine: Machine) -> tuple[int, int]:
    return machine.tree.root.address_cells, machine.tree.root.size_cells


def _page_up(address: int, page: int) -> int:
    return (-(-address // page) * page) & U64


def machine_name(tree: DeviceTree) -> str | None:
    """``of_flat_dt_get_machine_name``: the model, or what the board is first compatible with."""
    found = tree.root.prop("model") or tree.root.prop("compatible")
    return None if found is None else c_string(found)
