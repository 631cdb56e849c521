"""Linux forward: from the loader's hand-over to the final page tables, in the kernel's order."""

from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot, default_kernel
from ttbr.boot.events import Event
from ttbr.boot.loader import Placement, custom, qemu, u_boot
from ttbr.kernel.kernel import Kernel

__all__ = [
    "Board",
    "Boot",
    "Event",
    "Kernel",
    "Placement",
    "boot",
    "custom",
    "default_kernel",
    "qemu",
    "u_boot",
]
