"""What Linux's EFI stub makes of the device tree that the firmware has.

Source: drivers/firmware/efi/libstub/fdt.c (update_fdt, update_fdt_memmap).
"""

from __future__ import annotations

from ttbr.boot.efi.efi_init import PARAMETERS
from ttbr.boot.efi.firmware import Firmware
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import as_by_stub

NOT_KNOWN = (1 << 64) - 1
SECURE_BOOT_DISABLED = 2


def is_stubs(tree: DeviceTree) -> bool:
    """Whether a tree comes from the stub, as /sys/firmware/fdt does after a boot through UEFI."""
    chosen = tree.find("/chosen")
    return chosen is not None and chosen.prop(PARAMETERS[0]) is not None


def stub_tree(tree: DeviceTree, firmware: Firmware) -> DeviceTree:
    """The tree that the stub hands over; the same one if it is the stub's already.

    Addresses that are not known are all ones, as the stub's own placeholders.
    """
    if is_stubs(tree):
        return tree
    system, memmap = firmware.system_table, firmware.memmap
    values = {
        PARAMETERS[0]: (NOT_KNOWN if system is None else system).to_bytes(8, "big"),
        PARAMETERS[1]: (NOT_KNOWN if memmap is None else memmap).to_bytes(8, "big"),
        PARAMETERS[2]: firmware.memmap_size.to_bytes(4, "big"),
        PARAMETERS[3]: firmware.stride.to_bytes(4, "big"),
        PARAMETERS[4]: (1).to_bytes(4, "big"),
    }
    values[PARAMETERS[5]] = SECURE_BOOT_DISABLED.to_bytes(4, "big")
    return DeviceTree.parse(as_by_stub(tree, values))
