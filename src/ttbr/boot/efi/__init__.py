"""A boot through UEFI: the firmware's memory map in place of the device tree's memory.

`memory_map` is the map and its descriptors, `firmware` all that the firmware hands over, `read`
and `boot_log` where that is read from, `stub` what Linux's EFI stub makes of the device tree, and
`efi_init` what the kernel does with all of it.
"""

from ttbr.boot.efi.firmware import Firmware
from ttbr.boot.efi.memory_map import Descriptor
from ttbr.boot.efi.read import read_firmware

__all__ = ["Descriptor", "Firmware", "read_firmware"]
