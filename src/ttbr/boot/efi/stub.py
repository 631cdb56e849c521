"""What Linux's EFI stub makes of the device tree that the firmware has.

Source: drivers/firmware/efi/libstub/fdt.c (update_fdt, update_fdt_memmap).
"""

from __future__ import annotations

from ttbr.boot.efi.efi_init import (
    DESCRIPTOR_SIZE,
    DESCRIPTOR_VERSION,
    MEMMAP,
    MEMMAP_SIZE,
    NOT_KNOWN,
    SECURE_BOOT,
    SYSTEM_TABLE,
)
from ttbr.boot.efi.firmware import Firmware
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import as_by_stub

SECURE_BOOT_DISABLED = 2


def is_stubs(tree: DeviceTree) -> bool:
    """Whether a tree comes from the stub, as /sys/firmware/fdt does after a boot through UEFI."""
    chosen = tree.find("/chosen")
    return chosen is not None and chosen.prop(SYSTEM_TABLE) is not None


def stub_tree(tree: DeviceTree, firmware: Firmware) -> DeviceTree:
    """The tree that the stub hands over; the same one if it is the stub's already.

    Addresses that are not known are all ones, as the stub's own placeholders.
    """
    if is_stubs(tree):
        return tree
    system, memmap = firmware.system_table, firmware.memmap
    values = {
        SYSTEM_TABLE: (NOT_KNOWN if system is None else system).to_bytes(8, "big"),
        MEMMAP: (NOT_KNOWN if memmap is None else memmap).to_bytes(8, "big"),
        MEMMAP_SIZE: firmware.memmap_size.to_bytes(4, "big"),
        DESCRIPTOR_SIZE: firmware.stride.to_bytes(4, "big"),
        DESCRIPTOR_VERSION: (1).to_bytes(4, "big"),
    }
    values[SECURE_BOOT] = SECURE_BOOT_DISABLED.to_bytes(4, "big")
    return DeviceTree.parse(as_by_stub(tree, values))
