"""Splitting a live block into a table: what Linux refuses, in the order the architecture demands.

Linux changes permissions only of what it mapped by pages from the start, since between taking a
block away and putting the table in its place nobody may use its addresses. Firmware, and who
changes the tables of memory that is known to be idle, can do it so.

Order: Arm ARM DDI 0487, D8, Using break-before-make when updating translation table entries.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.arm64.state import Arm64
from ttbr.errors import InputError
from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.arm64_prot import CONT, TABLE, TYPE_MASK, leaf
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_PGTABLE_KERNEL
from ttbr.run.kernel_space import KernelSpace
from ttbr.run.table_writes import TableWrites


@dataclass(frozen=True, slots=True)
class Split:
    """A block of ``size`` bytes at ``start`` and the table that maps the same by smaller leaves.

    ``table`` and ``index`` name its entry, which is ``old`` and becomes ``new``.
    """

    start: int
    size: int
    table: int
    index: int
    old: int
    new: int


def prepare_split(space: KernelSpace, tables: TableWrites, address: int) -> Split:
    """Allocate and fill the table for the block at a kernel address; nothing uses it yet.

    Each leaf has the block's attributes without the contiguous bit. `InputError` if no block is
    there, or on 32-bit ARM.
    """
    state = space.state
    if not isinstance(state, Arm64):
        raise InputError("blocks are split here on arm64 only")
    found = space.map.entry(address)
    if found.phys is None or found.level == LAST_LEVEL:
        raise InputError(f"{address:#x} is not mapped by a block: there is nothing to split")
    geometry, output = state.layout.geometry, state.tables.output
    if found.raw & CONT:
        raise InputError(
            f"the block at {address:#x} is one of a contiguous range: all of the range would have "
            "to be taken away first"
        )
    level, start = found.level + 1, address - address % found.size
    phys = found.phys - address % found.size
    pfn = space.pages.alloc_pages(0, GFP_PGTABLE_KERNEL)
    space.pages.frames.set_owner(pfn, Owner.TABLE)
    table = pfn * geometry.page_size
    attributes = leaf(found.raw & ~output.field & ~TYPE_MASK, level)
    step = geometry.size(level)
    for index in range(geometry.entries):
        tables.set(table, index, output.encode(phys + index * step) | attributes)
    new = output.encode(table) | TABLE
    return Split(start, found.size, found.table, found.index, found.raw, new)


def split_block(
    space: KernelSpace, tables: TableWrites, address: int, *, break_first: bool = True
) -> Split:
    """Replace the block at a kernel address by a table that maps the same.

    The entry becomes invalid, the TLBs forget it on all CPUs, and only then it names the table.
    Without ``break_first`` it is replaced at once, which the architecture forbids.
    """
    split = prepare_split(space, tables, address)
    last = split.start + split.size - 1
    if break_first:
        tables.clear(split.table, split.index)
        space.log.add("split", "break", f"{split.old:#x} is taken away", split.start, last)
        space.tlb.flush_kernel_range(split.start, last + 1)
    tables.set(split.table, split.index, split.new)
    space.log.add("split", "make", f"the entry is {split.new:#x} now", split.start, last)
    return split
