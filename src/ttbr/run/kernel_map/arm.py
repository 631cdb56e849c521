"""swapper_pg_dir of 32-bit ARM at run time, with short descriptors and with LPAE.

With short descriptors every process has its own first-level table. What is written here goes into
swapper_pg_dir alone; a process gets a new pair of entries when it next switches in
(`vmalloc_seq`), or by the fault that it takes before that.

Source: mm/vmalloc.c, mm/memory.c (apply_to_page_range); arch/arm/mm/ioremap.c
(remap_area_sections, remap_area_supersections, unmap_area_sections), arch/arm/kernel/traps.c
(arch_sync_kernel_mappings), arch/arm/include/asm/{pgalloc,page,pgtable-2level}.h.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.arm.mapping import SUPERSECTION_ENTRIES, SUPERSECTION_SIZE
from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm.tables import (
    LPAE_PMD_OFFSET,
    PHYS_PAGE_MASK,
    PTE_HWTABLE_OFF,
    PTRS_PER_PTE,
)
from ttbr.errors import TtbrError
from ttbr.kernel.arm_layout import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, VMALLOC_END
from ttbr.kernel.arm_prot import (
    SECT_SUPER,
    kernel_table,
    set_pte_lpae,
    set_pte_short,
    set_pte_v6,
)
from ttbr.run.cpu.flush import Flush
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_PGTABLE_KERNEL
from ttbr.run.kernel_map.entry import Entry, NotByPages, arithmetic_runs
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.table_writes import TableWrites

HARDWARE_PTES = 256
"""Entries of a second-level table of short descriptors; one page holds two."""
SECTION_LEVEL = {False: 1, True: 2}
"""Level of the entries that map sections, without and with LPAE."""


class ArmKernelMap:
    """Reads and writes the kernel's tables; protections are Linux's own PTE bits.

    ``counts_changes``: every new PMD entry of vmalloc counts in ``vmalloc_seq``.

    `tlb`: for the sections and tables that are taken away.
    """

    page_size = PAGE_SIZE

    def __init__(
        self,
        state: ArmBoot,
        writes: TableWrites,
        pages: PageAllocator,
        *,
        tlb: Flush,
    ) -> None:
        self._state = state
        self._layout = state.layout
        self._ram = state.machine.ram
        self._writes = writes
        self._pages = pages
        self._tlb = tlb
        self._lpae = state.layout.lpae
        self._first = state.tables.root + (LPAE_PMD_OFFSET if self._lpae else 0)
        self._per_pmd = PMD_SIZE >> state.layout.section_shift
        self._table_bits = kernel_table(state.bits, state.config)
        v6 = state.machine.cpu.proc == "v6"
        self._hardware = set_pte_lpae if self._lpae else set_pte_v6 if v6 else set_pte_short
        self.counts_changes = state.config.enabled("VMAP_STACK") and not self._lpae
        self.vmalloc_seq = 0
        """init_mm.context.vmalloc_seq: how often vmalloc's part of swapper_pg_dir has changed."""

    def block_shifts(self) -> list[int]:
        """vmap uses no blocks on arm; sections are ioremap's own."""
        return []

    def map_range(
        self, start: int, end: int, phys: int, protection: int, max_shift: int = 64
    ) -> None:
        """vmap_range_noflush: map [start, end) to `phys` on, by pages whatever `max_shift` is."""
        count = (end - start) // PAGE_SIZE
        frames = np.uint64(phys // PAGE_SIZE) + np.arange(count, dtype=np.uint64)
        self.map_pages(start, frames, protection)

    def map_pages(self, start: int, pfns: NDArray[np.uint64], protection: int) -> None:
        """vmap_small_pages_range_noflush: map single pages from `start` on."""
        end, before = start + len(pfns) * PAGE_SIZE, self._modified
        done = 0
        for table, index, count in self._tables(start, end, create=True):
            used = np.flatnonzero(self._read_ptes(table, index, count))
            if used.size:
                at = start + (done + int(used[0])) * PAGE_SIZE
                raise TtbrError(f"BUG: {at:#010x} is mapped already")
            phys = pfns[done : done + count] * np.uint64(PAGE_SIZE)
            self._write_ptes(table, index, phys | np.uint64(protection))
            done += count
        self._sync(start, end, before)

    def unmap_range(self, start: int, end: int) -> None:
        """vunmap_range_noflush: clear all page entries of [start, end); their tables stay."""
        address = start
        while address < end:
            following = min((address | PMD_SIZE - 1) + 1, end)
            raw = self._pmd(address)
            if raw & 3 == self._state.bits.table:
                count = (following - address) // PAGE_SIZE
                self._write_ptes(raw & PHYS_PAGE_MASK, self._pte_index(address), _zeros(count))
            address = following

    def change_range(self, start: int, end: int, set_mask: int, clear_mask: int) -> None:
        """change_page_range over [start, end): clear bits of Linux's entries, then set others.

        `NotByPages`, and nothing changed, where a section or nothing is mapped.
        """
        for table, index, count in list(self._tables(start, end, create=False)):
            old = self._read_ptes(table, index, count)
            keep = np.uint64((1 << 64) - 1 & ~clear_mask)
            new = old & keep | np.uint64(set_mask)
            for row in np.flatnonzero(new != old).tolist():
                self._write_ptes(table, index + row, new[row : row + 1])

    def entry(self, address: int) -> Entry:
        """Where the walk for an address ends."""
        section = self._layout.section_size
        index = address >> self._layout.section_shift
        raw = self._writes.get(*self._place(index))
        level = SECTION_LEVEL[self._lpae]
        if raw & 3 != self._state.bits.table:
            table, row = self._place(index)
            if not raw & 3:
                return Entry(level, table, row, raw, section, None)
            size = SUPERSECTION_SIZE if not self._lpae and raw & SECT_SUPER else section
            mask = PHYS_PAGE_MASK if self._lpae else 0xFFFF_FFFF
            phys = (raw & mask) // size * size + address % size
            return Entry(level, table, row, raw, size, phys)
        page, row = self._pmd(address) & PHYS_PAGE_MASK, self._pte_index(address)
        pte = int(self._read_ptes(page, row, 1)[0])
        phys = (pte & PHYS_PAGE_MASK) + address % PAGE_SIZE
        return Entry(level + 1, page, row, pte, PAGE_SIZE, phys if pte & 1 else None)

    def set_page(self, address: int, phys: int, protection: int) -> None:
        """set_pte_at of a page whose table exists, as the fixmap does."""
        table, index = self._last_table(address)
        self._write_ptes(table, index, np.array([phys | protection], np.uint64))

    def clear_page(self, address: int) -> None:
        """pte_clear of a page whose table exists."""
        table, index = self._last_table(address)
        self._write_ptes(table, index, _zeros(1))

    def map_sections(self, start: int, phys: int, size: int, sect: int) -> None:
        """remap_area_sections: map whole 2 MiB by two sections each; `sect`: prot_sect."""
        self.unmap_sections(start, size)
        for step in range(0, size, self._layout.section_size):
            place = self._place(start + step >> self._layout.section_shift)
            self._writes.set(*place, phys + step | sect)

    def map_supersections(self, start: int, phys: int, size: int, sect: int) -> None:
        """remap_area_supersections: 16 equal entries for each 16 MiB, with PA[35:32] in them."""
        self.unmap_sections(start, size)
        high = (phys >> 32 & 0xF) << 20
        for step in range(0, size, SUPERSECTION_SIZE):
            value = phys + step & 0xFFFF_FFFF | high | sect | SECT_SUPER
            table, index = self._place(start + step >> self._layout.section_shift)
            self._writes.fill(table, index, value, 0, SUPERSECTION_ENTRIES)

    def unmap_sections(self, start: int, size: int) -> None:
        """unmap_area_sections: clear the pairs of entries, and free the tables among them."""
        end = start + size // self._layout.section_size * self._layout.section_size
        for address in range(start, end, PMD_SIZE):
            raw = self._pmd(address)
            if not raw:
                continue
            table, index = self._place(self._pmd_index(address))
            self._writes.clear(table, index, self._per_pmd)
            self.vmalloc_seq += 1
            if raw & 3 == self._state.bits.table:
                self._pages.free_pages((raw & PHYS_PAGE_MASK) // PAGE_SIZE, 0)
        self._tlb.flush_kernel_range(start, end)

    _modified = 0
    """How many pairs of first-level entries this map has filled."""

    def _sync(self, start: int, end: int, before: int) -> None:
        """arch_sync_kernel_mappings, where a PMD entry was made for vmalloc addresses."""
        inside = start < VMALLOC_END and end > self._state.vmalloc_start
        if self.counts_changes and inside and self._modified != before:
            self.vmalloc_seq += 1

    def _tables(self, start: int, end: int, *, create: bool) -> Iterator[tuple[int, int, int]]:
        """(table page, index, entries) of the 2 MiB pieces that [start, end) goes through."""
        address = start
        while address < end:
            following = min((address | PMD_SIZE - 1) + 1, end)
            page = self._table_page(address, create=create)
            yield page, self._pte_index(address), (following - address) // PAGE_SIZE
            address = following

    def _table_page(self, address: int, *, create: bool) -> int:
        raw = self._pmd(address)
        if raw & 3 == self._state.bits.table:
            return raw & PHYS_PAGE_MASK
        if raw or not create:
            how = "a section" if raw else "nothing"
            raise NotByPages(f"{address:#010x} is mapped by {how} (entry {raw:#x}), not by pages")
        pfn = self._pages.alloc_pages(0, GFP_PGTABLE_KERNEL)
        self._pages.frames.set_owner(pfn, Owner.TABLE)
        self._populate(address, pfn * PAGE_SIZE)
        return pfn * PAGE_SIZE

    def _populate(self, address: int, page: int) -> None:
        """pmd_populate_kernel: both entries of the pair, or LPAE's one."""
        offset = 0 if self._lpae else PTE_HWTABLE_OFF
        table, index = self._place(self._pmd_index(address))
        first = page + offset | self._table_bits
        self._writes.fill(table, index, first, PAGE_SIZE // 4, self._per_pmd)
        self._modified += 1

    def _last_table(self, address: int) -> tuple[int, int]:
        return self._table_page(address, create=False), self._pte_index(address)

    def _read_ptes(self, page: int, index: int, count: int) -> NDArray[np.uint64]:
        """Linux's entries."""
        size = self._writes.entry_size
        raw = self._ram.read(page + index * size, count * size)
        return np.frombuffer(raw, f"<u{size}").astype(np.uint64)

    def _write_ptes(self, page: int, index: int, ptes: NDArray[np.uint64]) -> None:
        """set_pte_ext for page entries in a row: with short descriptors both tables."""
        hardware = self._hardware(ptes)
        if self._lpae:
            self._store(page, index, hardware)
            return
        self._ram.write_words(page + index * 4, ptes, 4)
        done = 0
        while done < len(ptes):
            half, row = divmod(index + done, HARDWARE_PTES)
            count = min(HARDWARE_PTES - row, len(ptes) - done)
            table = page + PTE_HWTABLE_OFF + half * HARDWARE_PTES * 4
            self._store(table, row, hardware[done : done + count])
            done += count

    def _store(self, table: int, index: int, values: NDArray[np.uint64]) -> None:
        if not values.any():
            self._writes.clear(table, index, len(values))
            return
        for first, count in arithmetic_runs(values, PAGE_SIZE):
            self._writes.fill(table, index + first, int(values[first]), PAGE_SIZE, count)

    def _pmd(self, address: int) -> int:
        return self._writes.get(*self._place(self._pmd_index(address)))

    def _pmd_index(self, address: int) -> int:
        return address // PMD_SIZE * self._per_pmd

    def _place(self, index: int) -> tuple[int, int]:
        """(table, index in it) of a first-level entry, LPAE: of one of the four PMD pages."""
        if not self._lpae:
            return self._first, index
        page, row = divmod(index, PAGE_SIZE // 8)
        return self._first + page * PAGE_SIZE, row

    def _pte_index(self, address: int) -> int:
        return address >> PAGE_SHIFT & (PTRS_PER_PTE - 1)


def _zeros(count: int) -> NDArray[np.uint64]:
    return np.zeros(count, np.uint64)
