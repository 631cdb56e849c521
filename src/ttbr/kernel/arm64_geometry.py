"""How an arm64 kernel's translation tables are cut: levels, shifts, contiguous ranges.

Source: arch/arm64/include/asm/pgtable-hwdef.h, arch/arm64/Kconfig (ARM64_CONT_*_SHIFT),
arch/arm64/mm/mmu.c (pud_sect_supported), include/asm/kernel-pgtable.h (ARM64_MEMSTART_ALIGN).
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.errors import InputError
from ttbr.kernel.config import Config

LAST_LEVEL = 3
# Bits of the addresses that identity maps are made for, whatever the kernel's own.
IDMAP_VA_BITS = 48
# Level of the entries that Linux calls PMD: the ones that hold 2M, 32M or 512M.
PMD_LEVEL = 2

# Option that selects a page size → log2 of it.
PAGE_SHIFTS = {"ARM64_4K_PAGES": 12, "ARM64_16K_PAGES": 14, "ARM64_64K_PAGES": 16}

# log2 page size → log2 of the entries that one contiguous range has, at level 3 and at level 2
# (the defaults of Kconfig; the configuration's own values win).
CONT_SHIFTS = {12: (4, 4), 14: (7, 5), 16: (5, 5)}

# log2 page size → log2 of the alignment of memstart_addr (ARM64_MEMSTART_ALIGN).
MEMSTART_SHIFTS = {12: 30, 14: 30, 16: 29}

# log2 page size → levels at which Linux maps with blocks.
BLOCK_LEVELS = {12: (1, 2), 14: (2,), 16: (2,)}


@dataclass(frozen=True, slots=True)
class Geometry:
    """The cut of the tables of one kernel configuration; all sizes in bytes."""

    page_shift: int
    va_bits: int
    cont_pte_shift: int
    cont_pmd_shift: int

    @classmethod
    def from_config(cls, config: Config) -> Geometry:
        """Read page size, VA bits and contiguous shifts; `InputError` if they are not there."""
        shift = next((PAGE_SHIFTS[name] for name in PAGE_SHIFTS if config.enabled(name)), None)
        va_bits = config.integer("ARM64_VA_BITS")
        if shift is None or va_bits is None:
            raise InputError(
                "the kernel configuration lacks ARM64_VA_BITS or the page size (ARM64_4K_PAGES …)"
            )
        pte, pmd = CONT_SHIFTS[shift]
        return cls(
            page_shift=shift,
            va_bits=va_bits,
            cont_pte_shift=config.integer("ARM64_CONT_PTE_SHIFT", pte),
            cont_pmd_shift=config.integer("ARM64_CONT_PMD_SHIFT", pmd),
        )

    @property
    def page_size(self) -> int:
        """Bytes of a page, which is also the size of a table below the root."""
        return 1 << self.page_shift

    @property
    def entries(self) -> int:
        """Entries of a whole table (PTRS_PER_PTE)."""
        return 1 << (self.page_shift - 3)

    def levels(self, va_bits: int) -> int:
        """Number of levels that `va_bits` of address need (ARM64_HW_PGTABLE_LEVELS)."""
        return (va_bits - 4) // (self.page_shift - 3)

    def root_level(self, va_bits: int) -> int:
        """Level of the root of a walk over `va_bits` (−1 … 3)."""
        return LAST_LEVEL + 1 - self.levels(va_bits)

    def shift(self, level: int) -> int:
        """log2 of what an entry of `level` spans (ARM64_HW_PGTABLE_LEVEL_SHIFT)."""
        return (self.page_shift - 3) * (LAST_LEVEL + 1 - level) + 3

    def size(self, level: int) -> int:
        """Bytes that an entry of `level` spans."""
        return 1 << self.shift(level)

    def cont_size(self, level: int) -> int:
        """Bytes of a contiguous range of leaves of `level`; 0 where Linux makes none."""
        if level == LAST_LEVEL:
            return self.page_size << self.cont_pte_shift
        if level == PMD_LEVEL:
            return self.size(PMD_LEVEL) << self.cont_pmd_shift
        return 0

    def blocks_at(self, level: int) -> bool:
        """Whether create_mapping may put a block at `level` (pud_sect_supported: 4K only)."""
        return level in BLOCK_LEVELS[self.page_shift]

    @property
    def memstart_align(self) -> int:
        """Alignment of the physical address that the linear map starts with."""
        return 1 << MEMSTART_SHIFTS[self.page_shift]

    @property
    def early_block_size(self) -> int:
        """What the assembly of head.S maps with (SWAPPER_BLOCK_SIZE): 2M blocks, else pages."""
        return (
            self.size(PMD_LEVEL)
            if self.page_shift == PAGE_SHIFTS["ARM64_4K_PAGES"]
            else (self.page_size)
        )
