"""map_range: the mapper of 6.12's early C code and of its permanent identity map.

Rule: kernel/pi/map_range.c. A chunk becomes a block at any level where its start, its end and
its physical address are aligned; the contiguous bit exists at the last level only.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.arm64.tables import Root, Span, Tables
from ttbr.errors import TtbrError
from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.arm64_prot import CONT, TABLE, leaf


class PageArray:
    """Table pages that are taken upward from a static array, in the order of need."""

    def __init__(self, tables: Tables, start: int, end: int, name: str) -> None:
        """`start`, `end`: physical bounds of the array that the kernel calls `name`."""
        self.tables = tables
        self.next = start
        self.end = end
        self.name = name

    def take(self) -> int:
        """The next page, zero; `TtbrError` when the array is used up."""
        page = self.next
        if page + self.tables.geometry.page_size > self.end:
            raise TtbrError(
                f"{self.name} has no page left for a translation table: the kernel would write "
                f"past its end at {self.end:#x}"
            )
        self.next += self.tables.geometry.page_size
        self.tables.clear(page)
        return page


@dataclass(frozen=True, slots=True)
class _Mapping:
    """What stays the same while one range is mapped."""

    tables: Tables
    protection: int
    pages: PageArray | None
    may_use_cont: bool


def map_range(
    tables: Tables,
    root: Root,
    span: Span,
    protection: int,
    *,
    pages: PageArray | None,
    may_use_cont: bool = False,
) -> None:
    """Map a span, in whole pages, with `protection` (a page descriptor without address).

    Without `pages` every table must exist already. `TtbrError` when the pages are used up or a
    block is in the way.
    """
    mapping = _Mapping(tables, protection, pages, may_use_cont)
    _map_level(mapping, root, span.rounded(tables.geometry.page_size))


def _map_level(mapping: _Mapping, table: Root, span: Span) -> None:
    """Map what lies below one table."""
    if table.level == LAST_LEVEL:
        _map_pages(mapping, table, span)
        return
    tables = mapping.tables
    size = tables.geometry.size(table.level)
    alloc = mapping.pages.take if mapping.pages else None
    start = span.virt
    while start < span.end:
        following = min((start | (size - 1)) + 1, span.end)
        index = tables.index(start, table.level, table.entries)
        part = span.part(start, following)
        if (start | following | part.phys) % size == 0:
            # The blocks after this one are as aligned as it is.
            count = (span.end - start) // size
            bits = leaf(mapping.protection, table.level)
            tables.leaves(table.address, index, part.phys, bits, step=size, count=count)
            following = start + count * size
        else:
            below = tables.next_table(table.address, index, table.level, TABLE, alloc)
            _map_level(mapping, Root(below, table.level + 1, tables.geometry.entries), part)
        start = following


def _map_pages(mapping: _Mapping, table: Root, span: Span) -> None:
    """Map one table of the last level: contiguous from the first aligned page on."""
    tables = mapping.tables
    page, cont = tables.geometry.page_size, tables.geometry.cont_size(LAST_LEVEL)
    first = last = span.end
    if mapping.may_use_cont and (span.virt - span.phys) % cont == 0:
        # Set at the first aligned page, kept until the last whole range before the end.
        first = min(-(-span.virt // cont) * cont, span.end)
        last = max(first, span.end // cont * cont)
    bits = leaf(mapping.protection, LAST_LEVEL)
    for begin, end, extra in ((span.virt, first, 0), (first, last, CONT), (last, span.end, 0)):
        index = tables.index(begin, LAST_LEVEL, table.entries)
        phys = span.part(begin, end).phys
        count = (end - begin) // page
        tables.leaves(table.address, index, phys, bits | extra, step=page, count=count)
