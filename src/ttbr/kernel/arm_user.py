"""User entries of 32-bit ARM kernels, with short descriptors and with LPAE.

With short descriptors an entry here is Linux's own; `stored` makes the hardware's of it, which is
a fault while the page is not young, and read-only while it is not dirty. With LPAE there is one
entry, of which only AP[2] and nG are computed when it is stored.

Source: arch/arm/include/asm/{pgtable,pgtable-2level,pgtable-3level,pgalloc}.h, arch/arm/mm/mmu.c
(protection_map, build_mem_type_table, set_ptes; 6.1: set_pte_at) of 6.1 and 6.12.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.arm_prot import (
    L_PTE_NONE,
    L_PTE_NONE_LPAE,
    PTE_AP2_LPAE,
    Memory,
    ProtBits,
    set_pte_lpae,
    set_pte_short,
    set_pte_v6,
)
from ttbr.kernel.user_entries import FULL
from ttbr.kernel.vm_flags import Vm

PAGE_SHIFT = 12
VALID = 1 << 0
NG = 1 << 11  # PTE_EXT_NG, in either format; in Linux's own short entries the bit means NONE
PXN_LPAE = 1 << 53
SPECIAL_LPAE = 1 << 56
TABLE_BIT_LPAE = 1 << 1
PMD_PXNTABLE = 1 << 2
PXN_VMSA = 4  # ID_MMFR0.VMSA of CPUs with PXN in short descriptors
HWTABLE_OFF = 2048  # PTE_HWTABLE_OFF with short descriptors
ADDRESS_SHORT = 0xFFFF_F000
ADDRESS_LPAE = 0xFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class ArmUserEntries:
    """`UserEntries` of 32-bit ARM.

    ``policy``: memory type, shareability and PXN of all user pages (user_pgprot). ``user_table``:
    the bits of the entry that leads to a table of theirs. ``v6``: the kernel takes the CPU for an
    ARMv6 one.
    """

    bits: ProtBits
    policy: int
    user_table: int
    v6: bool = False
    _seen: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def page_shift(self) -> int:
        """log2 of a page."""
        return PAGE_SHIFT

    @property
    def lpae(self) -> bool:
        """Whether descriptors are long ones."""
        return not self.bits.domains

    @property
    def _none(self) -> int:
        return L_PTE_NONE_LPAE if self.lpae else L_PTE_NONE

    def page_prot(self, flags: Vm) -> int:
        """``vm_get_page_prot``: the protection of an area, an entry without address."""
        bits = self.bits
        prot = bits.present | bits.young | self.policy
        if not flags & (Vm.READ | Vm.WRITE | Vm.EXEC):
            return prot | bits.rdonly | bits.xn | self._none
        prot |= bits.user
        if not flags & Vm.EXEC:
            prot |= bits.xn
        return prot if flags & Vm.SHARED and flags & Vm.WRITE else prot | bits.rdonly

    def noncached(self, prot: int) -> int:
        """``pgprot_noncached``: how /dev/mem maps what is no RAM."""
        return prot & (FULL ^ self.bits.mt_mask) | self.bits.mt[Memory.UNCACHED]

    def make(self, pa: int, prot: int) -> int:
        """``pfn_pte``: the entry for the page at physical address ``pa``."""
        return pa | prot

    def make_many(self, pas: NDArray[np.uint64], prot: int) -> NDArray[np.uint64]:
        """`make` of many pages."""
        return pas | np.uint64(prot)

    def address(self, entry: int) -> int:
        """Physical address of the page that a present entry names."""
        return entry & (ADDRESS_LPAE if self.lpae else ADDRESS_SHORT)

    def mkwrite(self, entry: int) -> int:
        """``pte_mkwrite``: the page may be written."""
        return entry & (FULL ^ self.bits.rdonly)

    def mkdirty(self, entry: int) -> int:
        """``pte_mkdirty``: the page was written."""
        return entry | self.bits.dirty

    def mkclean(self, entry: int) -> int:
        """``pte_mkclean``: the page was not written."""
        return entry & (FULL ^ self.bits.dirty)

    def mkyoung(self, entry: int) -> int:
        """``pte_mkyoung``: the page was used."""
        return entry | self.bits.young

    def mkold(self, entry: int) -> int:
        """``pte_mkold``: the page was not used."""
        return entry & (FULL ^ self.bits.young)

    def wrprotect(self, entry: int) -> int:
        """``pte_wrprotect``: the page may not be written; whether it was stays known."""
        return entry | self.bits.rdonly

    def mkspecial(self, entry: int) -> int:
        """``pte_mkspecial``: no struct page counts this mapping."""
        return entry | SPECIAL_LPAE if self.lpae else entry

    def mkhuge(self, entry: int) -> int:
        """``pte_mkhuge``: a leaf above the last level."""
        return entry & (FULL ^ TABLE_BIT_LPAE)

    def mkcont(self, entry: int) -> int:
        """``pte_mkcont``: one of a contiguous range."""
        return entry

    def mknoncont(self, entry: int) -> int:
        """``pte_mknoncont``: on its own."""
        return entry

    def modify(self, entry: int, prot: int) -> int:
        """``pte_modify``: another protection, what is known of the page's use kept."""
        bits = self.bits
        mask = bits.xn | bits.rdonly | bits.user | self._none | VALID
        return entry & (FULL ^ mask) | prot & mask

    def present(self, entry: int) -> int:
        """``pte_present``: whether an entry of the last level names a page."""
        return entry & self.bits.present

    def write(self, entry: int) -> int:
        """``pte_write``"""
        return (entry & self.bits.rdonly) ^ self.bits.rdonly

    def dirty(self, entry: int) -> int:
        """``pte_dirty``"""
        return entry & self.bits.dirty

    def young(self, entry: int) -> int:
        """``pte_young``"""
        return entry & self.bits.young

    def special(self, entry: int) -> int:
        """``pte_special``"""
        return entry & SPECIAL_LPAE if self.lpae else entry & 0

    def cont(self, entry: int) -> int:
        """``pte_valid_cont``: valid, and one of a contiguous range."""
        return entry & 0

    def with_access(self, old: int, wanted: int) -> int:
        """``ptep_set_access_flags``: what ``old`` becomes if ``wanted`` says more of its use."""
        return wanted

    def same(self, one: int, other: int) -> bool:
        """``pte_same``: nG comes with storing alone, and does not count with LPAE."""
        return not (one ^ other) & (FULL ^ NG if self.lpae else FULL)

    def is_table(self, entry: int) -> bool:
        """Whether a present entry above the last level leads to a table."""
        return entry & 3 == self.bits.table

    def table(self, pa: int) -> int:
        """The entry that leads to the table at physical address ``pa`` (pmd_populate)."""
        return pa | self.user_table if self.lpae else pa + HWTABLE_OFF | self.user_table

    def stored(self, entry: int) -> int:
        """The entry as set_pte_at() stores it for a user address, where the hardware looks."""
        if not entry:
            return 0
        # The address passes through, and there are few different rests
        address = self.address(entry)
        rest = entry ^ address
        if rest not in self._seen:
            self._seen[rest] = int(self.stored_many(np.array([rest], np.uint64))[0])
        hardware = self._seen[rest]
        return address | hardware if hardware else 0

    def stored_many(self, entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """`stored` of each entry."""
        bits = self.bits
        user = np.uint64(VALID | bits.user | bits.young)
        ng = np.where(entries & user == user, np.uint64(NG), np.uint64(0))
        if self.lpae:
            return set_pte_lpae(entries | ng)
        hardware = (set_pte_v6 if self.v6 else set_pte_short)(entries)
        return np.where(hardware, hardware | ng, np.uint64(0))

    def stored_pmd(self, entry: int) -> int:
        """A transparent huge page's entry as set_pmd_at() stores it."""
        if entry & L_PTE_NONE_LPAE:
            entry &= FULL ^ VALID
        writable = self.write(entry) and self.dirty(entry)
        entry = entry & (FULL ^ PTE_AP2_LPAE) if writable else entry | PTE_AP2_LPAE
        return entry | NG


def arm_user_entries(
    bits: ProtBits, *, policy: Memory, shared: bool, user_domain: int, pxn: bool, v6: bool
) -> ArmUserEntries:
    """The user entries of a kernel and CPU.

    ``policy``, ``shared``: the cache policy, and whether memory is shared among CPUs (SMP);
    ``user_domain``: of tables with short descriptors; ``pxn``: the CPU can keep the kernel from
    executing what such tables map.
    """
    prot = bits.mt[policy] | (bits.shared if shared else 0)
    if not bits.domains:
        return ArmUserEntries(bits, prot | PXN_LPAE, bits.table)
    table = bits.table | bits.bit4 | user_domain << 5 | (PMD_PXNTABLE if pxn else 0)
    return ArmUserEntries(bits, prot, table, v6)
