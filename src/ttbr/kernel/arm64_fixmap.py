"""The slots of arm64's fixmap, in the order of the kernel's `enum fixed_addresses`.

Source: arch/arm64/include/asm/fixmap.h of 6.1 and 6.12, early_fixmap_init in mm/{mmu,fixmap}.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.kernel.config import Config
from ttbr.kernel.release import Release

M = 1 << 20
MAX_FDT_SIZE = 2 * M
BTMAP_SIZE = 256 << 10
BTMAP_SLOTS = 7
PAGE_TABLE_SLOTS = ("PTE", "PMD", "PUD", "P4D", "PGD")


@dataclass(frozen=True, slots=True)
class Fixmap:
    """Index of the named slots; slot i lies i pages below FIXADDR_TOP.

    `permanent` and `total` are the numbers of slots up to the end of the permanent ones and of
    all (`__end_of_permanent_fixed_addresses`, `__end_of_fixed_addresses`).
    """

    fdt: int
    earlycon: int
    permanent: int
    total: int

    @classmethod
    def from_config(cls, config: Config, release: Release, page_shift: int) -> Fixmap:
        """Count the slots that the configuration has."""
        fdt_end = 1
        if release.has("arm64_fdt_mapped_by_pages"):
            # One page more than the largest tree, which may start anywhere in a page.
            fdt = fdt_end + (MAX_FDT_SIZE >> page_shift) + 1
        else:
            # Two blocks of 2M: the tree may cross a boundary.
            fdt = fdt_end + ((MAX_FDT_SIZE + 2 * M) >> page_shift) - 1
        earlycon = fdt + 1
        permanent = earlycon + 2  # the slot after it is TEXT_POKE0
        if config.enabled("ACPI_APEI_GHES"):
            permanent += 2  # IRQ, SEA
            if config.enabled("ARM_SDE_INTERFACE"):
                permanent += 2  # SDEI normal, critical
        if config.enabled("UNMAP_KERNEL_AT_EL0"):
            permanent += 3 + config.enabled("RELOCATABLE")
        btmaps = (BTMAP_SIZE >> page_shift) + release.has("arm64_btmap_extra_page")
        tables = len(PAGE_TABLE_SLOTS) - (not release.has("arm64_fixmap_p4d"))
        return cls(
            fdt=fdt,
            earlycon=earlycon,
            permanent=permanent,
            total=permanent + BTMAP_SLOTS * btmaps + tables,
        )
