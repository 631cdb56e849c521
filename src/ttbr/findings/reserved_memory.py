"""Rules about the nodes of /reserved-memory: refused, ignored, or other than meant."""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.boot import Boot
from ttbr.boot.machine import MAX_RESERVED_REGIONS
from ttbr.boot.reserved_mem import ReservedMemory
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Bytes, Found, Severity, node
from ttbr.findings.words import said
from ttbr.format import counted

M = 1 << 20
PARENT = "/reserved-memory"
OF = "OF: reserved mem: "
UNPLACED = f"{OF}failed to allocate memory for node '{{node}}': size {{size}} MiB"
NO_SPACE = f"{OF}not enough space for all defined regions."
SKIPPED = f"{OF}too many defined dynamic regions, skip '{{node}}'"
FORMAT = "Reserved memory: unsupported node format, ignoring"
BAD_REG = "Reserved memory: invalid reg property in '{node}', skipping node."
BAD_SIZE = f"{OF}invalid size property in '{{node}}' node."
BAD_ALIGNMENT = f"{OF}invalid alignment property in '{{node}}' node."
BAD_RANGES = f"{OF}invalid alloc-ranges property in '{{node}}', skipping node."
NO_MATCH = f"{OF}node {{node}} compatible matching fail"
NEEDS_NO_MAP = "Reserved memory: regions without no-map are not yet supported"
MORE_TUPLES = f"{OF}fdt_scan_reserved_mem_reg_nodes() ignores {{count}} regions in node '{{node}}'"


def both(text: str) -> tuple[str, str]:
    """A message as the files of both generations begin it."""
    return f"OF: fdt: {text}", f"{OF}{text}"


def path(name: str) -> str:
    """The path of a child of /reserved-memory."""
    return f"{PARENT}/{name}"


@CHECK.rule(
    "reserved-node-unplaced",
    Severity.ERROR,
    "there is no room for a region that has only a size",
    source="drivers/of/of_reserved_mem.c: __reserved_mem_alloc_size",
    remedy="Widen alloc-ranges, lower size or alignment, or move what is in the way.",
    example="reserved { size = <0x0 0x80000000>; }; on a board with 1 GiB.",
    kernel=(UNPLACED,),
)
@of_boot
def reserved_node_unplaced(boot: Boot) -> Iterable[Found]:
    """A node with size and without reg is placed by the kernel, in free RAM within alloc-ranges.

    Without alloc-ranges it may be anywhere; contiguous memory is aligned to a page block.
    """
    for line in said(boot, UNPLACED):
        yield Found(
            f"there is no free RAM of {line['size']} MiB for {path(line['node'])}",
            "widen its alloc-ranges, or lower size or alignment",
            kernel=line.lines,
            numbers={"size": Bytes(line.number("size") * M)},
            places=(node(path(line["node"]), "size"), node(path(line["node"]), "alloc-ranges")),
        )


@CHECK.rule(
    "reserved-too-many",
    Severity.ERROR,
    "there are more reserved regions than the kernel keeps",
    source="drivers/of/of_reserved_mem.c: MAX_RESERVED_REGIONS",
    remedy="Join regions, or use a kernel of 6.12 or later, which keeps as many as it counts.",
    example="66 children of /reserved-memory with Linux 6.1.",
    kernel=(NO_SPACE, SKIPPED),
)
@of_boot
def reserved_too_many(boot: Boot) -> Iterable[Found]:
    """The kernel's array has 64 places; later regions are reserved, but no driver finds them.

    Before 6.12 that holds for all regions, since then for those that have only a size.
    """
    lines = list(said(boot, NO_SPACE, SKIPPED))
    if lines:
        yield Found(
            f"{counted(len(lines), 'region')} of {PARENT} beyond the {MAX_RESERVED_REGIONS} that "
            "the kernel keeps: no driver will find them",
            "join regions, or use Linux 6.12 or later",
            kernel=tuple(text for line in lines for text in line.lines),
            numbers={"kept": MAX_RESERVED_REGIONS, "beyond": len(lines)},
            places=(node(PARENT),),
        )


@CHECK.rule(
    "reserved-memory-ignored",
    Severity.ERROR,
    "all of /reserved-memory is ignored",
    source="drivers/of/of_reserved_mem.c: __reserved_mem_check_root (6.1: drivers/of/fdt.c)",
    remedy="Give the node #address-cells and #size-cells equal to the root's, and ranges.",
    example="/reserved-memory without ranges.",
    kernel=both(FORMAT),
)
@of_boot
def reserved_memory_ignored(boot: Boot) -> Iterable[Found]:
    """The node must have #address-cells, #size-cells and ranges, and the root's cell counts."""
    parent = boot.machine.tree.find(PARENT)
    for line in said(boot, *both(FORMAT)):
        root = boot.machine.tree.root
        wanted = (("#address-cells", root.address_cells), ("#size-cells", root.size_cells))
        wrong = [
            f"{name} is not {count}"
            for name, count in wanted
            if parent is None
            or (found := parent.prop(name)) is None
            or int.from_bytes(found.data[:4], "big") != count
        ]
        if parent is not None and parent.prop("ranges") is None:
            wrong.append("ranges is missing")
        yield Found(
            f"none of the {len(parent.children) if parent else 0} regions of {PARENT} is "
            f"reserved: {', '.join(wrong)}",
            "correct the node's cell counts and give it an empty ranges property",
            kernel=line.lines,
            numbers={"regions": len(parent.children) if parent else 0},
            places=(node(PARENT, wrong[0].partition(" ")[0] if wrong else ""),),
        )


@CHECK.rule(
    "reserved-property-invalid",
    Severity.ERROR,
    "a reserved region is skipped: a property has the wrong length",
    source="drivers/of/of_reserved_mem.c: __reserved_mem_reserve_reg, __reserved_mem_alloc_size",
    remedy="Write it in the root's #address-cells and #size-cells.",
    example="reg = <0x60000000 0x100000>; under a root with two cells each.",
    kernel=(*both(BAD_REG), BAD_SIZE, BAD_ALIGNMENT, BAD_RANGES),
)
@of_boot
def reserved_property_invalid(boot: Boot) -> Iterable[Found]:
    """reg and alloc-ranges hold whole entries of the root's cells, size and alignment one number.

    alignment has as many cells as an address, size as many as a size.
    """
    cells = boot.machine.tree.root.address_cells, boot.machine.tree.root.size_cells
    kinds = (
        ("reg", both(BAD_REG)),
        ("size", (BAD_SIZE,)),
        ("alignment", (BAD_ALIGNMENT,)),
        ("alloc-ranges", (BAD_RANGES,)),
    )
    for name, templates in kinds:
        for line in said(boot, *templates):
            yield Found(
                f"{path(line['node'])} is skipped: its {name} has the wrong length",
                f"write {name} with {cells[0]} cells for an address and {cells[1]} for a size",
                kernel=line.lines,
                numbers={"#address-cells": cells[0], "#size-cells": cells[1]},
                places=(node(path(line["node"]), name),),
            )


@CHECK.rule(
    "reserved-pool-refused",
    Severity.ERROR,
    "a pool's driver refuses its region, which is given back",
    source="drivers/of/of_reserved_mem.c: fdt_init_reserved_mem_node; kernel/dma/coherent.c: "
    "rmem_dma_setup",
    remedy="On 32-bit ARM give a shared-dma-pool no-map, or reusable; do not mix the two. See also "
    "cma-misaligned and cma-overridden.",
    example='pool@60000000 { compatible = "shared-dma-pool"; reg = …; }; on 32-bit ARM.',
    kernel=(NEEDS_NO_MAP, NO_MATCH),
)
@of_boot
def reserved_pool_refused(boot: Boot) -> Iterable[Found]:
    """If no driver takes a region of its kind, the reservation is undone: RAM is free there.

    On 32-bit ARM a coherent pool must be no-map.
    """
    before: list[str] = []
    for line in said(boot, NEEDS_NO_MAP, NO_MATCH):
        if line.text == NEEDS_NO_MAP:
            before = [line.text]
            continue
        if before:
            yield Found(
                f"{path(line['node'])} is not reserved: a coherent pool must be no-map here",
                "add no-map to the node, or reusable if the kernel may use the memory meanwhile",
                kernel=(*before, line.text),
                places=(node(path(line["node"]), "no-map"),),
            )
        before = []


@CHECK.rule(
    "reserved-more-ranges",
    Severity.WARNING,
    "a region has several ranges: drivers see only the first",
    source="drivers/of/of_reserved_mem.c: fdt_scan_reserved_mem_reg_nodes (6.1: drivers/of/fdt.c: "
    "__reserved_mem_reserve_reg)",
    remedy="Give each range a node of its own.",
    example="reg = <0x0 0x60000000 0x0 0x100000>, <0x0 0x70000000 0x0 0x100000>;",
    kernel=(MORE_TUPLES,),
)
@of_boot
def reserved_more_ranges(boot: Boot) -> Iterable[Found]:
    """All ranges of reg are reserved, but the kernel's array keeps the first alone.

    A pool made of the node has the first range; the others are reserved and nobody's. Linux 6.12
    says so when it unflattens the tree, 6.1 says nothing.
    """
    counts: dict[str, int] = {}
    for child, _, _ in ReservedMemory(boot.machine).reg_ranges():
        counts[child.name] = counts.get(child.name, 0) + 1
    told = {line["node"]: line.lines for line in said(boot, MORE_TUPLES)}
    for name, ranges in counts.items():
        if ranges > 1:
            yield Found(
                f"{path(name)} has {ranges} ranges: only the first is known to drivers",
                "give each range a node of its own",
                kernel=told.get(name, ()),
                numbers={"ranges": ranges},
                places=(node(path(name), "reg"),),
            )


@CHECK.rule(
    "reserved-node-empty",
    Severity.WARNING,
    "a reserved region has neither reg nor size",
    source="drivers/of/of_reserved_mem.c: fdt_scan_reserved_mem (6.1: drivers/of/fdt.c)",
    remedy="Give it a reg, or a size; or remove it.",
    example="buffer { no-map; };",
)
@of_boot
def reserved_node_empty(boot: Boot) -> Iterable[Found]:
    """A child of /reserved-memory without reg and size is passed over in silence."""
    parent = boot.machine.tree.find(PARENT)
    for child in parent.children if parent else ():
        if child.available and child.prop("reg") is None and child.prop("size") is None:
            yield Found(
                f"{child.path} has neither reg nor size: nothing is reserved",
                "give it a reg or a size",
                places=(node(child.path),),
            )
