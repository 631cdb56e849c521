"""What Linux does to the entries of user tables: protections, and the pte_*() functions.

The functions of `UserEntries` take and return entries in Linux's own form, as Python integers.
They use nothing but &, |, ^ and shifts to the same side by constants, without a branch: `many`
applies one to an array of entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.vm_flags import Vm

FULL = (1 << 64) - 1


def many(change: Callable[[int], int], entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One of the functions below on an array of entries."""
    return cast("NDArray[np.uint64]", change(cast("int", entries)))


def move_bit(value: int, source: int, target: int) -> int:
    """Bit number ``source`` of a value, alone, as bit number ``target``."""
    return (value >> source & 1) << target


class UserEntries(Protocol):
    """The user entries of a kernel on a CPU (pte_mkwrite and its relatives).

    ``page_shift``: log2 of a page. Entries of huge pages (PMD, PUD) differ from others by
    `mkhuge` alone. A question's answer is not 0 for yes.
    """

    @property
    def page_shift(self) -> int:
        """log2 of a page."""

    def page_prot(self, flags: Vm) -> int:
        """``vm_get_page_prot``: the protection of an area, an entry without address."""

    def noncached(self, prot: int) -> int:
        """``pgprot_noncached``: the protection of memory that is no RAM, as /dev/mem maps it."""

    def make(self, pa: int, prot: int) -> int:
        """``pfn_pte``: the entry for the page at physical address ``pa``."""

    def make_many(self, pas: NDArray[np.uint64], prot: int) -> NDArray[np.uint64]:
        """`make` of many pages."""

    def address(self, entry: int) -> int:
        """Physical address of the page that a present entry names."""

    def mkwrite(self, entry: int) -> int:
        """``pte_mkwrite``: the page may be written."""

    def mkdirty(self, entry: int) -> int:
        """``pte_mkdirty``: the page was written."""

    def mkclean(self, entry: int) -> int:
        """``pte_mkclean``: the page was not written."""

    def mkyoung(self, entry: int) -> int:
        """``pte_mkyoung``: the page was used."""

    def mkold(self, entry: int) -> int:
        """``pte_mkold``: the page was not used."""

    def wrprotect(self, entry: int) -> int:
        """``pte_wrprotect``: the page may not be written; whether it was stays known."""

    def mkspecial(self, entry: int) -> int:
        """``pte_mkspecial``: no struct page counts this mapping."""

    def mkhuge(self, entry: int) -> int:
        """``pte_mkhuge``: a leaf above the last level."""

    def mkcont(self, entry: int) -> int:
        """``pte_mkcont``: one of a contiguous range."""

    def mknoncont(self, entry: int) -> int:
        """``pte_mknoncont``: on its own."""

    def modify(self, entry: int, prot: int) -> int:
        """``pte_modify``: another protection, what is known of the page's use kept."""

    def present(self, entry: int) -> int:
        """Whether an entry of the last level names a page."""

    def write(self, entry: int) -> int:
        """``pte_write``"""

    def dirty(self, entry: int) -> int:
        """``pte_dirty``"""

    def young(self, entry: int) -> int:
        """``pte_young``"""

    def special(self, entry: int) -> int:
        """``pte_special``"""

    def cont(self, entry: int) -> int:
        """``pte_valid_cont``: valid, and one of a contiguous range."""

    def with_access(self, old: int, wanted: int) -> int:
        """``ptep_set_access_flags``: what ``old`` becomes if ``wanted`` says more of its use."""

    def same(self, one: int, other: int) -> bool:
        """``pte_same``"""

    def is_table(self, entry: int) -> bool:
        """Whether a present entry above the last level leads to a table."""

    def table(self, pa: int) -> int:
        """The entry that leads to the table at physical address ``pa`` (pmd_populate and so on)."""

    def stored(self, entry: int) -> int:
        """The entry as set_pte_at() stores it for a user address, where the hardware looks."""

    def stored_many(self, entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """`stored` of each entry."""

    def stored_pmd(self, entry: int) -> int:
        """A transparent huge page's entry as set_pmd_at() stores it."""
