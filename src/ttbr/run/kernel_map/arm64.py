"""swapper_pg_dir of arm64 at run time: blocks where vmap may use them, pages elsewhere.

Source: mm/vmalloc.c (vmap_range_noflush, vmap_small_pages_range_noflush, vunmap_range_noflush),
mm/memory.c (apply_to_page_range), arch/arm64/mm/mmu.c (pmd_set_huge, pmd_free_pte_page),
arch/arm64/include/asm/{vmalloc,pgalloc}.h of 6.1 and 6.12.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import DESCRIPTOR_SIZE, Root, Span
from ttbr.errors import TtbrError
from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.arm64_prot import TABLE, TYPE_MASK, TYPE_TABLE, leaf
from ttbr.run.cpu.flush import Flush
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_PGTABLE_KERNEL
from ttbr.run.kernel_map.entry import Entry, NotByPages, arithmetic_runs
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.table_writes import TableWrites


class Arm64KernelMap:
    """Reads and writes the kernel's tables; protections are page descriptors without address.

    `huge`: vmap may use blocks at all (no PTDUMP_DEBUGFS, no nohugeiomap). `tlb`: for
    the tables that are taken away.
    """

    def __init__(
        self,
        state: Arm64,
        writes: TableWrites,
        pages: PageAllocator,
        *,
        huge: bool,
        tlb: Flush,
    ) -> None:
        self._state = state
        self._geometry = state.layout.geometry
        self._output = state.tables.output
        self._writes = writes
        self._pages = pages
        self._huge = huge
        self._tlb = tlb
        self.root = state.root("swapper_pg_dir")

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return self._geometry.page_size

    def block_shifts(self) -> list[int]:
        """log2 of the blocks that vmap may use, the largest first."""
        levels = range(self.root.level, LAST_LEVEL)
        found = [level for level in levels if self._huge and self._geometry.blocks_at(level)]
        return [self._geometry.shift(level) for level in found]

    def map_range(
        self, start: int, end: int, phys: int, protection: int, max_shift: int = 64
    ) -> None:
        """vmap_range_noflush: map [start, end) to `phys` on, by blocks of at most 2^max_shift."""
        self._map(self.root, Span(start, phys, end - start), protection, max_shift)

    def map_pages(self, start: int, pfns: NDArray[np.uint64], protection: int) -> None:
        """vmap_small_pages_range_noflush: map single pages from `start` on."""
        page = self.page_size
        done = 0
        for table, index, count in self._tables(start, start + len(pfns) * page, create=True):
            self._refuse_used(table, index, count, start + done * page)
            phys = pfns[done : done + count] * np.uint64(page)
            self._write(table, index, self._output_of(phys) | np.uint64(protection))
            done += count

    def unmap_range(self, start: int, end: int) -> None:
        """vunmap_range_noflush: clear all entries of [start, end); their tables stay."""
        self._unmap(self.root, start, end)

    def change_range(self, start: int, end: int, set_mask: int, clear_mask: int) -> None:
        """change_page_range over [start, end): clear bits of page entries, then set others.

        `NotByPages`, and nothing changed, where a block or nothing is mapped.
        """
        page = self.page_size
        places = list(self._tables(start, end, create=False))
        keep = np.uint64((1 << 64) - 1 & ~clear_mask)
        for table, index, count in places:
            old = self._read(table, index, count)
            for row, value in enumerate((old & keep | np.uint64(set_mask)).tolist()):
                if value != int(old[row]):
                    self._writes.set(table, index + row, value)
        if sum(count for _, _, count in places) * page != end - start:
            raise AssertionError("pages were left out")

    def entry(self, address: int) -> Entry:
        """Where the walk for an address ends."""
        table = self.root
        while True:
            index = self._index(address, table)
            raw = self._writes.get(table.address, index)
            size = self._geometry.size(table.level)
            if table.level < LAST_LEVEL and raw & TYPE_MASK == TYPE_TABLE:
                table = Root(self._output.decode(raw), table.level + 1, self._geometry.entries)
                continue
            phys = self._output.decode(raw) + address % size if raw & 1 else None
            return Entry(table.level, table.address, index, raw, size, phys)

    def set_page(self, address: int, phys: int, protection: int) -> None:
        """Write the page entry of an address whose table exists, as the fixmap does."""
        table, index = self._last_table(address)
        self._writes.set(table, index, self._output.encode(phys) | protection)

    def clear_page(self, address: int) -> None:
        """Clear the page entry of an address whose table exists."""
        table, index = self._last_table(address)
        self._writes.clear(table, index, 1)

    def table_descriptor(self, table: int) -> int:
        """The entry that points to a kernel table."""
        return self._output.encode(table) | TABLE

    def _map(self, table: Root, span: Span, protection: int, max_shift: int) -> None:
        page, level = self.page_size, table.level
        if level == LAST_LEVEL:
            index, count = self._index(span.virt, table), span.size // page
            self._refuse_used(table.address, index, count, span.virt)
            phys = np.uint64(span.phys) + np.arange(count, dtype=np.uint64) * np.uint64(page)
            self._write(table.address, index, self._output_of(phys) | np.uint64(protection))
            return
        size = self._geometry.size(level)
        allowed = (
            self._huge
            and self._geometry.blocks_at(level)
            and self._geometry.shift(level) <= max_shift
        )
        address = span.virt
        while address < span.end:
            following = min((address | size - 1) + 1, span.end)
            part = span.part(address, following)
            if allowed and part.size == size and (part.virt | part.phys) % size == 0:
                self._set_block(table, part, protection)
            else:
                below = self._below(table, self._index(address, table))
                self._map(below, part, protection, max_shift)
            address = following

    def _set_block(self, table: Root, part: Span, protection: int) -> None:
        """pmd_set_huge, after an empty table that was left there is taken away."""
        index = self._index(part.virt, table)
        old = self._writes.get(table.address, index)
        if old & TYPE_MASK == TYPE_TABLE:
            self._writes.clear(table.address, index, 1)
            self._tlb.flush_kernel_table(part.virt)
            self._free_tables(Root(self._output.decode(old), table.level + 1, 0))
        elif old:
            raise TtbrError(f"BUG: {part.virt:#x} is mapped already (entry {old:#x})")
        bits = leaf(protection, table.level)
        self._writes.set(table.address, index, self._output.encode(part.phys) | bits)

    def _free_tables(self, table: Root) -> None:
        """Free a table and those below it (pud_free_pmd_page)."""
        if table.level < LAST_LEVEL:
            entries = self._read(table.address, 0, self._geometry.entries)
            for raw in entries[entries & np.uint64(TYPE_MASK) == np.uint64(TYPE_TABLE)].tolist():
                self._free_tables(Root(self._output.decode(raw), table.level + 1, 0))
        self._pages.free_pages(table.address // self.page_size, 0)

    def _unmap(self, table: Root, start: int, end: int) -> None:
        if table.level == LAST_LEVEL:
            count = (end - start) // self.page_size
            self._writes.clear(table.address, self._index(start, table), count)
            return
        size = self._geometry.size(table.level)
        address = start
        while address < end:
            following = min((address | size - 1) + 1, end)
            index = self._index(address, table)
            raw = self._writes.get(table.address, index)
            if raw & TYPE_MASK == TYPE_TABLE:
                lower = Root(self._output.decode(raw), table.level + 1, self._geometry.entries)
                self._unmap(lower, address, following)
            elif raw:
                self._writes.clear(table.address, index, 1)
            address = following

    def _tables(self, start: int, end: int, *, create: bool) -> Iterator[tuple[int, int, int]]:
        """(table, index, entries) of the last-level tables that [start, end) goes through."""
        span = self._geometry.size(LAST_LEVEL - 1)
        address = start
        while address < end:
            following = min((address | span - 1) + 1, end)
            table = self.root
            while table.level < LAST_LEVEL:
                index = self._index(address, table)
                if create:
                    table = self._below(table, index)
                    continue
                raw = self._writes.get(table.address, index)
                if raw & TYPE_MASK != TYPE_TABLE:
                    how = "by a block" if raw else "by nothing"
                    raise NotByPages(f"{address:#x} is mapped {how} (entry {raw:#x}), not by pages")
                lower = self._output.decode(raw)
                table = Root(lower, table.level + 1, self._geometry.entries)
            index = self._index(address, table)
            yield table.address, index, (following - address) // self.page_size
            address = following

    def _last_table(self, address: int) -> tuple[int, int]:
        found = self.entry(address)
        if found.level != LAST_LEVEL:
            raise NotByPages(f"{address:#x} has no table of page entries (entry {found.raw:#x})")
        return found.table, found.index

    def _below(self, table: Root, index: int) -> Root:
        """The table below an entry, made if the entry is empty (pmd_alloc, pte_alloc_kernel)."""
        raw = self._writes.get(table.address, index)
        if raw == 0:
            below = self._alloc_table()
            self._writes.set(table.address, index, self.table_descriptor(below))
        elif raw & TYPE_MASK == TYPE_TABLE:
            below = self._output.decode(raw)
        else:
            raise NotByPages(
                f"level {table.level} entry {index} of the table at {table.address:#x} is a block "
                f"({raw:#x}), and a table is wanted there"
            )
        return Root(below, table.level + 1, self._geometry.entries)

    def _alloc_table(self) -> int:
        pfn = self._pages.alloc_pages(0, GFP_PGTABLE_KERNEL)
        self._pages.frames.set_owner(pfn, Owner.TABLE)
        return pfn * self.page_size

    def _refuse_used(self, table: int, index: int, count: int, address: int) -> None:
        old = self._read(table, index, count)
        used = np.flatnonzero(old)
        if used.size:
            first = int(used[0])
            raise TtbrError(
                f"BUG: {address + first * self.page_size:#x} is mapped already "
                f"(entry {int(old[first]):#x})"
            )

    def _read(self, table: int, index: int, count: int) -> NDArray[np.uint64]:
        raw = self._state.machine.ram.read(table + index * DESCRIPTOR_SIZE, count * DESCRIPTOR_SIZE)
        return np.frombuffer(raw, "<u8").astype(np.uint64)

    def _write(self, table: int, index: int, values: NDArray[np.uint64]) -> None:
        for first, count in arithmetic_runs(values, self.page_size):
            value = int(values[first])
            self._writes.fill(table, index + first, value, self.page_size, count)

    def _output_of(self, phys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Address bits of descriptors (OutputAddress.encode, for many)."""
        shift, field = self._output.high_shift, np.uint64(self._output.field)
        moved = phys >> np.uint64(shift) if shift else np.uint64(0)
        return (phys | moved) & field

    def _index(self, address: int, table: Root) -> int:
        return (address >> self._geometry.shift(table.level)) & (table.entries - 1)
