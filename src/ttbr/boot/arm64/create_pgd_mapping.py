"""__create_pgd_mapping: the mapper of the linear map, the device tree and 6.1's kernel image.

Rule: arch/arm64/mm/mmu.c, alloc_init_p4d … init_pte. Tables are allocated in walk order, each
before what lies below it. Runs of equal leaves are written at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from ttbr.boot.arm64.tables import DESCRIPTOR_SIZE, Root, Span, Tables
from ttbr.errors import TtbrError
from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.arm64_prot import CONT, TABLE, TABLE_PXN, TYPE_MASK, TYPE_TABLE, leaf


class Flags(IntFlag):
    """What a mapping may not be made of; NO_EXEC puts PXNTable into new table descriptors."""

    NONE = 0
    NO_BLOCK = 1
    NO_CONT = 2
    NO_EXEC = 4


@dataclass(frozen=True, slots=True)
class _Mapping:
    """What stays the same while one mapping is made."""

    tables: Tables
    protection: int
    alloc: Callable[[], int] | None
    flags: Flags


def create_pgd_mapping(
    tables: Tables,
    root: Root,
    span: Span,
    protection: int,
    *,
    alloc: Callable[[], int] | None,
    flags: Flags = Flags.NONE,
) -> None:
    """Map a span, in whole pages, with `protection` (a page descriptor without address).

    `alloc` gives a page for a table (it is zeroed here); without it every table must exist.
    `TtbrError` where the kernel would BUG: an offset within the page that differs, a block in the
    way, a missing table.
    """
    page = tables.geometry.page_size
    if (span.phys ^ span.virt) % page:
        raise TtbrError(f"cannot map {span.phys:#x} at {span.virt:#x}: they differ within a page")
    zeroing: Callable[[], int] | None = None
    if alloc is not None:

        def zeroing() -> int:
            table = alloc()
            tables.clear(table)
            return table

    _map_table(_Mapping(tables, protection, zeroing, flags), root, span.rounded(page))


def _map_table(mapping: _Mapping, table: Root, span: Span) -> None:
    """Map a span that lies below one table (alloc_init_*: one function a level)."""
    geometry = mapping.tables.geometry
    size = geometry.size(table.level)
    first = last = span.end
    if table.level == LAST_LEVEL:
        first = span.virt
    elif (
        geometry.blocks_at(table.level)
        and not mapping.flags & Flags.NO_BLOCK
        and (span.virt - span.phys) % size == 0
    ):
        first = min(-(-span.virt // size) * size, span.end)
        last = max(first, span.end // size * size)
    _descend(mapping, table, span.part(span.virt, first))
    if first < last:
        _leaves(mapping, table, span.part(first, last))
    _descend(mapping, table, span.part(last, span.end))


def _descend(mapping: _Mapping, table: Root, span: Span) -> None:
    """Map a span through tables below `table`."""
    tables = mapping.tables
    size = tables.geometry.size(table.level)
    attributes = TABLE | (TABLE_PXN if mapping.flags & Flags.NO_EXEC else 0)
    addr = span.virt
    while addr < span.end:
        following = min((addr | (size - 1)) + 1, span.end)
        index = tables.index(addr, table.level, table.entries)
        below = tables.next_table(table.address, index, table.level, attributes, mapping.alloc)
        lower = Root(below, table.level + 1, tables.geometry.entries)
        _map_table(mapping, lower, span.part(addr, following))
        addr = following


def _leaves(mapping: _Mapping, table: Root, span: Span) -> None:
    """Write a span's leaves: contiguous wherever a whole aligned range lies in it."""
    tables, level = mapping.tables, table.level
    size = tables.geometry.size(level)
    if level < LAST_LEVEL:
        _refuse_tables(tables, table, span)
    cont = tables.geometry.cont_size(level)
    first = last = span.end
    if cont and not mapping.flags & Flags.NO_CONT and (span.virt - span.phys) % cont == 0:
        first = min(-(-span.virt // cont) * cont, span.end)
        last = max(first, span.end // cont * cont)
    bits = leaf(mapping.protection, level)
    for begin, end, extra in ((span.virt, first, 0), (first, last, CONT), (last, span.end, 0)):
        index = tables.index(begin, level, table.entries)
        phys = span.part(begin, end).phys
        count = (end - begin) // size
        tables.leaves(table.address, index, phys, bits | extra, step=size, count=count)


def _refuse_tables(tables: Tables, table: Root, span: Span) -> None:
    """Raise `TtbrError` if a block would replace a table (pmd_set_huge leaves it alone)."""
    index = tables.index(span.virt, table.level, table.entries)
    count = span.size // tables.geometry.size(table.level)
    raw = tables.writer.ram.read(table.address + index * DESCRIPTOR_SIZE, count * DESCRIPTOR_SIZE)
    old = np.frombuffer(raw, np.uint64)
    found = np.flatnonzero((old & np.uint64(TYPE_MASK)) == np.uint64(TYPE_TABLE))
    if found.size:
        raise TtbrError(
            f"cannot put a block over a table: level {table.level} entry {index + int(found[0])} "
            f"of the table at {table.address:#x}"
        )
