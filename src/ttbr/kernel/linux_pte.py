"""How Linux itself reads a translation-table entry: present, young, PROT_NONE.

The hardware knows only valid and invalid. Linux keeps pages that the hardware must not use yet
(old ones on CPUs without an access flag, PROT_NONE) in entries that are invalid to the hardware
but still name the page; swapped-out pages are neither. Bits: asm/pgtable-prot.h and asm/pgtable.h
of arch/arm64, asm/pgtable-2level.h and -3level.h of arch/arm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.kernel.release import Release


@dataclass(frozen=True, slots=True)
class LinuxEntries:
    """Linux's reading of the entries of one format.

    ``present``: (mask, value) pairs; an entry for which one of them matches names a page.
    ``valid``: what the hardware's own entry of that page has in its lowest bits; ``prot_none`` and
    ``young``: single bits. ``distance``: bytes from the hardware's entry to Linux's (not 0 only
    with ARM's short descriptors, where Linux's tables lie 2 KiB below in the same page).
    ``address``: bits of an entry that hold the address of a page, or 0 where the hardware's
    format tells.
    """

    name: str
    present: tuple[tuple[int, int], ...]
    valid: int
    prot_none: int
    young: int
    distance: int = 0
    address: int = 0

    def is_present(self, entries: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which entries name a page as far as Linux is concerned (pte_present)."""
        found = np.zeros(entries.shape, np.bool_)
        for mask, value in self.present:
            found |= entries & np.uint64(mask) == np.uint64(value)
        return found

    def reason(self, entry: int) -> str:
        """Why a present entry is invalid to the hardware: ``PROT_NONE`` or ``old``."""
        if entry & self.prot_none:
            return "PROT_NONE"
        return "old" if not entry & self.young else "invalidated"


ARM_SHORT = LinuxEntries(
    name="ARM short descriptors",
    present=((1 << 0, 1 << 0),),
    valid=0,
    prot_none=1 << 11,
    young=1 << 1,
    distance=-0x800,
    address=0xFFFF_F000,
)
"""pgtable-2level.h: L_PTE_PRESENT, _YOUNG, _NONE; PTE_HWTABLE_OFF (512 entries of 4 bytes)."""

ARM_LPAE = LinuxEntries(
    name="ARM LPAE",
    present=((1 << 0, 1 << 0), (1 << 1, 1 << 1)),
    valid=0b11,
    prot_none=1 << 57,
    young=1 << 10,
)
"""pgtable-3level.h: L_PTE_PRESENT (either bit), L_PTE_NONE, L_PTE_YOUNG."""

ARM64_PROT_NONE_BIT = LinuxEntries(
    name="arm64 with PTE_PROT_NONE",
    present=((1 << 0, 1 << 0), (1 << 58 | 1 << 0, 1 << 58)),
    valid=0b1,
    prot_none=1 << 58,
    young=1 << 10,
)
"""6.1 asm/pgtable-prot.h: PTE_PROT_NONE, bit 58, only where the entry is not valid."""

ARM64_PRESENT_INVALID = LinuxEntries(
    name="arm64 with PTE_PRESENT_INVALID",
    present=((1 << 0, 1 << 0), (1 << 11 | 1 << 0, 1 << 11)),
    valid=0b1,
    prot_none=1 << 11,
    young=1 << 10,
)
"""6.12 asm/pgtable-prot.h: PTE_PRESENT_INVALID, bit 11 (nG), only where it is not valid."""


def linux_entries(format_name: str, release: Release | None) -> LinuxEntries:
    """Linux's reading of the entries of a descriptor format (``vmsav8-64``, ``lpae``, ``short``).

    `InputError` if it depends on the kernel's release and that is not known.
    """
    if format_name == "short":
        return ARM_SHORT
    if format_name == "lpae":
        return ARM_LPAE
    if release is None:
        raise InputError(
            "the kernel's release is not known, and how arm64 marks PROT_NONE pages depends on it"
        )
    if release.has("arm64_present_invalid_is_ng"):
        return ARM64_PRESENT_INVALID
    return ARM64_PROT_NONE_BIT
