"""Reading and changing last-level entries as Linux's core does, contiguous ranges included.

arm64 kernels of 6.9 and later (CONFIG_ARM64_CONTPTE) set the contiguous bit by themselves where a
whole range maps a large folio, and take it away before a part of the range changes.

Source: arch/arm64/mm/contpte.c, arch/arm64/mm/fault.c (ptep_set_access_flags),
mm/pgtable-generic.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.user_entries import many

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm


def ptep_get(mm: Mm, table: int, va: int) -> int:
    """``ptep_get``: an entry; one of a contiguous range is young or dirty if any of it is."""
    entries = mm.user.entries
    entry = mm.tables.get_pte(table, va)
    if not mm.user.contiguous or not entries.cont(entry):
        return entry
    for other in _range(mm, table, va).tolist():
        if entries.dirty(other):
            entry = entries.mkdirty(entry)
        if entries.young(other):
            entry = entries.mkyoung(entry)
    return entry


def set_pte_at(mm: Mm, table: int, va: int, entry: int) -> None:
    """``set_pte_at``: store an entry, alone or as part of the contiguous range it completes."""
    if not mm.user.contiguous:
        mm.tables.set_pte(table, va, entry)
        return
    entry = mm.user.entries.mknoncont(entry)
    unfold(mm, table, va)
    mm.tables.set_pte(table, va, entry)
    _try_fold(mm, table, va, entry)


def set_ptes(mm: Mm, table: int, va: int, entry: int, count: int) -> None:
    """``set_ptes``: entries for ``count`` pages of one folio in a row, where there were none."""
    if count == 1:
        set_pte_at(mm, table, va, entry)
        return
    entries, size = mm.user.entries, mm.user.page_size
    first = entries.address(entry)
    rest = entries.mknoncont(entry) ^ entries.make(first, 0)
    made = [entries.make(first + number * size, rest) for number in range(count)]
    mm.tables.set_ptes(table, va, np.array(join_full(mm, va, made), np.uint64))


def join_full(mm: Mm, va: int, made: list[int]) -> list[int]:
    """``contpte_set_ptes``: set the contiguous bit in the whole ranges of entries of one folio."""
    step, entries, size = mm.user.contiguous, mm.user.entries, mm.user.page_size
    if not step:
        return made
    span = step * size
    first = -(-va // span) * span - va >> mm.user.page_shift
    for at in range(first, len(made) - step + 1, step):
        if entries.address(made[at]) % span == 0 and made[at] & 1:
            made[at : at + step] = [entries.mkcont(entry) for entry in made[at : at + step]]
    return made


def clear_pte(mm: Mm, table: int, va: int) -> int:
    """``ptep_get_and_clear``: take an entry away; what it was."""
    unfold(mm, table, va)
    entry = mm.tables.get_pte(table, va)
    mm.tables.set_pte(table, va, 0)
    return entry


def wrprotect(mm: Mm, table: int, va: int) -> None:
    """``ptep_set_wrprotect``"""
    unfold(mm, table, va)
    mm.tables.set_pte(table, va, mm.user.entries.wrprotect(mm.tables.get_pte(table, va)))


def set_access_flags(mm: Mm, table: int, va: int, entry: int, *, dirty: bool) -> bool:
    """``ptep_set_access_flags``: note that a page was used; whether the entry changed.

    A TLB that may hold the entry is told where the architecture does so: always on 32-bit ARM, on
    arm64 for writes.
    """
    entries, tables = mm.user.entries, mm.tables
    old = tables.get_pte(table, va)
    if entries.cont(old) and mm.user.contiguous:
        return _contiguous_access(mm, table, va, entry, dirty=dirty)
    if entries.same(old, entry):
        return False
    tables.set_pte(table, va, entries.with_access(old, entry))
    if dirty or mm.user.arm:
        mm.flush_tlb_page(va)
    return True


def _contiguous_access(mm: Mm, table: int, va: int, entry: int, *, dirty: bool) -> bool:
    """``contpte_ptep_set_access_flags``"""
    entries, tables, size = mm.user.entries, mm.tables, mm.user.page_size
    raw = entries.mknoncont(tables.get_pte(table, va))
    if bool(entries.write(raw)) != bool(entries.write(entry)):
        unfold(mm, table, va)
        return set_access_flags(mm, table, va, entry, dirty=dirty)
    start = va & -(mm.user.contiguous * size)
    old = _range(mm, table, va)
    new = [entries.with_access(each, entry) for each in old.tolist()]
    if new == old.tolist():
        return False
    tables.set_ptes(table, start, np.array(new, np.uint64))
    if dirty:
        mm.flush_tlb_range(start, start + mm.user.contiguous * size)
    return True


def unfold(mm: Mm, table: int, va: int) -> None:
    """``contpte_try_unfold``: make each entry of the range around ``va`` one of its own."""
    entries = mm.user.entries
    if mm.user.contiguous and entries.cont(mm.tables.get_pte(table, va)):
        _convert(mm, table, va, cont=False)


def _try_fold(mm: Mm, table: int, va: int, entry: int) -> None:
    """``contpte_try_fold``: join a range whose last entry was just written, if it may be."""
    user = mm.user
    entries, step = user.entries, user.contiguous
    last = step - 1
    pfn = entries.address(entry) >> user.page_shift
    if va >> user.page_shift & last != last or pfn & last != last:
        return
    if not entry & 1 or entries.special(entry):
        return
    head, order = user.folios.head(pfn)
    if pfn - last < head or pfn >= head + (1 << order):
        return
    old = many(entries.mkold, many(entries.mkclean, _range(mm, table, va)))
    first = entries.mkold(entries.mkclean(entry))
    rest = first ^ entries.make(entries.address(first), 0)
    base = entries.address(first) - last * user.page_size
    wanted = [entries.make(base + number * user.page_size, rest) for number in range(step)]
    if old.tolist() == wanted:
        _convert(mm, table, va, cont=True)


def _convert(mm: Mm, table: int, va: int, *, cont: bool) -> None:
    """``contpte_convert``: break the range, then make it anew with or without the bit."""
    user = mm.user
    entries, span = user.entries, user.contiguous * user.page_size
    start = va & -span
    old = _range(mm, table, va)
    dirty = bool(many(entries.dirty, old).any())
    young = bool(many(entries.young, old).any())
    mm.tables.set_ptes(table, start, np.zeros(user.contiguous, np.uint64))
    mm.flush_tlb_range(start, start + span)
    new = many(entries.mkcont if cont else entries.mknoncont, old)
    if dirty:
        new = many(entries.mkdirty, new)
    if young:
        new = many(entries.mkyoung, new)
    mm.tables.set_ptes(table, start, new)


def _range(mm: Mm, table: int, va: int) -> NDArray[np.uint64]:
    """The entries of the range that ``va`` is in."""
    span = mm.user.contiguous * mm.user.page_size
    return mm.tables.get_ptes(table, va & -span, mm.user.contiguous)
