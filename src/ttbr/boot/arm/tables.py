"""The kernel's tables on 32-bit ARM: swapper_pg_dir, its entries, and the pages below it.

With short descriptors Linux sees the 4096 hardware entries of a first-level table as 2048 pairs of
2 MiB, and one page holds four second-level tables: Linux's own entries for the first and the
second MiB, then the hardware's for both. With LPAE a pair is one PMD entry, the four PMD pages
follow each other, and a page holds one table.

Source: arch/arm/mm/mmu.c, arch/arm/include/asm/{pgtable-2level,pgtable-3level,pgalloc}.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ttbr.boot.memblock import BootPanic
from ttbr.kernel.arm_layout import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, ArmLayout
from ttbr.kernel.arm_prot import (
    PGD_SWAPPER,
    ProtBits,
    set_pte_lpae,
    set_pte_short,
    set_pte_v6,
)
from ttbr.mmu.writer import TableWriter

if TYPE_CHECKING:
    from ttbr.memory.ram import Ram

PMD_SHIFT = 21
PTRS_PER_PTE = 512
PTE_HWTABLE_OFF = 2048  # short descriptors: hardware entries lie so far above Linux's own
PGD_ENTRIES_LPAE = 4
LPAE_PMD_OFFSET = PAGE_SIZE  # the PMD pages lie behind the page of the PGD
PHYS_PAGE_MASK = 0xFF_FFFF_F000  # 40 bits, as LPAE's PHYS_MASK; wider than any short descriptor


class KernelTables:
    """swapper_pg_dir in RAM: clearing and writing entries, finding and making second-level tables.

    `root` is the physical address of swapper_pg_dir; virtual addresses are 32-bit. `v6`: the CPU
    is an ARMv6 one to the kernel.
    """

    def __init__(
        self, ram: Ram, layout: ArmLayout, bits: ProtBits, root: int, *, v6: bool = False
    ) -> None:
        self.layout = layout
        self.bits = bits
        self.root = root
        self._hardware = set_pte_v6 if v6 else set_pte_short
        self.entry_size = 8 if layout.lpae else 4
        self.writer = TableWriter(ram, self.entry_size)
        self._entries = root + LPAE_PMD_OFFSET if layout.lpae else root
        self._per_pmd = PMD_SIZE >> layout.section_shift

    def clear_all(self) -> None:
        """Zero swapper_pg_dir; with LPAE point its four entries to the PMD pages (head.S)."""
        self.writer.clear(self.root, 0, self.layout.pg_dir_size // self.entry_size)
        if self.layout.lpae:
            first = self._entries | self.bits.table | PGD_SWAPPER
            self.writer.fill(self.root, 0, first, PAGE_SIZE, PGD_ENTRIES_LPAE)

    def section(self, virtual: int) -> int:
        """The entry that maps the section at `virtual` (of the pair of entries, LPAE the PMD's)."""
        return self.writer.read(self._entries, virtual >> self.layout.section_shift)

    def set_sections(self, virtual: int, descriptor: int, count: int) -> None:
        """Write `count` sections from `virtual` on; `descriptor` is the first, with its address."""
        index = virtual >> self.layout.section_shift
        self.writer.fill(self._entries, index, descriptor, self.layout.section_size, count)

    def set_equal_sections(self, virtual: int, descriptor: int, count: int) -> None:
        """Write the same entry `count` times from `virtual` on (a supersection)."""
        index = virtual >> self.layout.section_shift
        self.writer.fill(self._entries, index, descriptor, 0, count)

    def pmd(self, virtual: int) -> int:
        """What pmd_off_k() points to: the first entry of the 2 MiB that hold `virtual`."""
        return self.writer.read(self._entries, self._pmd_index(virtual))

    def pmd_clear(self, virtual: int) -> None:
        """pmd_clear(): forget the 2 MiB that hold `virtual`."""
        self.writer.clear(self._entries, self._pmd_index(virtual), self._per_pmd)

    def pmd_clear_range(self, start: int, end: int) -> None:
        """pmd_clear() of start, start + 2 MiB, … as long as that is below `end`.

        The kernel steps so, from starts that need not be aligned: the 2 MiB around `start` are
        cleared whole, those around `end` perhaps not at all.
        """
        steps = max(0, -(-(end - start) // PMD_SIZE))
        self.writer.clear(self._entries, self._pmd_index(start), steps * self._per_pmd)

    def pmd_populate(self, virtual: int, page: int, prot: int) -> None:
        """__pmd_populate(): the table page at physical `page` serves the 2 MiB around `virtual`."""
        offset = 0 if self.layout.lpae else PTE_HWTABLE_OFF
        half = PAGE_SIZE // 4  # one hardware table of 256 entries
        first = (page + offset) | prot
        self.writer.fill(self._entries, self._pmd_index(virtual), first, half, self._per_pmd)

    def table_page(self, virtual: int) -> int | None:
        """Physical address of the table page that serves `virtual`, or None if there is none.

        BootPanic if a section is there, which the kernel answers with BUG().
        """
        entry = self.pmd(virtual)
        if not entry:
            return None
        if entry & 3 != self.bits.table:
            raise BootPanic(
                f"BUG in arm_pte_alloc: {virtual:#010x} is to be mapped by pages, "
                f"but entry {entry:#x} maps a section there"
            )
        return entry & PHYS_PAGE_MASK

    def set_ptes(self, page: int, virtual: int, physical: int, prot: int, count: int) -> None:
        """set_pte_ext() for `count` pages, all in the 2 MiB of the table page `page`."""
        index = virtual >> PAGE_SHIFT & (PTRS_PER_PTE - 1)
        steps = np.arange(count, dtype=np.uint64) << np.uint64(PAGE_SHIFT)
        ptes = steps + np.uint64(physical) | np.uint64(prot)
        ram = self.writer.ram
        at = page + index * self.entry_size
        if self.layout.lpae:
            ram.write_words(at, set_pte_lpae(ptes), self.entry_size)
        else:
            ram.write_words(at, ptes, self.entry_size)
            ram.write_words(at + PTE_HWTABLE_OFF, self._hardware(ptes), self.entry_size)

    def linux_pte(self, page: int, virtual: int) -> int:
        """Linux's entry for `virtual` in the table page `page`."""
        return self.writer.read(page, virtual >> PAGE_SHIFT & (PTRS_PER_PTE - 1))

    def _pmd_index(self, virtual: int) -> int:
        return (virtual >> PMD_SHIFT) * self._per_pmd
