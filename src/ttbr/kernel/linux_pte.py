"""How Linux itself reads a translation-table entry: present, young, PROT_NONE, swapped out.

The hardware knows only valid and invalid. Linux keeps pages that the hardware must not use yet
(old ones on CPUs without an access flag, PROT_NONE) in entries that are invalid to the hardware
but still name the page; the other invalid entries that are not zero are swap entries, which name a
place in a swap file or stand for something else (`ttbr.kernel.swap_types`). Bits:
asm/pgtable-prot.h and asm/pgtable.h of arch/arm64, asm/pgtable.h, -2level.h and -3level.h of
arch/arm. None of these kernels has soft-dirty bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.kernel.release import Release

Patterns = tuple[tuple[int, int], ...]
"""(mask, value) pairs: an entry fits if one of them matches."""

SWAP_TYPE_BITS = 5
"""Bits of a swap entry's type, everywhere (include/linux/swap.h: MAX_SWAPFILES_SHIFT)."""

FLAGS = ("young", "dirty", "write", "special", "devmap", "uffd-wp", "exclusive")
"""What Linux keeps in an entry beside the page; a reading has bit 1 << index for each."""


def fits(entries: NDArray[np.uint64], patterns: Patterns) -> NDArray[np.bool_]:
    """Which entries match one of the patterns."""
    found = np.zeros(entries.shape, np.bool_)
    for mask, value in patterns:
        found |= entries & np.uint64(mask) == np.uint64(value)
    return found


def _bit(number: int) -> Patterns:
    return ((1 << number, 1 << number),)


@dataclass(frozen=True, slots=True)
class SwapLayout:
    """Where a swap entry has its type and offset (lowest bits), and which ``flags`` it can have."""

    type_low: int
    offset_low: int
    offset_bits: int
    flags: Mapping[str, Patterns]

    def types(self, entries: NDArray[np.uint64]) -> NDArray[np.int16]:
        """The swap type of each entry (__swp_type)."""
        mask = np.uint64((1 << SWAP_TYPE_BITS) - 1)
        return (entries >> np.uint64(self.type_low) & mask).astype(np.int16)

    def offsets(self, entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The swap offset of each entry, in pages (__swp_offset)."""
        return entries >> np.uint64(self.offset_low) & np.uint64((1 << self.offset_bits) - 1)


@dataclass(frozen=True, slots=True)
class LinuxEntries:
    """Linux's reading of the entries of one format.

    ``present``: an entry that fits names a page; ``block_present``: the same above the last level.
    ``prot_none``: of present entries that are not valid. ``flags``: by name, of present entries.
    ``swap``: of the others, None where it depends on a release that is not known. ``distance``:
    bytes from the hardware's entry to Linux's (not 0 only with ARM's short descriptors, where
    Linux's tables lie 2 KiB below in the same page). ``address``: bits of an entry that hold the
    address of a page, or 0 where the hardware's format tells.
    """

    name: str
    present: Patterns
    block_present: Patterns
    prot_none: Patterns
    flags: Mapping[str, Patterns]
    swap: SwapLayout | None = None
    distance: int = 0
    address: int = 0

    def is_present(self, entries: NDArray[np.uint64], *, block: bool = False) -> NDArray[np.bool_]:
        """Which entries name a page as far as Linux is concerned (pte_present, pmd_present)."""
        return fits(entries, self.block_present if block else self.present)


_ARM64_FLAGS = {
    "young": _bit(10),
    # In software, or in hardware: writable (DBM) and no longer read-only
    "dirty": (*_bit(55), (1 << 51 | 1 << 7, 1 << 51)),
    "write": _bit(51),
    "special": _bit(56),
    "devmap": _bit(57),
}
"""PTE_AF; PTE_DIRTY, pte_hw_dirty; PTE_WRITE; PTE_SPECIAL; PTE_DEVMAP."""

ARM64_PROT_NONE_BIT = LinuxEntries(
    name="arm64 with PTE_PROT_NONE",
    present=(*_bit(0), (1 << 58 | 1 << 0, 1 << 58)),
    block_present=(*_bit(0), (1 << 58 | 1 << 0, 1 << 58), (1 << 59 | 1 << 0, 1 << 59)),
    prot_none=_bit(58),
    flags=_ARM64_FLAGS,
    swap=SwapLayout(3, 8, 50, {"exclusive": _bit(2)}),
)
"""6.1: PTE_PROT_NONE, bit 58, and PMD_PRESENT_INVALID, bit 59, only where it is not valid."""

ARM64_PRESENT_INVALID = LinuxEntries(
    name="arm64 with PTE_PRESENT_INVALID",
    present=(*_bit(0), (1 << 11 | 1 << 0, 1 << 11)),
    block_present=(*_bit(0), (1 << 11 | 1 << 0, 1 << 11)),
    # Neither for the user nor executable by it: else it is only invalid for a moment
    prot_none=((1 << 54 | 1 << 11 | 1 << 6, 1 << 54 | 1 << 11),),
    flags=_ARM64_FLAGS | {"uffd-wp": _bit(58)},
    swap=SwapLayout(6, 12, 50, {"exclusive": _bit(2), "uffd-wp": _bit(3)}),
)
"""6.12: PTE_PRESENT_INVALID, bit 11 (nG), only where it is not valid; pte_protnone."""

ARM_SHORT = LinuxEntries(
    name="ARM short descriptors",
    present=_bit(0),
    block_present=(),
    prot_none=_bit(11),
    flags={"young": _bit(1), "dirty": _bit(6), "write": ((1 << 7, 0),)},
    distance=-0x800,
    address=0xFFFF_F000,
)
"""pgtable-2level.h: L_PTE_PRESENT, _NONE, _YOUNG, _DIRTY, _RDONLY; PTE_HWTABLE_OFF (512 words)."""

ARM_LPAE = LinuxEntries(
    name="ARM LPAE",
    present=(*_bit(0), *_bit(1)),
    block_present=(*_bit(0), *_bit(57)),
    prot_none=_bit(57),
    flags={"young": _bit(10), "dirty": _bit(55), "write": ((1 << 58, 0),), "special": _bit(56)},
)
"""pgtable-3level.h: L_PTE_PRESENT (either bit), _NONE, _YOUNG, _DIRTY, _RDONLY, _SPECIAL."""

_ARM_SWAP = SwapLayout(2, 7, 25, {})
_ARM_SWAP_EXCLUSIVE = SwapLayout(2, 8, 24, {"exclusive": _bit(7)})
"""asm/pgtable.h: __SWP_TYPE_SHIFT, __SWP_OFFSET_SHIFT of a word of 32 bits; L_PTE_SWP_EXCLUSIVE."""


def linux_entries(format_name: str, release: Release | None) -> LinuxEntries:
    """Linux's reading of the entries of a descriptor format (``vmsav8-64``, ``lpae``, ``short``).

    `InputError` if it depends on the kernel's release and that is not known, or for a format that
    Linux's own page tables do not have.
    """
    if format_name in ("short", "lpae"):
        entries = ARM_SHORT if format_name == "short" else ARM_LPAE
        if release is None:
            return entries
        swap = _ARM_SWAP_EXCLUSIVE if release.has("arm_swap_exclusive") else _ARM_SWAP
        return replace(entries, swap=swap)
    if format_name != "vmsav8-64":
        raise InputError(f"Linux has no page tables of the format {format_name}")
    if release is None:
        raise InputError(
            "the kernel's release is not known, and how arm64 marks PROT_NONE pages depends on it"
        )
    if release.has("arm64_present_invalid_is_ng"):
        return ARM64_PRESENT_INVALID
    return ARM64_PROT_NONE_BIT
