"""The translation tables of a process: finding, making and freeing them, entry by entry.

With ARM's short descriptors a table of the last level is a page with Linux's 512 entries and,
2 KiB above, the hardware's; an entry of the first level is a pair, for 2 MiB.

Source: mm/memory.c (__pte_alloc, free_pgd_range), include/linux/mm.h (mm_inc_nr_ptes),
arch/arm64/include/asm/pgalloc.h, arch/arm/include/asm/{pgalloc,pgtable-2level}.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_PGTABLE_USER, Gfp

if TYPE_CHECKING:
    from ttbr.kernel.user_entries import UserEntries
    from ttbr.run.page_alloc import PageAllocator
    from ttbr.run.table_writes import TableWrites

SHORT_HARDWARE = 512
"""Index of the first hardware entry in a table page of short descriptors."""
SHORT_TABLE_STEP = 1024
"""Bytes from the first hardware table in such a page to the second."""


@dataclass(frozen=True, slots=True)
class TableLevel:
    """One level of a process's tables, from Linux's point of view.

    ``name``: pgd, p4d, pud, pmd or pte. ``shift``: log2 of the bytes that an entry spans.
    ``entries``: of a table.
    """

    name: str
    shift: int
    entries: int

    @property
    def size(self) -> int:
        """Bytes that an entry spans."""
        return 1 << self.shift

    def index(self, va: int) -> int:
        """Which entry of a table is for ``va``."""
        return va >> self.shift & self.entries - 1


@dataclass(frozen=True, slots=True)
class Span:
    """What one table of the last level, or one leaf above it, has of a range.

    Virtual addresses [``start``, ``end``). ``table``: physical address of the table that holds the
    entries; ``level``: its number from the root on. ``entry``: the leaf, 0 for a last-level table.
    """

    start: int
    end: int
    table: int
    level: int
    entry: int = 0


class UserTables:
    """The tables below one root.

    ``levels``: from the root to the last. ``counts``: tables by the name of their level, without
    the root; tables in store for transparent huge pages count as pte tables, as in the kernel.
    """

    def __init__(
        self,
        writes: TableWrites,
        pages: PageAllocator,
        entries: UserEntries,
        levels: tuple[TableLevel, ...],
        root: int,
        *,
        short: bool,
        high_tables: bool,
    ) -> None:
        """``short``: short descriptors; ``high_tables``: last-level tables may be in highmem."""
        self.writes = writes
        self.pages = pages
        self.entries = entries
        self.levels = levels
        self.root = root
        self.short = short
        self.high_tables = high_tables
        self.last = len(levels) - 1
        self.counts = {level.name: 0 for level in levels[1:]}
        self._store: dict[int, list[int]] = {}
        self._known: dict[int, int] = {}  # last-level tables that were found, by va >> PMD shift

    @property
    def page_shift(self) -> int:
        """log2 of a page."""
        return self.entries.page_shift

    @property
    def bytes(self) -> int:
        """``mm_pgtables_bytes``: what VmPTE in /proc/PID/status says, in bytes."""
        last = self.levels[self.last]
        size = last.entries * self.writes.entry_size
        others = sum(self.counts.get(name, 0) for name in ("pud", "pmd"))
        return self.counts["pte"] * size + (others << self.page_shift)

    # Entries of any level

    def read(self, table: int, level: int, va: int) -> int:
        """The entry for ``va`` in a table of a level (counted from the root)."""
        index = self.levels[level].index(va)
        return self.writes.get(table, 2 * index if self.short and level == 0 else index)

    def write(self, table: int, level: int, va: int, entry: int) -> None:
        """Store a leaf or nothing (0) above the last level, as it is."""
        index = self.levels[level].index(va)
        if level == self.pmd_level:
            self._known.pop(va >> self.levels[level].shift, None)
        if self.short and level == 0:
            self.writes.set(table, 2 * index, entry)
            self.writes.set(table, 2 * index + 1, entry)
        else:
            self.writes.set(table, index, entry)

    def populate(self, table: int, level: int, va: int, child: int) -> None:
        """``pmd_populate`` and its relatives: let an entry lead to the table ``child``."""
        index = self.levels[level].index(va)
        entry = self.entries.table(child)
        if self.short:
            self.writes.set(table, 2 * index, entry)
            self.writes.set(table, 2 * index + 1, entry + SHORT_TABLE_STEP)
        else:
            self.writes.set(table, index, entry)

    # Tables

    def new_table(self, level: int) -> int:
        """A table of a level, empty, counted; its physical address. `OutOfMemory` without one."""
        table = self.spare_table(level)
        self.counts[self.levels[level].name] += 1
        return table

    def spare_table(self, level: int) -> int:
        """A table of a level that is not counted yet (pte_alloc_one and so on)."""
        gfp = GFP_PGTABLE_USER
        if level == self.last and self.high_tables:
            gfp |= Gfp.HIGHMEM
        pfn = self.pages.alloc_pages(0, gfp)
        self.pages.frames.set_owner(pfn, Owner.TABLE)
        return pfn << self.page_shift

    def free_table(self, table: int, level: int) -> None:
        """Give a table back and do not count it any more."""
        self.counts[self.levels[level].name] -= 1
        self.pages.free_pages(table >> self.page_shift, 0)

    def find(self, va: int, level: int, *, alloc: bool = False) -> int | None:
        """The table of a level that is for ``va``; None if there is none.

        With ``alloc`` it is made; None then says that a leaf is in its place.
        """
        table = self.root
        for above in range(level):
            entry = self.read(table, above, va)
            if not entry:
                if not alloc:
                    return None
                child = self.new_table(above + 1)
                self.populate(table, above, va, child)
                table = child
            elif self.entries.is_table(entry):
                table = self.entries.address(entry)
            else:
                return None
        return table

    def pte_table(self, va: int, *, alloc: bool = False) -> int | None:
        """The last-level table for ``va``, see `find`."""
        number = va >> self.levels[self.pmd_level].shift
        known = self._known.get(number)
        if known is None:
            known = self.find(va, self.last, alloc=alloc)
            if known is not None:
                self._known[number] = known
        return known

    @property
    def pmd_level(self) -> int:
        """Number of the level whose entries lead to last-level tables."""
        return self.last - 1

    def deposit(self, pmd_table: int, table: int) -> None:
        """``pgtable_trans_huge_deposit``: keep a last-level table for when the page is split."""
        self._store.setdefault(pmd_table, []).append(table)
        self.counts["pte"] += 1

    def withdraw(self, pmd_table: int) -> int:
        """``pgtable_trans_huge_withdraw``: a table that was kept; it stays counted."""
        kept = self._store[pmd_table]
        table = kept.pop()
        if not kept:
            del self._store[pmd_table]
        return table

    @property
    def stored(self) -> list[int]:
        """The tables that are kept for huge pages."""
        return [table for kept in self._store.values() for table in kept]

    # Entries of the last level

    def get_pte(self, table: int, va: int) -> int:
        """Linux's entry for ``va`` in a last-level table."""
        return self.writes.get(table, self.levels[self.last].index(va))

    def set_pte(self, table: int, va: int, entry: int) -> None:
        """``set_pte_at`` without regard to contiguous ranges."""
        index = self.levels[self.last].index(va)
        if self.short:
            self.writes.set(table, index, entry)
            self.writes.set(table, SHORT_HARDWARE + index, self.entries.stored(entry))
        else:
            self.writes.set(table, index, self.entries.stored(entry))

    def get_ptes(self, table: int, va: int, count: int) -> NDArray[np.uint64]:
        """Linux's entries for ``count`` pages from ``va`` on, all in one table."""
        return self.writes.get_many(table, self.levels[self.last].index(va), count)

    def set_ptes(self, table: int, va: int, entries: NDArray[np.uint64]) -> None:
        """`set_pte` for pages in a row, all in one table."""
        index = self.levels[self.last].index(va)
        if self.short:
            self.writes.store(table, index, entries)
            hardware = self.entries.stored_many(entries)
            self.writes.store(table, SHORT_HARDWARE + index, hardware)
        else:
            self.writes.store(table, index, self.entries.stored_many(entries))

    # Ranges

    def spans(self, start: int, end: int) -> Iterator[Span]:
        """What there is for [``start``, ``end``): last-level tables and leaves above, ascending."""
        yield from self._spans(self.root, 0, start, end)

    def _spans(self, table: int, level: int, start: int, end: int) -> Iterator[Span]:
        if level == self.last:
            yield Span(start, end, table, level)
            return
        size = self.levels[level].size
        while start < end:
            next_start = min((start & -size) + size, end)
            entry = self.read(table, level, start)
            if entry:
                if self.entries.is_table(entry):
                    child = self.entries.address(entry)
                    yield from self._spans(child, level + 1, start, next_start)
                else:
                    yield Span(start, next_start, table, level, entry)
            start = next_start

    def free_range(
        self, start: int, end: int, floor: int, ceiling: int, told: Callable[[int, int], None]
    ) -> None:
        """``free_pgd_range``: free the tables of [``start``, ``end``) that nobody else needs.

        ``floor``: where the area before ends; ``ceiling``: where the next begins, 0 for never.
        ``told``: called with an address of each table, and the bytes that its entry spans.
        """
        size = self.levels[self.pmd_level].size
        start &= -size
        if start < floor:
            start += size
        if ceiling:
            ceiling &= -size
            if not ceiling:
                return
            if end > ceiling:
                end -= size
        if start < end:
            self._free(self.root, 0, start, end, (floor, ceiling), told)

    def _free(
        self,
        table: int,
        level: int,
        start: int,
        end: int,
        bounds: tuple[int, int],
        told: Callable[[int, int], None],
    ) -> None:
        floor, ceiling = bounds
        size = self.levels[level].size
        while start < end:
            next_start = min((start & -size) + size, end)
            entry = self.read(table, level, start)
            if entry and self.entries.is_table(entry):
                child = self.entries.address(entry)
                needed = False
                if level + 1 < self.last:
                    self._free(child, level + 1, start, next_start, bounds, told)
                    limit = ceiling & -size
                    needed = start & -size < floor or (
                        ceiling != 0 and (not limit or next_start > limit)
                    )
                if not needed:
                    self.write(table, level, start, 0)
                    told(start, size)
                    self.free_table(child, level + 1)
            start = next_start
