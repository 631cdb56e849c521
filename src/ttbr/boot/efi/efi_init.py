"""efi_init: memory by the firmware's map, and what its tables need reserved.

Source: drivers/firmware/efi/efi-init.c, fdtparams.c, efi.c (efi_config_parse_tables,
efi_mem_reserve), memattr.c, tpm.c, esrt.c, mokvar-table.c of 6.1 and 6.12.
"""

from __future__ import annotations

from ttbr.boot.acpi import takes_acpi
from ttbr.boot.early_fdt import (
    early_init_dt_add_memory_arch,
    early_init_dt_check_for_usable_mem_range,
)
from ttbr.boot.efi.firmware import INITRD_NOT_KNOWN, Firmware
from ttbr.boot.efi.memory_map import (
    ACPI_NVS,
    ACPI_RECLAIM,
    BOOT_DATA,
    MORE_RELIABLE,
    PAGE_SHIFT,
    RUNTIME,
    RUNTIME_DATA,
    SPECIAL,
    U64,
    Descriptor,
)
from ttbr.boot.machine import Machine
from ttbr.boot.memblock_dump import dump_all
from ttbr.boot.regions import BootPanic
from ttbr.errors import InputError

SYSTEM_TABLE = "linux,uefi-system-table"
MEMMAP = "linux,uefi-mmap-start"
MEMMAP_SIZE = "linux,uefi-mmap-size"
DESCRIPTOR_SIZE = "linux,uefi-mmap-desc-size"
DESCRIPTOR_VERSION = "linux,uefi-mmap-desc-ver"
SECURE_BOOT = "linux,uefi-secure-boot"
PARAMETERS = {
    SYSTEM_TABLE: ("System Table", 16),
    MEMMAP: ("MemMap Address", 16),
    MEMMAP_SIZE: ("MemMap Size", 16),
    DESCRIPTOR_SIZE: ("MemMap Desc. Size", 16),
    DESCRIPTOR_VERSION: ("MemMap Desc. Version", 16),
    SECURE_BOOT: ("Secure Boot Enabled", 8),
}
"""Properties of /chosen, all of which the kernel needs for a boot through UEFI; what it calls them
and how many digits it shows."""
ESRT_KINDS = (BOOT_DATA, RUNTIME_DATA, ACPI_RECLAIM, ACPI_NVS)
ESRT_KINDS_OLD = (BOOT_DATA, RUNTIME_DATA)
NOT_KNOWN = (1 << 64) - 1  # what the stub, too, puts for an address that is still to come
EARLY_MAP_LIMIT = 256 << 10  # bytes that one slot of early_memremap holds


def efi_init(machine: Machine) -> None:
    """``efi_init``: nothing where the tree names no system table; `InputError` without a map."""
    said = _parameters(machine) if machine.kernel.config.enabled("EFI") else None
    if said is None or not said[SYSTEM_TABLE]:
        return
    firmware = machine.board.firmware
    if firmware is None:
        raise InputError(
            "the device tree is of a boot through UEFI, whose firmware says what memory there is: "
            "give its memory map (--efi-memmap)"
        )
    if firmware.memmap_size > EARLY_MAP_LIMIT:
        raise BootPanic("the kernel panics: 'Unable to map EFI memory map.'")
    initrd = machine.initrd or firmware.initrd
    machine.unknowns += [
        line for line in firmware.unknowns if line != INITRD_NOT_KNOWN or initrd is None
    ]
    if takes_acpi(machine):
        machine.unknowns.append(
            "ACPI describes this machine, not the device tree: its tables are no inputs here. Nodes"
            " (SRAT) are taken to be none, DMA (IORT) to reach all memory, CPUs (MADT) and an "
            "early console (SPCR) to be as the options say"
        )
    _config_parse_tables(machine, firmware)
    _reserve_regions(machine, firmware)
    early_init_dt_check_for_usable_mem_range(machine)
    _refuse_mirrors(machine, firmware)
    _esrt_init(machine, firmware)
    if machine.kernel.config.enabled("LOAD_UEFI_KEYS"):
        for base, size in firmware.table("MOKvar"):
            if (found := _lookup(firmware, base)) and found.kind == BOOT_DATA:
                _mem_reserve(machine, base, size)
    _reserve_memmap(machine, firmware, said)
    if _draws_early(machine):
        for base, size in firmware.table("framebuffer"):
            if machine.memblock.is_map_memory(base):
                machine.memblock.mark_nomap(base, size, "efi_init")


def _parameters(machine: Machine) -> dict[str, int] | None:
    """``efi_get_fdt_params``: what the tree says of the firmware; None unless it says all."""
    chosen = machine.tree.find("/chosen")
    if chosen is None or chosen.prop(SYSTEM_TABLE) is None:
        machine.log.say("efi: UEFI not found.")
        return None
    debug = _debug(machine)
    if debug:
        machine.log.say("efi: Getting UEFI parameters from /chosen in DT:")
    values: dict[str, int] = {}
    for name, (words, digits) in PARAMETERS.items():
        found = chosen.prop(name)
        if found is None:
            machine.log.say(f"efi: Can't find property '{name}' in DT!")
            return None
        values[name] = int.from_bytes(found.data[: 4 if len(found.data) == 4 else 8], "big")
        if debug:
            machine.log.say(f"efi:   {words:21}: 0x{values[name]:0{digits}x}")
    return values


def _debug(machine: Machine) -> bool:
    """``efi=debug``."""
    return any("debug" in (value or "").split(",") for value in machine.params.all("efi"))


def _config_parse_tables(machine: Machine, firmware: Firmware) -> None:
    """``efi_config_parse_tables``: the tables' own memory, and the initrd that the stub loaded."""
    memory = machine.memblock
    for name, function in (
        ("MEMATTR", "efi_memattr_init"),
        ("TPMEventLog", "efi_tpm_eventlog_init"),
        ("TPMFinalLog", "efi_tpm_eventlog_init"),
        ("MEMRESERVE", "efi_config_parse_tables"),
    ):
        # Without the first event of the log, nobody can read the final one.
        if name == "TPMFinalLog" and not firmware.table("TPMEventLog"):
            continue
        for base, size in firmware.table(name):
            memory.reserve(base, size, function)
    if machine.kernel.config.enabled("BLK_DEV_INITRD") and machine.initrd is None:
        machine.initrd = firmware.initrd


def _reserve_regions(machine: Machine, firmware: Firmware) -> None:
    """``reserve_regions``: forget the tree's memory, and add the map's."""
    function = machine.kernel.caller("reserve_regions", "efi_init")
    memory, page = machine.memblock, machine.kernel.page_size
    debug = _debug(machine)
    if debug:
        machine.log.say("efi: Processing EFI memory map:")
    dump_all(memory)
    memory.remove(0, U64, function)
    soft = machine.kernel.config.enabled("EFI_SOFT_RESERVE") and not any(
        "nosoftreserve" in (value or "").split(",") for value in machine.params.all("efi")
    )
    for entry in firmware.memory_map:
        if debug:
            machine.log.say(f"efi:   {entry.words}")
        if not entry.is_memory or (soft and entry.attribute & SPECIAL):
            continue
        # Whole pages of the kernel, outwards: with 16K and 64K pages, neighbours may share one.
        start = entry.phys // page * page
        size = -(-entry.end // page) * page - start
        early_init_dt_add_memory_arch(machine, start, size & U64)
        if not entry.is_usable:
            memory.mark_nomap(start, size, function)
        if entry.kind == ACPI_RECLAIM:
            memory.reserve(start, size, function)


def _refuse_mirrors(machine: Machine, firmware: Firmware) -> None:
    """``efi_find_mirror`` makes memblock prefer mirrored memory, with kernelcore=mirror only."""
    wanted = any("mirror" in (v or "").split(",") for v in machine.params.all("kernelcore"))
    if wanted and any(entry.attribute & MORE_RELIABLE for entry in firmware.memory_map):
        raise InputError(
            "kernelcore=mirror: allocation from mirrored memory, which the EFI memory map has, "
            "is not covered"
        )


def _lookup(firmware: Firmware, address: int) -> Descriptor | None:
    """``efi_mem_desc_lookup``: the descriptor that an address lies in."""
    for entry in firmware.memory_map:
        whole = entry.pages and entry.pages <= (U64 - entry.phys) >> PAGE_SHIFT
        if whole and entry.phys <= address < entry.end:
            return entry
    return None


def _esrt_init(machine: Machine, firmware: Firmware) -> None:
    """``efi_esrt_init``: the table of updatable firmware, where boot services had kept it."""
    for base, size in firmware.table("ESRT"):
        found = _lookup(firmware, base)
        kinds = ESRT_KINDS if machine.kernel.release.has("efi_esrt_in_acpi") else ESRT_KINDS_OLD
        if found is None or not (found.attribute & RUNTIME or found.kind in kinds):
            machine.log.say("esrt: ESRT header is not in the memory map.")
        elif base + size <= found.end:
            machine.log.say(f"esrt: Reserving ESRT space from {base:#018x} to {base + size:#018x}.")
            if found.kind == BOOT_DATA:
                _mem_reserve(machine, base, size)


def _mem_reserve(machine: Machine, base: int, size: int) -> None:
    """``efi_mem_reserve``."""
    if not machine.memblock.is_region_reserved(base, size):
        machine.memblock.reserve(base, size, "efi_mem_reserve")


def _reserve_memmap(machine: Machine, firmware: Firmware, said: dict[str, int]) -> None:
    """Keep the pages that the map itself lies in, which the tree names."""
    at, length, stride = said[MEMMAP], said[MEMMAP_SIZE], said[DESCRIPTOR_SIZE]
    if length != len(firmware.memory_map) * stride or firmware.memmap not in (None, at):
        machine.unknowns.append(
            f"the tree tells of another memory map than the one that was given: {length} bytes at "
            f"{at:#x}, {stride} for each of {len(firmware.memory_map)} ranges: are they of one "
            "boot?"
        )
    if at == NOT_KNOWN:
        machine.unknowns.append(
            "where the firmware's memory map lies is not known: its pages are not among the "
            "reserved ones (Linux's own stub puts it into ACPI reclaim memory, reserved anyway)"
        )
        return
    page = machine.kernel.page_size
    size = -(-(length + at % page) // page) * page
    machine.memblock.reserve(at // page * page, size, "efi_init")


def _draws_early(machine: Machine) -> bool:
    """Whether the kernel looks for a frame buffer this early (init_screen_info)."""
    config = machine.kernel.config
    return (
        not machine.kernel.release.has("efi_screen_info_table")
        or config.enabled("SYSFB")
        or config.enabled("EFI_EARLYCON")
    )
