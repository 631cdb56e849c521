"""Rules about the memory nodes: RAM that the tree names and Linux does not take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ttbr.boot.board import NoMemory
from ttbr.boot.boot import Boot
from ttbr.boot.fdt import Node
from ttbr.findings.attempt import Attempt, of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Address, Bytes, Found, Place, Severity, config, node
from ttbr.findings.words import Said, said
from ttbr.format import size

G4 = 1 << 32
RANGE = "OF: fdt: Ignoring memory range {start} - {end}"
BLOCK = "OF: fdt: Ignoring memory block {start} - {end}"
TRUNCATED = "Truncating memory at {start} to fit in 32-bit physical address space"
OUTSIDE = "Ignoring memory at {start} outside 32-bit physical address space"
BELOW = "Ignoring memory below PHYS_OFFSET: {start}-{end}"


@CHECK.rule(
    "no-memory",
    Severity.ERROR,
    "the device tree names no memory",
    source="drivers/of/fdt.c: early_init_dt_scan_memory",
    remedy="Tell ttbr what the loader will write: --memory SIZE@BASE, once for each bank. If no "
    "loader fills it in, give the tree a memory node with device_type and a size.",
    example="""
        memory@80000000 { device_type = "memory"; reg = <0x80000000 0>; };
        """,
)
def no_memory(subject: Attempt) -> Iterable[Found]:
    """No memory node has a size, so that Linux would have no RAM.

    Many boards ship such trees: their boot loader writes the true banks into the node.
    """
    if not isinstance(subject.failure, NoMemory):
        return
    nodes = [found.path for found in subject.tree.memory_nodes()]
    yield Found(
        "no memory node has a size: Linux would find no RAM"
        if nodes
        else "there is no memory node: Linux would find no RAM",
        "pass the RAM that the boot loader will name: --memory SIZE@BASE",
        places=tuple(node(path, "reg") for path in nodes) or (node("/memory"),),
    )


@CHECK.rule(
    "memory-above-32-bit",
    Severity.ERROR,
    "RAM above 4 GiB does not exist for this kernel",
    source="drivers/of/fdt.c: early_init_dt_add_memory_arch; arch/arm/kernel/setup.c: "
    "arm_add_memory",
    remedy="Use a kernel with CONFIG_ARM_LPAE if the CPU has long descriptors (Cortex-A7, A15, A17 "
    "and later); else this RAM cannot be used.",
    example="A 32-bit kernel without LPAE and memory { reg = <0x0 0xc0000000 0x0 0x80000000>; };",
    kernel=(RANGE, BLOCK, TRUNCATED, OUTSIDE),
)
@of_boot
def memory_above_32_bit(boot: Boot) -> Iterable[Found]:
    """A kernel without LPAE has 32-bit physical addresses: memory above them is cut off.

    `MAX_MEMBLOCK_ADDR` is the largest `phys_addr_t`, 0xffffffff here; what a memory node or a
    `mem=` names beyond it is dropped when it is read.
    """
    if boot.machine.kernel.phys_bits != 32:
        return
    for line in said(boot, RANGE, BLOCK):
        if line.number("start") >= G4:
            lost = line.number("end") - line.number("start")
            yield _above(boot, line, f"{size(lost)} of RAM from {line['start']} on are", lost)
    for line in said(boot, OUTSIDE, TRUNCATED):
        cut = "is" if line.text.startswith("Ignoring") else "is cut at 4 GiB: the rest is"
        yield _above(boot, line, f"the bank that mem= puts at {line['start']} {cut}", None)


def _above(boot: Boot, line: Said, what: str, lost: int | None) -> Found:
    core = boot.machine.cpu
    fix = (
        f"use a kernel with CONFIG_ARM_LPAE: {core.name} has long descriptors"
        if core.vmsa >= 5  # ID_MMFR0.VMSA
        else f"{core.name} has no long descriptors: leave this RAM out of the tree"
    )
    return Found(
        f"{what} out of reach: this kernel has 32-bit physical addresses",
        fix,
        kernel=line.lines,
        numbers={} if lost is None else {"lost": Bytes(lost)},
        places=(*_memory_places(boot), config("ARM_LPAE")),
    )


@CHECK.rule(
    "memory-below-kernel",
    Severity.WARNING,
    "RAM below the kernel is lost",
    source="drivers/of/fdt.c: early_init_dt_add_memory_arch; arch/arm/kernel/setup.c: "
    "arm_add_memory; arch/arm/boot/compressed/head.S",
    remedy="Load the zImage into the first 128 MiB of RAM, so that it unpacks itself to RAM's "
    "start; or begin RAM at a multiple of 128 MiB.",
    example="A zImage loaded at 0x50000000 on a board whose RAM begins at 0x40000000.",
    kernel=(RANGE, BLOCK, BELOW),
)
@of_boot
def memory_below_kernel(boot: Boot) -> Iterable[Found]:
    """On 32-bit ARM nothing below PHYS_OFFSET can be mapped: the kernel begins its RAM there.

    PHYS_OFFSET is the physical address of `_text` less TEXT_OFFSET. A zImage takes the multiple of
    128 MiB at or below itself for it, or RAM's start if no memory node has that address.
    """
    machine = boot.machine
    if machine.kernel.arch != "arm":
        return
    for line in said(boot, RANGE, BLOCK, BELOW):
        start, end = line.number("start"), line.number("end")
        if end > machine.phys_offset or end - start < machine.kernel.page_size:
            continue
        yield Found(
            f"{size(end - start)} of RAM below PHYS_OFFSET ({machine.phys_offset:#x}) are lost",
            f"load the kernel so that RAM begins at {start:#x} for it",
            kernel=line.lines,
            numbers={"lost": Bytes(end - start), "PHYS_OFFSET": Address(machine.phys_offset)},
            ranges={"lost": (start, end - 1)},
            places=(Place(loader="load address of the zImage"), *_memory_places(boot)),
        )


@CHECK.rule(
    "memory-entry-ignored",
    Severity.WARNING,
    "a memory entry holds no whole page",
    source="drivers/of/fdt.c: early_init_dt_add_memory_arch",
    remedy="Correct the entry, or remove it. With 64K pages an entry needs at least 64 KiB.",
    example="memory { reg = <0x0 0x90000800 0x0 0x100>; };",
    kernel=(BLOCK,),
)
@of_boot
def memory_entry_ignored(boot: Boot) -> Iterable[Found]:
    """An entry of a memory node that ends before its first page begins is dropped."""
    page = boot.machine.kernel.page_size
    for line in said(boot, BLOCK):
        start, end = line.number("start"), line.number("end")
        if end - start < page - start % page:
            yield Found(
                f"the memory entry of {size(end - start)} at {start:#x} holds no whole page of "
                f"{size(page)}",
                "correct its size, or remove it",
                kernel=line.lines,
                numbers={"lost": Bytes(end - start), "page": Bytes(page)},
                ranges={"entry": (start, end - 1)},
                places=_memory_places(boot),
            )


@CHECK.rule(
    "memory-rounded",
    Severity.NOTE,
    "RAM at the edge of a memory entry is lost to rounding",
    source="drivers/of/fdt.c: early_init_dt_add_memory_arch",
    remedy="Give entries whole pages: 4 KiB, or 16 or 64 KiB for kernels with such pages.",
    example="memory { reg = <0x0 0x40000800 0x0 0x1000000>; };",
)
@of_boot
def memory_rounded(boot: Boot) -> Iterable[Found]:
    """Entries are cut to whole pages of the kernel, without a word."""
    machine = boot.machine
    page = machine.kernel.page_size
    if machine.board.firmware is not None:
        return
    for entry in machine.board.memory:
        start, end = -(-entry.base // page) * page, (entry.base + entry.size) // page * page
        lost = entry.size - (end - start)
        if start < end and lost:
            yield Found(
                f"the memory entry at {entry.base:#x} is cut to whole pages: {size(lost)} are lost",
                f"align its start and size to {size(page)}",
                numbers={"lost": Bytes(lost), "page": Bytes(page)},
                ranges={"entry": (entry.base, entry.base + entry.size - 1)},
                places=_memory_places(boot),
            )


@CHECK.rule(
    "last-page-of-4g",
    Severity.NOTE,
    "RAM that ends at 4 GiB loses its last page",
    source="mm/memblock.c: memblock_cap_size",
    remedy="None needed: it is one page, but every address computed from RAM's end shifts with it "
    "(the end of HighMem, a CMA area at the top). An LPAE kernel keeps it.",
    example="A kernel without LPAE and memory { reg = <0xc0000000 0x40000000>; };",
)
@of_boot
def last_page_of_4g(boot: Boot) -> Iterable[Found]:
    """With 32-bit physical addresses the end of a range is at most 0xffffffff.

    memblock caps a range's size so that its end fits: the last byte does not, and with it goes
    the page that it lies in.
    """
    machine = boot.machine
    if machine.memblock.end_of_dram() != machine.memblock.address_max:
        return
    if machine.kernel.phys_bits != 32:
        return
    page = machine.kernel.page_size
    yield Found(
        f"RAM ends at 4 GiB: its last page, {G4 - page:#x}, is lost to a 32-bit physical address",
        "nothing: know that ends computed from RAM's end are one page lower",
        numbers={"lost": Bytes(page)},
        ranges={"lost": (G4 - page, G4 - 1)},
        places=_memory_places(boot),
    )


@CHECK.rule(
    "memory-node-ignored",
    Severity.WARNING,
    "a memory node is not looked at",
    source="drivers/of/fdt.c: early_init_dt_scan_memory",
    remedy='Put the node right below the root, with device_type = "memory" and without a status '
    "that disables it.",
    example="memory@80000000 { reg = <0x80000000 0x40000000>; }; (no device_type)",
)
def memory_node_ignored(subject: Attempt) -> Iterable[Found]:
    """Linux takes memory from nodes right below the root whose device_type is exactly "memory".

    A node that is only called so, lies deeper, or is disabled, is passed over in silence.
    """
    taken = {found.path for found in subject.tree.memory_nodes() if found.available}
    for found in subject.tree.root.walk():
        if found.path in taken or found.prop("reg") is None:
            continue
        why = _why_ignored(found)
        if why:
            yield Found(
                f"the memory node {found.path} is not looked at: {why}",
                "make it a memory node that counts, or remove it",
                places=(node(found.path),),
            )


def _why_ignored(found: Node) -> str:
    kind = found.prop("device_type")
    is_memory = kind is not None and kind.data.partition(b"\0")[0] == b"memory"
    below_root = found.parent is not None and found.parent.parent is None
    if is_memory and not below_root:
        return "it is not right below the root"
    if is_memory and not found.available:
        return "its status disables it"
    if below_root and found.base_name == "memory" and kind is None:
        return "it has no device_type"
    return ""


def _memory_places(boot: Boot) -> tuple[Place, ...]:
    return tuple(_paths(boot))


def _paths(boot: Boot) -> Iterator[Place]:
    for found in boot.machine.tree.memory_nodes():
        name = "reg" if found.prop("linux,usable-memory") is None else "linux,usable-memory"
        yield node(found.path, name)
