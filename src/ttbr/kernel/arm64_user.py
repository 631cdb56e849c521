"""User entries of arm64 kernels.

Source: arch/arm64/include/asm/{pgtable,pgtable-prot,pgalloc}.h and arch/arm64/mm/mmap.c
(protection_map) of 6.1 and 6.12. Not modelled: MTE's tagged memory, POE's keys.

Whether a page is dirty is kept in two places: DIRTY, a software bit, and AP[2], which is clear
where the hardware may write. WRITE (DBM) says that the page may be written at all; with hardware
management of the dirty state the CPU itself clears AP[2] where WRITE is set.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.arm64_prot import (
    AF,
    CONT,
    DIRTY,
    GP,
    NG,
    PXN,
    RDONLY,
    SHARED,
    TABLE_PXN,
    TYPE_TABLE,
    UXN,
    WRITE,
    MemoryType,
    OutputAddress,
    attr_index,
)
from ttbr.kernel.release import Release
from ttbr.kernel.user_entries import FULL, many, move_bit
from ttbr.kernel.vm_flags import PROTECTION, Vm

VALID = 1 << 0
TABLE_BIT = 1 << 1
USER = 1 << 6
SPECIAL = 1 << 56
PROT_NONE_BIT = 1 << 58
ATTR_INDEX_MASK = 0b111 << 2
_DIRTY, _WRITE, _RDONLY = 55, 51, 7  # bit numbers

_DEFAULT = VALID | TABLE_BIT | AF | SHARED | attr_index(MemoryType.NORMAL)
_RO = _DEFAULT | RDONLY | NG | PXN
PAGE_SHARED = _RO | USER | UXN | WRITE
PAGE_SHARED_EXEC = _RO | USER | WRITE
PAGE_READONLY = _RO | USER | UXN
PAGE_READONLY_EXEC = _RO | USER
PAGE_EXECONLY = _RO
PAGE_NONE = _RO & ~VALID | UXN
"""Without the bit that marks it as present, which depends on the release."""

_READ, _WRITE_ACCESS, _EXEC, _SHARE = (int(bit) for bit in (Vm.READ, Vm.WRITE, Vm.EXEC, Vm.SHARED))


def _protection(access: int, execute_only: bool) -> int:
    """One entry of protection_map, for the bits of `PROTECTION`."""
    if not access & ~_SHARE:
        return PAGE_NONE
    shared_write = access & _SHARE and access & _WRITE_ACCESS
    if access & _EXEC:
        if execute_only and not access & (_READ | _WRITE_ACCESS):
            return PAGE_EXECONLY
        return PAGE_SHARED_EXEC if shared_write else PAGE_READONLY_EXEC
    return PAGE_SHARED if shared_write else PAGE_READONLY


@dataclass(frozen=True, slots=True)
class Arm64UserEntries:
    """`UserEntries` of arm64.

    ``output``: where descriptors have the address. ``lpa2``: they have no shareability.
    ``execute_only``: the CPU has Enhanced PAN, so that PROT_EXEC alone does not imply reading.
    ``none``: the bit of entries that are present but not valid.
    """

    page_shift: int
    output: OutputAddress
    lpa2: bool
    execute_only: bool
    none: int
    _plain: int = field(init=False, repr=False)
    _moved: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep where the address is: it is asked for with every entry."""
        object.__setattr__(self, "_moved", self.output.low_field)
        object.__setattr__(self, "_plain", self.output.field & ~self.output.low_field)

    def page_prot(self, flags: Vm) -> int:
        """``vm_get_page_prot``: the protection of an area, an entry without address."""
        prot = _protection(int(flags & PROTECTION), self.execute_only)
        if self.lpa2:
            prot &= FULL ^ SHARED
        if not prot & VALID:
            prot |= self.none
        return prot | GP if flags & Vm.ARM64_BTI else prot

    def noncached(self, prot: int) -> int:
        """``pgprot_noncached``: how /dev/mem maps what is no RAM."""
        plain = prot & (FULL ^ ATTR_INDEX_MASK)
        return plain | attr_index(MemoryType.DEVICE_NGNRNE) | PXN | UXN

    def make(self, pa: int, prot: int) -> int:
        """``pfn_pte``: the entry for the page at physical address ``pa``."""
        return self.output.encode(pa) | prot

    def make_many(self, pas: NDArray[np.uint64], prot: int) -> NDArray[np.uint64]:
        """`make` of many pages."""
        return many(self.output.encode, pas) | np.uint64(prot)

    def address(self, entry: int) -> int:
        """Physical address of the page that a present entry names."""
        return entry & self._plain | (entry & self._moved) << self.output.high_shift

    def mkwrite(self, entry: int) -> int:
        """``pte_mkwrite``: the page may be written."""
        entry = entry | WRITE
        return entry & (FULL ^ move_bit(entry, _DIRTY, _RDONLY))

    def mkdirty(self, entry: int) -> int:
        """``pte_mkdirty``: the page was written."""
        entry = entry | DIRTY
        return entry & (FULL ^ move_bit(entry, _WRITE, _RDONLY))

    def mkclean(self, entry: int) -> int:
        """``pte_mkclean``: the page was not written."""
        return entry & (FULL ^ DIRTY) | RDONLY

    def mkyoung(self, entry: int) -> int:
        """``pte_mkyoung``: the page was used."""
        return entry | AF

    def mkold(self, entry: int) -> int:
        """``pte_mkold``: the page was not used."""
        return entry & (FULL ^ AF)

    def wrprotect(self, entry: int) -> int:
        """``pte_wrprotect``: the page may not be written; whether it was stays known."""
        return (entry | self._hw_dirty(entry)) & (FULL ^ WRITE) | RDONLY

    def mkspecial(self, entry: int) -> int:
        """``pte_mkspecial``: no struct page counts this mapping."""
        return entry | SPECIAL

    def mkhuge(self, entry: int) -> int:
        """``pte_mkhuge``: a leaf above the last level."""
        return entry & (FULL ^ TABLE_BIT)

    def mkcont(self, entry: int) -> int:
        """``pte_mkcont``: one of a contiguous range."""
        return entry | CONT

    def mknoncont(self, entry: int) -> int:
        """``pte_mknoncont``: on its own."""
        return entry & (FULL ^ CONT)

    def modify(self, entry: int, prot: int) -> int:
        """``pte_modify``: another protection, what is known of the page's use kept."""
        mask = USER | PXN | UXN | RDONLY | self.none | VALID | WRITE | GP | ATTR_INDEX_MASK
        entry = (entry | self._hw_dirty(entry)) & (FULL ^ mask) | prot & mask
        both = move_bit(entry, _DIRTY, _RDONLY) & move_bit(entry, _WRITE, _RDONLY)
        return entry & (FULL ^ both)

    def present(self, entry: int) -> int:
        """``pte_present``: whether an entry of the last level names a page."""
        if self.none == NG:
            return entry & VALID | move_bit(entry, 11, 0)
        return entry & (VALID | self.none)

    def write(self, entry: int) -> int:
        """``pte_write``"""
        return entry & WRITE

    def dirty(self, entry: int) -> int:
        """``pte_dirty``"""
        return entry & DIRTY | self._hw_dirty(entry)

    def young(self, entry: int) -> int:
        """``pte_young``"""
        return entry & AF

    def special(self, entry: int) -> int:
        """``pte_special``"""
        return entry & SPECIAL

    def cont(self, entry: int) -> int:
        """``pte_valid_cont``: valid, and one of a contiguous range."""
        return move_bit(entry, 52, 0) & entry

    def with_access(self, old: int, wanted: int) -> int:
        """``ptep_set_access_flags``: what ``old`` becomes if ``wanted`` says more of its use."""
        more = wanted & (AF | WRITE | DIRTY)
        return (old | more) & (FULL ^ RDONLY) | old & wanted & RDONLY

    def same(self, one: int, other: int) -> bool:
        """``pte_same``"""
        return one == other

    def is_table(self, entry: int) -> bool:
        """Whether a present entry above the last level leads to a table."""
        return entry & TYPE_TABLE == TYPE_TABLE

    def table(self, pa: int) -> int:
        """The entry that leads to the table at physical address ``pa`` (pmd_populate)."""
        return self.output.encode(pa) | TYPE_TABLE | TABLE_PXN

    def stored(self, entry: int) -> int:
        """The entry as set_pte_at() stores it for a user address, where the hardware looks."""
        return entry

    def stored_many(self, entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """`stored` of each entry."""
        return entries

    def stored_pmd(self, entry: int) -> int:
        """A transparent huge page's entry as set_pmd_at() stores it."""
        return entry

    @staticmethod
    def _hw_dirty(entry: int) -> int:
        """DIRTY where the hardware says so: WRITE, and AP[2] clear."""
        return move_bit(entry, _WRITE, _DIRTY) & (FULL ^ move_bit(entry, _RDONLY, _DIRTY))


def arm64_user_entries(
    release: Release, page_shift: int, output: OutputAddress, *, lpa2: bool, execute_only: bool
) -> Arm64UserEntries:
    """The user entries of a release; see `Arm64UserEntries` for the rest."""
    none = NG if release.has("arm64_present_invalid_is_ng") else PROT_NONE_BIT
    return Arm64UserEntries(page_shift, output, lpa2, execute_only, none)
