"""Rules about what the loader hands over: where kernel, device tree and initrd lie; the seed."""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.arm64.state import MIN_KIMG_ALIGN, Arm64
from ttbr.boot.boot import Boot
from ttbr.boot.loader import Fault, faults, room_for_kernel
from ttbr.findings.attempt import Attempt, of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Bytes, Found, Place, Severity, argument, config, node
from ttbr.findings.words import said
from ttbr.format import about, size

OPTIONS = {"kernel": "--kernel-at", "device tree": "--dtb-at", "initrd": "--initrd"}
BAD_DTB = (
    "Error: invalid device tree blob at physical address {address} (virtual address {virtual})"
)
MISALIGNED = "[Firmware Bug]: Kernel image misaligned at boot, please fix your bootloader!"
NOT_REACHED = (
    "initrd not fully accessible via the linear mapping -- please check your bootloader ..."
)
NOT_MEMORY = "INITRD: {start}+{size} is not a memory region - disabling initrd"
IN_USE = "INITRD: {start}+{size} overlaps in-use memory region"
NO_SEED = "KASLR disabled due to lack of seed"
NOKASLR = "KASLR disabled on command line"
MMU_ON = "[Firmware Bug]: Booted with MMU enabled!"


def _faults(subject: Attempt, *kinds: tuple[str, str]) -> Iterable[Fault]:
    """The faults of the placement of these (kind, part) pairs; part "" stands for all."""
    if subject.board is None or subject.kernel is None or subject.placement is None:
        return
    total = subject.tree.totalsize
    for fault in faults(subject.board, subject.kernel, subject.placement, total):
        if (fault.kind, fault.part) in kinds or (fault.kind, "") in kinds:
            yield fault


def _found(fault: Fault, fix: str) -> Found:
    return Found(
        fault.text,
        fix,
        numbers={"size": Bytes(fault.end - fault.start)},
        ranges={fault.part: (fault.start, fault.end - 1)},
        places=(Place(loader=OPTIONS[fault.part]),),
    )


@CHECK.rule(
    "loader-overlap",
    Severity.ERROR,
    "the loader puts one thing on another",
    source="Documentation/arch/arm64/booting.rst, Documentation/arch/arm/booting.rst",
    remedy="Move the one that lies higher. The kernel takes image_size bytes from _text on, more "
    "than its file has: the BSS is cleared before anything is looked at.",
    example="--kernel-at 0x40200000 --dtb-at 0x41000000 with an arm64 kernel of 32 MiB.",
)
def loader_overlap(subject: Attempt) -> Iterable[Found]:
    """Kernel, device tree and initrd must not overlap, and nothing says so when they do.

    The loader or the kernel's first instructions overwrite the one with the other before there is
    a console: a broken device tree, an initrd that does not unpack, or silence.
    """
    for fault in _faults(subject, ("overlap", "")):
        yield _found(fault, f"move the {fault.part} to free RAM")


@CHECK.rule(
    "loader-outside-ram",
    Severity.ERROR,
    "kernel or device tree do not lie in RAM",
    source="Documentation/arch/arm64/booting.rst",
    remedy="Place it within a bank of RAM, or correct the memory nodes.",
    example="--dtb-at 0x90000000 on a board with RAM from 0x40000000 to 0x7fffffff.",
)
def loader_outside_ram(subject: Attempt) -> Iterable[Found]:
    """What the loader hands over has to lie in RAM, in one bank."""
    for fault in _faults(subject, ("outside RAM", "")):
        yield _found(fault, f"place the {fault.part} within a bank of RAM")


@CHECK.rule(
    "kernel-too-big",
    Severity.ERROR,
    "no bank of RAM can hold the kernel",
    source="Documentation/arch/arm64/booting.rst, Documentation/arch/arm/booting.rst; "
    "arch/arm/boot/compressed/head.S",
    remedy="Build a smaller kernel: without the drivers and debugging options that this board does "
    "not use; with CONFIG_XIP_KERNEL text and read-only data stay in flash. Or give it more RAM.",
    example="Debian's armmp kernel, which needs 22 MiB, on a board with 16 MiB.",
)
def kernel_too_big(subject: Attempt) -> Iterable[Found]:
    """Image and BSS lie in one piece, from a multiple of 2 MiB (plus the text offset) on.

    The plan ends at the hand-over: where the loader would put things, and what it hands over.
    """
    for fault in _faults(subject, ("size", "kernel")):
        assert subject.board is not None and subject.kernel is not None
        needed, room = room_for_kernel(subject.board, subject.kernel)
        yield Found(
            fault.text,
            f"build a kernel that is {about(needed - max(room, 0))} smaller, or give it more RAM",
            numbers={"needed": Bytes(needed), "available": Bytes(max(room, 0))},
            ranges={"kernel": (fault.start, fault.end - 1)},
            places=(node("/memory", "reg"), config("XIP_KERNEL")),
        )


@CHECK.rule(
    "dtb-invalid",
    Severity.ERROR,
    "the device tree is placed or sized as the kernel does not take it",
    source="arch/arm64/kernel/setup.c: setup_machine_fdt; arch/arm64/mm/fixmap.c: "
    "fixmap_remap_fdt; MAX_FDT_SIZE",
    remedy="Align it to 8 bytes; on arm64 keep its total size, padding included, within 2 MiB.",
    example="--dtb-at 0x48000004",
    kernel=(BAD_DTB,),
)
def dtb_invalid(subject: Attempt) -> Iterable[Found]:
    """A device tree that is not 8-byte aligned, or on arm64 larger than 2 MiB, is not read.

    arm64 prints why and loops for ever, with no console yet that could show it.
    """
    for fault in _faults(subject, ("alignment", "device tree"), ("size", "device tree")):
        yield _found(fault, "align it to 8 bytes and keep it within 2 MiB")


@CHECK.rule(
    "kernel-address",
    Severity.ERROR,
    "the kernel cannot run where it was put",
    source="arch/arm64/kernel/head.S, arch/arm/kernel/head.S; Documentation/arch/arm64/booting.rst",
    remedy="arm64: 2 MiB aligned (plus text_offset). 32-bit ARM: TEXT_OFFSET above a multiple of "
    "2 MiB, which a zImage sees to by itself.",
    example="--kernel-at 0x40201000",
)
def kernel_address(subject: Attempt) -> Iterable[Found]:
    """The kernel's segments and its first tables want _text at a multiple of what they map."""
    for fault in _faults(subject, ("alignment", "kernel")):
        yield _found(fault, "put _text where the boot protocol wants it")


@CHECK.rule(
    "kernel-misaligned",
    Severity.WARNING,
    "the kernel is not 2 MiB aligned",
    source="arch/arm64/kernel/setup.c: setup_arch",
    remedy="Load the Image at a multiple of 2 MiB plus its text_offset (0 since Linux 5.10).",
    example="--kernel-at 0x40280000",
    kernel=(MISALIGNED,),
)
@of_boot
def kernel_misaligned(boot: Boot) -> Iterable[Found]:
    """arm64 relocates itself if it is not at a multiple of 2 MiB, and complains.

    Its mappings then cannot use blocks of 2 MiB, and Linux before 6.3 takes the shift for KASLR
    and makes all kernel mappings non-global.
    """
    machine = boot.machine
    offset = machine.placement.kernel % MIN_KIMG_ALIGN
    if machine.kernel.arch != "arm64" or not offset:
        return
    yield Found(
        f"the kernel at {machine.placement.kernel:#x} is {size(offset)} off a multiple of 2 MiB",
        f"load it at {machine.placement.kernel - offset:#x}, or the next multiple",
        kernel=(MISALIGNED,),
        numbers={"offset": Bytes(offset)},
        places=(Place(loader="--kernel-at"),),
    )


@CHECK.rule(
    "initrd-refused",
    Severity.ERROR,
    "the kernel drops the initrd",
    source="arch/arm64/mm/init.c: arm64_memblock_init; init/initramfs.c: reserve_initrd_mem",
    remedy="Place it within RAM, and on 32-bit ARM on nothing that is reserved before it: the "
    "kernel image and the device tree, rounded to pages.",
    example="linux,initrd-start behind the end of RAM on 32-bit ARM; below RAM's start on arm64.",
    kernel=(NOT_REACHED, NOT_MEMORY, IN_USE),
)
@of_boot
def initrd_refused(boot: Boot) -> Iterable[Found]:
    """An initrd that the kernel cannot reach is given up, and a root file system fails later.

    arm64 drops it if it lies below RAM or beyond what the linear map can hold (and adds it to
    memory otherwise); 32-bit ARM if one of its pages is no RAM or is reserved already.
    """
    for line in said(boot, NOT_REACHED, NOT_MEMORY, IN_USE):
        why = "overlaps what is reserved already" if "in-use" in line.text else "is not in RAM"
        initrd = boot.machine.placement.initrd
        words = line.lines
        if "in-use" in line.text:
            words = (*words, " - disabling initrd")
        yield Found(
            f"the initrd {why}: the kernel drops it",
            "place it in free RAM",
            kernel=words,
            numbers={"size": Bytes(initrd[1])} if initrd else {},
            ranges={"initrd": (initrd[0], sum(initrd) - 1)} if initrd else {},
            places=(node("/chosen", "linux,initrd-start"), Place(loader="--initrd")),
        )


@CHECK.rule(
    "kaslr-off",
    Severity.NOTE,
    "the kernel's address is not randomised",
    source="arch/arm64/kernel/kaslr.c; arch/arm64/kernel/pi/kaslr_early.c",
    remedy="Let the loader write /chosen/kaslr-seed (8 random bytes), or take nokaslr away.",
    example="A tree without /chosen/kaslr-seed, on a CPU without random number instructions.",
    kernel=(NO_SEED, NOKASLR),
)
@of_boot
def kaslr_off(boot: Boot) -> Iterable[Found]:
    """A kernel with RANDOMIZE_BASE needs a seed: the loader's, the firmware's or the CPU's.

    It takes 8 bytes of /chosen/kaslr-seed (and overwrites them), else RNDR if the CPU has it.
    """
    machine, state = boot.machine, boot.machine.arch_state
    if not isinstance(state, Arm64) or not machine.kernel.config.enabled("RANDOMIZE_BASE"):
        return
    if state.kaslr_offset >= MIN_KIMG_ALIGN or "early_map" not in boot.stages:
        return
    if any("KASLR" in text for text in machine.unknowns):
        return
    refused = machine.params.given("nokaslr")
    yield Found(
        "KASLR is off: "
        + ("nokaslr is on the command line" if refused else "there is no seed for it"),
        "take nokaslr off the command line"
        if refused
        else "let the boot loader write /chosen/kaslr-seed",
        kernel=(NOKASLR if refused else NO_SEED,),
        places=(argument("nokaslr"),) if refused else (node("/chosen", "kaslr-seed"),),
    )


@CHECK.rule(
    "mmu-at-entry",
    Severity.NOTE,
    "whether the MMU is on at entry is for the loader to know",
    source="arch/arm64/kernel/setup.c: setup_arch (6.3 and later)",
    remedy="Turn MMU and data cache off before jumping to the kernel, as the boot protocol says.",
    example="--loader custom",
    kernel=(MMU_ON,),
)
@of_boot
def mmu_at_entry(boot: Boot) -> Iterable[Found]:
    """arm64 is to be entered with the MMU off, but by the EFI stub; newer kernels complain.

    QEMU and U-Boot do it right. For a loader of one's own it cannot be seen from the inputs: the
    plan takes it for granted.
    """
    if boot.machine.kernel.arch == "arm64" and boot.machine.placement.loader == "custom":
        yield Found(
            "the plan takes the MMU to be off when your own loader enters the kernel",
            "make sure that it is: Linux 6.3 and later say so if it is not",
            places=(Place(loader="--loader custom"),),
        )
