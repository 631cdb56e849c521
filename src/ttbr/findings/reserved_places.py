"""Rules about where reserved regions lie: on each other, on the kernel, outside RAM."""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.boot import Boot
from ttbr.boot.reserved_mem import ReservedMemory
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Bytes, Found, Severity, config, node
from ttbr.findings.reserved_memory import OF, PARENT, both, path
from ttbr.findings.words import said
from ttbr.format import counted, size

OVERLAP = (
    f"{OF}OVERLAP DETECTED!\n"
    "{first} ({start}--{end}) overlaps with {second} ({begin}--{behind})"
)
REFUSED = (
    "Reserved memory: failed to reserve memory for node '{node}': base {base}, size {size} MiB"
)
ELFCOREHDR = "OF: fdt: elfcorehdr is overlapped"


@CHECK.rule(
    "reserved-overlap",
    Severity.ERROR,
    "two reserved regions overlap",
    source="drivers/of/of_reserved_mem.c: __rmem_check_for_overlap",
    remedy="Move or shrink one of the nodes.",
    example="buffer@60000000 with 2 MiB and pool@60100000 with 2 MiB.",
    kernel=(OVERLAP,),
)
@of_boot
def reserved_overlap(boot: Boot) -> Iterable[Found]:
    """Both regions are reserved all the same, and two users write over each other.

    The kernel compares neighbours in address order: of three regions on one place it tells two.
    """
    for line in said(boot, OVERLAP):
        first, second = line["first"], line["second"]
        begin, end = line.number("begin"), min(line.number("end"), line.number("behind"))
        yield Found(
            f"{path(first)} and {path(second)} have {size(end - begin)} in common",
            "move or shrink one of them",
            kernel=line.lines,
            numbers={"in common": Bytes(end - begin)},
            ranges={"in common": (begin, end - 1)},
            places=(node(path(first), "reg"), node(path(second), "reg")),
        )


@CHECK.rule(
    "reserved-node-refused",
    Severity.ERROR,
    "a no-map region is refused: it is in use already",
    source="drivers/of/of_reserved_mem.c: early_init_dt_reserve_memory (6.1: drivers/of/fdt.c)",
    remedy="Move the region away from the kernel, the device tree and the initrd, or place those "
    "elsewhere. Two no-map nodes on one place do not clash; two reservations do.",
    example="A no-map node that the loader put the device tree on.",
    kernel=both(REFUSED),
)
@of_boot
def reserved_node_refused(boot: Boot) -> Iterable[Found]:
    """A no-map region that touches RAM which is reserved already stays mapped, and is not reserved.

    Kernel, device tree and initrd are reserved before the nodes are read. A region of no bytes is
    refused with the same words.
    """
    for line in said(boot, *both(REFUSED)):
        base = line.number("base")
        length = next(
            (
                size
                for child, start, size in ReservedMemory(boot.machine).reg_ranges()
                if child.name == line["node"] and start == base
            ),
            0,
        )
        on = [
            name
            for name, (low, high) in handed_over(boot).items()
            if base < high and low < base + length
        ]
        why = f"it is on {_what(on)}" if length else "it has no size"
        fix = "move it, or say where the loader puts things (--loader, --kernel-at, --dtb-at)"
        yield Found(
            f"{path(line['node'])} at {base:#x} is not reserved: {why}",
            fix if length else "give it a size",
            kernel=line.lines,
            numbers={"size": Bytes(length)},
            ranges={"region": (base, base + length - 1)} if length else {},
            places=(node(path(line["node"]), "reg"),),
        )


def handed_over(boot: Boot) -> dict[str, tuple[int, int]]:
    """[start, end) of kernel, device tree and initrd, as the loader placed them."""
    machine = boot.machine
    start = machine.placement.kernel
    parts = {
        "kernel": (start, start + machine.kernel.image_size),
        "device tree": (machine.dtb, machine.dtb + machine.tree.totalsize),
    }
    if machine.placement.initrd is not None:
        parts["initrd"] = (machine.placement.initrd[0], sum(machine.placement.initrd))
    return parts


def _what(parts: list[str]) -> str:
    if not parts:
        return "memory that is reserved already"
    return " and ".join(f"the {part}" for part in parts) + ", which is reserved already"


@CHECK.rule(
    "reserved-in-use",
    Severity.ERROR,
    "a reserved region lies on what the loader placed",
    source="drivers/of/of_reserved_mem.c: early_init_dt_reserve_memory; mm/memblock.c: "
    "memblock_reserve",
    remedy="Move the region, or let the loader put kernel, device tree and initrd elsewhere.",
    example="framebuffer@41000000 where the kernel image lies.",
)
@of_boot
def reserved_in_use(boot: Boot) -> Iterable[Found]:
    """Reserving twice succeeds without a word: the region's user then overwrites the kernel.

    (A no-map region on them is refused, see reserved-node-refused.)
    """
    for child, base, length in ReservedMemory(boot.machine).reg_ranges():
        for name, (low, high) in handed_over(boot).items():
            begin, end = max(base, low), min(base + length, high)
            if begin < end and child.prop("no-map") is None:
                yield Found(
                    f"{child.path} has {size(end - begin)} in common with the {name}",
                    f"move the region, or the {name}",
                    numbers={"in common": Bytes(end - begin)},
                    ranges={"region": (base, base + length - 1), name: (low, high - 1)},
                    places=(node(child.path, "reg"),),
                )


@CHECK.rule(
    "reserved-outside-ram",
    Severity.NOTE,
    "a reserved region is not in RAM",
    source="mm/memblock.c: memblock_mark_nomap, memblock_reserve",
    remedy="Correct the address if it is meant to be RAM; otherwise the node is not needed.",
    example="sram@10000000 { no-map; reg = …; }; where no RAM is.",
)
@of_boot
def reserved_outside_ram(boot: Boot) -> Iterable[Found]:
    """no-map marks parts of memory: where there is none it does nothing, in silence.

    Memory here is what the tree names; the loader may add more.
    """
    for child, base, length in ReservedMemory(boot.machine).reg_ranges():
        if length and not in_ram(boot, base, length):
            kind = "no-map has no effect" if child.prop("no-map") is not None else "nothing is kept"
            yield Found(
                f"{child.path} at {base:#x} is not in RAM: {kind}",
                "correct the address, or remove the node if the device is no RAM",
                numbers={"size": Bytes(length)},
                ranges={"region": (base, base + length - 1)},
                places=(node(child.path, "reg"),),
            )


def in_ram(boot: Boot, base: int, length: int) -> bool:
    """Whether some byte of a range is in RAM."""
    return any(bank.base < base + length and base < bank.end for bank in boot.machine.board.ram)


@CHECK.rule(
    "reservation-order",
    Severity.NOTE,
    "regions that the kernel places lie elsewhere in other releases",
    source="drivers/of/fdt.c: early_init_fdt_scan_reserved_mem",
    remedy="Give the region a reg, or alloc-ranges that leave no choice, if its place matters.",
    example="/memreserve/ entries at the end of RAM, and a node with size and without reg.",
)
@of_boot
def reservation_order(boot: Boot) -> Iterable[Found]:
    """Before 6.12 /memreserve/ entries are reserved before nodes that have only a size are placed.

    Since then they come last: the same tree gives other addresses, and a region may be placed on
    a /memreserve/ entry.
    """
    machine = boot.machine
    parent = machine.tree.find(PARENT)
    placed = [
        child
        for child in (parent.children if parent else ())
        if child.available and child.prop("reg") is None and child.prop("size") is not None
    ]
    if not placed or not machine.tree.reserve_map:
        return
    after = machine.kernel.release.has("reserved_mem_two_pass")
    yield Found(
        f"{counted(len(placed), 'region')} with a size alone: placed "
        f"{'before' if after else 'after'} the /memreserve/ entries "
        f"({len(machine.tree.reserve_map)}) are reserved; "
        f"{'before' if after else 'since'} Linux 6.12 it is the other way round",
        "give the regions a reg if their place matters",
        numbers={"placed": len(placed), "memreserve": len(machine.tree.reserve_map)},
        places=tuple(node(child.path, "size") for child in placed),
    )


@CHECK.rule(
    "elfcorehdr-overlap",
    Severity.ERROR,
    "the crash kernel's ELF header lies on something else",
    source="drivers/of/fdt.c: fdt_reserve_elfcorehdr",
    remedy="Let kexec place it in free memory of the crash kernel; in 6.12 keep it away from what "
    "is reserved before the nodes are.",
    example="linux,elfcorehdr within the kernel image.",
    kernel=(ELFCOREHDR,),
)
@of_boot
def elfcorehdr_overlap(boot: Boot) -> Iterable[Found]:
    """A kdump kernel finds the crashed kernel's memory by this header: it is not reserved then."""
    for line in said(boot, ELFCOREHDR):
        where = boot.machine.elfcorehdr
        yield Found(
            "linux,elfcorehdr is on memory that is reserved already: it is not kept",
            "place it in free memory",
            kernel=line.lines,
            ranges={"elfcorehdr": (where[0], sum(where) - 1)} if where else {},
            places=(node("/chosen", "linux,elfcorehdr"), config("CRASH_DUMP")),
        )
