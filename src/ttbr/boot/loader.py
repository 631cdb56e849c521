"""Boot loaders: where kernel, device tree and initrd lie when Linux starts.

Sources: QEMU 7.2 hw/arm/boot.c; U-Boot arch/arm/lib/image.c and boot/image-board.c (booti,
bootz); Linux Documentation/arch/{arm,arm64}/booting.rst; arch/arm/boot/compressed/head.S and
fdt_check_mem_start.c (where a zImage unpacks itself to).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from ttbr.boot.board import Board
from ttbr.boot.fdt import DeviceTree, Node
from ttbr.errors import InputError, TtbrError
from ttbr.format import about
from ttbr.kernel.kernel import Kernel

K = 1 << 10
M = 1 << 20
PAGE = 4096  # what loaders align to, whatever the kernel's page size is

QEMU_BOOTLOADER = 4 * K  # BOOTLOADER_MAX_SIZE: QEMU's own code at the bottom of RAM
QEMU_ZIMAGE = 64 * K  # KERNEL_LOAD_ADDR
QEMU_INITRD = 128 * M
QEMU_DTB_ALIGN = {"arm64": 2 * M, "arm": 4 * K}

UBOOT_SIZE = 16 * M  # taken for U-Boot itself, which lives at the top of RAM
UBOOT_BOOTM_SIZE = 256 * M  # bootm_size=0x10000000 of the common default environments
UBOOT_FDT_PAD = 0x3000  # CONFIG_SYS_FDT_PAD

ZIMAGE_ALIGN = 128 * M
IMAGE_ALIGN = 2 * M
SEGMENT_ALIGN = 64 * K
DTB_ALIGN = 8
ARM64_DTB_MAX = 2 * M
NO_BASE = 0xFFFF_FFFF
PAGE_DIRECTORY = {False: 0x4000, True: 0x5000}  # below _text, by LPAE


@dataclass(frozen=True, slots=True)
class Placement:
    """Physical addresses at hand-over: of ``_text``, of the device tree, of (start, size) initrd.

    ``el``: the exception level at which an arm64 kernel is entered, 1 or 2; None if not known.
    ``assumptions`` are sentences about what no input said.
    """

    kernel: int
    dtb: int
    initrd: tuple[int, int] | None
    loader: str
    assumptions: tuple[str, ...] = field(default=())
    el: int | None = None


def qemu(board: Board, kernel: Kernel, initrd_size: int | None = None) -> Placement:
    """Where ``qemu -kernel`` puts things.

    ``initrd_size``: bytes of ``-initrd``. Without it the initrd is where the tree's /chosen says.
    """
    base = board.ram[0].base
    total = sum(bank.size for bank in board.ram)
    if kernel.arch == "arm64":
        offset = kernel.text_offset
        start = base + (offset + IMAGE_ALIGN if offset < QEMU_BOOTLOADER else offset)
        loaded_end = start + kernel.image_size
    else:
        loaded = base + QEMU_ZIMAGE
        start = zimage_target(board.tree, kernel, loaded)
        loaded_end = loaded + (kernel.file_size or 0)
    # An initrd further up is not reached by a 32-bit kernel; a lower one is overwritten.
    initrd_at = _up(max(base + min(total // 2, QEMU_INITRD), loaded_end), PAGE)
    initrd, end = board.initrd, initrd_at
    if initrd_size:
        initrd = (initrd_at, initrd_size)
    if initrd is not None:
        end = sum(initrd)
    at = _up(end, QEMU_DTB_ALIGN[kernel.arch])
    tree, assumptions = _off_the_kernel(board, at, (start, start + kernel.image_size), initrd)
    return Placement(start, tree, initrd, "qemu", assumptions)


def _off_the_kernel(
    board: Board, at: int, kernel: tuple[int, int], initrd: tuple[int, int] | None
) -> tuple[int, tuple[str, ...]]:
    """Where the device tree goes if it cannot stay at ``at``, and a sentence about that.

    In little RAM (32 MiB, say) half of RAM, where QEMU puts it, is inside a kernel that has
    unpacked itself. The top of the first bank is furthest from what that overwrites. Where it is
    taken as well the tree stays.
    """
    size, bank = board.tree.totalsize, board.ram[0]
    taken = [] if initrd is None else [(initrd[0], sum(initrd))]
    if any(other.base <= kernel[0] and kernel[1] <= other.end for other in board.ram):
        taken.append(kernel)

    def free(start: int) -> bool:
        inside = any(other.base <= start and start + size <= other.end for other in board.ram)
        return inside and all(start + size <= low or high <= start for low, high in taken)

    top = _down(bank.end - size, PAGE)
    if free(at) or not free(top):
        return at, ()
    return top, (
        f"QEMU would put the device tree at {at:#x}, where it does not fit beside the kernel, "
        f"{kernel[0]:#x}-{kernel[1] - 1:#x}: it is taken to be at the end of RAM, {top:#x}",
    )


def u_boot(board: Board, kernel: Kernel, initrd_size: int | None = None) -> Placement:
    """Where U-Boot's ``booti`` or ``bootz`` leaves things, with its common default environment.

    ``initrd_size``: bytes of the initrd. Without it the initrd is where the tree's /chosen says.
    """
    bank = board.ram[0]
    assumptions = [
        f"U-Boot: bootm_size is {UBOOT_BOOTM_SIZE >> 20} MiB, and the top {UBOOT_SIZE >> 20} MiB "
        "of the first bank of RAM are its own"
    ]
    if kernel.arch == "arm64":
        start = _up(bank.base, IMAGE_ALIGN) + kernel.text_offset
        assumptions.append(f"U-Boot: the Image is at the start of RAM, {start:#x}")
    else:
        start = zimage_target(board.tree, kernel, bank.base + SEGMENT_ALIGN)
        assumptions.append("U-Boot: the zImage was loaded into the first 128 MiB of RAM")
    top = min(bank.base + UBOOT_BOOTM_SIZE, bank.end - UBOOT_SIZE)
    initrd = board.initrd
    if initrd_size:
        initrd = (_down(top - initrd_size, PAGE), initrd_size)
        top = initrd[0]
    elif initrd is not None:
        top = min(top, initrd[0]) if initrd[0] > start else top
    dtb = _down(top - board.tree.totalsize - UBOOT_FDT_PAD, PAGE)
    return Placement(start, dtb, initrd, "u-boot", tuple(assumptions))


def custom(
    board: Board,
    kernel_at: int,
    dtb_at: int,
    initrd: tuple[int, int] | None = None,
) -> Placement:
    """The user's own physical addresses: of ``_text``, of the device tree, (start, size) initrd."""
    return Placement(kernel_at, dtb_at, initrd or board.initrd, "custom")


def zimage_target(tree: DeviceTree, kernel: Kernel, loaded: int) -> int:
    """Physical ``_text`` of the kernel that a zImage at ``loaded`` unpacks.

    `InputError` if the configuration fixes another address at build time.
    """
    if not kernel.config.enabled("AUTO_ZRELADDR"):
        raise InputError(
            f"{kernel.name}: without CONFIG_AUTO_ZRELADDR the zImage unpacks to an address of its "
            "own: say where _text is (--loader custom --kernel-at)"
        )
    return _check_mem_start(tree, _down(loaded, ZIMAGE_ALIGN)) + kernel.text_offset


def _check_mem_start(tree: DeviceTree, start: int) -> int:
    """``fdt_check_mem_start``: where RAM starts for the decompressor, ``start`` if that is RAM."""
    addresses, sizes = tree.root.address_cells, tree.root.size_cells
    if addresses > 2 or sizes > 2:
        return start
    chosen = tree.find("/chosen")
    limit = chosen.prop("linux,usable-memory-range") if chosen else None
    usable: tuple[int, int] | None = None
    if limit is not None and (pairs := limit.pairs(addresses, sizes)):
        base, size = pairs[0]
        if not size or base >> 32:
            return start
        usable = (base, base + size)
    lowest = NO_BASE
    for node in tree.root.walk():
        for base, size in _memory_pairs(node, addresses, sizes):
            if not size or base >> 32:
                continue
            low, high = base, base + size
            if usable is not None:
                low, high = max(low, usable[0]), min(high, usable[1])
                if high <= low:
                    continue
            elif low <= start < high:
                return start
            lowest = min(lowest, low)
    return start if lowest == NO_BASE else _up(lowest, IMAGE_ALIGN)


def _memory_pairs(node: Node, addresses: int, sizes: int) -> list[tuple[int, int]]:
    """The entries of a memory node anywhere in the tree, available or not."""
    kind = node.prop("device_type")
    if kind is None or kind.data.partition(b"\0")[0] != b"memory":
        return []
    found = node.prop("linux,usable-memory") or node.prop("reg")
    return [] if found is None else found.pairs(addresses, sizes)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a placement cannot work: which part it is about, in which way, and in words.

    ``part`` is "kernel", "device tree" or "initrd"; ``kind`` "alignment", "size" (no place can hold
    it), "outside RAM" or "overlap". ``start`` and ``end`` (exclusive) are where the part lies.
    """

    part: str
    kind: str
    start: int
    end: int
    text: str


class KernelTooBig(TtbrError):
    """No bank of RAM can hold the kernel, wherever a loader puts it."""


def check(board: Board, kernel: Kernel, placement: Placement, dtb_size: int) -> KernelTooBig | None:
    """Refuse a placement that cannot work, with an `InputError` that says why (see `faults`).

    A kernel that fits nowhere is not the placement's fault: that is returned.
    """
    too_big: KernelTooBig | None = None
    for fault in faults(board, kernel, placement, dtb_size):
        if (fault.part, fault.kind) != ("kernel", "size"):
            raise InputError(fault.text)
        too_big = KernelTooBig(fault.text)
    return too_big


def room_for_kernel(board: Board, kernel: Kernel) -> tuple[int, int]:
    """Bytes that a bank of RAM must have for the kernel, and those of the bank with most room.

    From where ``_text`` can first be in the bank: a multiple of 2 MiB, plus the text offset.
    """
    needed = kernel.text_offset + kernel.image_size
    return needed, max(bank.end - _up(bank.base, IMAGE_ALIGN) for bank in board.ram)


def faults(board: Board, kernel: Kernel, placement: Placement, dtb_size: int) -> Iterator[Fault]:
    """Why a placement cannot work.

    Kernel and device tree must lie in RAM, aligned as the boot protocol wants them, and nothing
    may lie on anything else. ``dtb_size``: bytes of the tree that is handed over.
    """
    start = placement.kernel
    parts = {"kernel": (start, start + kernel.image_size)}
    if kernel.arch == "arm":
        below = PAGE_DIRECTORY[kernel.config.enabled("ARM_LPAE")]
        parts["kernel"] = (start - below, start + kernel.image_size)
        offset = (start - kernel.text_offset) % IMAGE_ALIGN
        rule = f"2 MiB aligned plus {kernel.text_offset:#x}"
    else:
        offset = start % SEGMENT_ALIGN
        rule = "64 KiB aligned"
    tree = placement.dtb, placement.dtb + dtb_size
    needed, room = room_for_kernel(board, kernel)
    if needed > room:
        banks = ", ".join(map(str, board.ram[:4]))
        text = (
            f"the kernel needs {about(needed)} in one bank of RAM, from a multiple of 2 MiB on: "
            f"the best has {about(max(room, 0))} of them ({banks})"
        )
        yield Fault("kernel", "size", *parts.pop("kernel"), text)
    elif offset:
        text = f"the kernel cannot be at {start:#x}: _text must be {rule}"
        yield Fault("kernel", "alignment", *parts["kernel"], text)
    if placement.dtb % DTB_ALIGN:
        text = f"the device tree cannot be at {placement.dtb:#x}: not 8-byte aligned"
        yield Fault("device tree", "alignment", *tree, text)
    if kernel.arch == "arm64" and dtb_size > ARM64_DTB_MAX:
        text = f"the device tree has {dtb_size:#x} bytes, more than the 2 MiB of arm64"
        yield Fault("device tree", "size", *tree, text)
    parts["device tree"] = tree
    for name, (low, high) in parts.items():
        if not any(bank.base <= low and high <= bank.end for bank in board.ram):
            banks = ", ".join(map(str, board.ram[:4]))
            text = f"the {name} at {low:#x}-{high - 1:#x} does not fit into RAM, {banks}"
            yield Fault(name, "outside RAM", low, high, text)
    if placement.initrd is not None:
        parts["initrd"] = (placement.initrd[0], sum(placement.initrd))
    ordered = sorted(parts.items(), key=lambda part: part[1])
    for (lower, (_, end)), (upper, (begin, last)) in pairwise(ordered):
        if begin < end:
            text = (
                f"the {upper} at {begin:#x}-{last - 1:#x} is on the {lower}, "
                f"which ends at {end - 1:#x}"
            )
            yield Fault(upper, "overlap", begin, last, text)


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


def _down(value: int, align: int) -> int:
    return value // align * align
