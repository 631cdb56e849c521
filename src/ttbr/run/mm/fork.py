"""fork: a second address space with the same pages, copied when one of the two writes.

Source: kernel/fork.c: dup_mmap; mm/memory.c: copy_page_range, copy_pte_range, __copy_present_ptes;
mm/huge_memory.c: copy_huge_pmd; mm/hugetlb.c: copy_hugetlb_page_range.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.user_entries import many
from ttbr.kernel.vm_flags import Vm, is_cow
from ttbr.run.frames import Owner
from ttbr.run.mm.hugetlb_faults import entry_level, get_huge, set_huge
from ttbr.run.mm.mm import ANON, Mm
from ttbr.run.mm.ptes import join_full, unfold

if TYPE_CHECKING:
    from ttbr.run.mm.page_tables import Span
    from ttbr.run.mm.vma import Vma


def dup_mmap(parent: Mm, child: Mm) -> int:
    """``dup_mmap``: the areas and, where they would not come back by faults, the tables.

    Returns how many entries were copied. `OutOfMemory` on the way leaves a child to be torn down,
    and the parent as it is after a fork.
    """
    for name in ("mmap_base", "start_brk", "brk", "start_stack", "stack_limit"):
        setattr(child, name, getattr(parent, name))
    try:
        return sum(_dup_area(parent, child, area) for area in parent.vmas)
    finally:
        parent.flush_tlb_mm()


def _dup_area(parent: Mm, child: Mm, area: Vma) -> int:
    """One area for the child; how many entries were copied."""
    if area.flags & Vm.DONTCOPY:
        return 0
    mine = replace(area, reservation=None)
    if area.flags & Vm.WIPEONFORK:
        mine.anon_vma, mine.inherited = None, False
    elif area.anon_vma is not None:
        mine.anon_vma, mine.inherited = next(child.user.anon_vmas), True
    child.vmas.place(mine)
    if area.flags & Vm.WIPEONFORK or not _needs_copy(area):
        return 0
    return copy_page_range(parent, child, area, mine)


def _needs_copy(area: Vma) -> bool:
    """``vma_needs_copy``: what faults would not bring back, or areas with anonymous pages."""
    return bool(area.flags & Vm.PFNMAP) or area.anon_vma is not None


def copy_page_range(parent: Mm, child: Mm, area: Vma, mine: Vma) -> int:
    """``copy_page_range``: the tables of one area; how many entries were copied."""
    if area.pool is not None:
        return _copy_huge_pool(parent, child, area)
    copied = 0
    for span in list(parent.tables.spans(area.start, area.end)):
        if span.entry:
            copied += _copy_pmd(parent, child, span)
        else:
            copied += _copy_ptes(parent, child, area, span)
    return copied


def _copy_pmd(parent: Mm, child: Mm, span: Span) -> int:
    """``copy_huge_pmd``"""
    user, entries, level = parent.user, parent.user.entries, parent.tables.pmd_level
    table = child.tables.find(span.start, level, alloc=True)
    assert table is not None
    child.tables.deposit(table, child.tables.spare_table(child.tables.last))
    pfn = entries.address(span.entry) >> user.page_shift
    if pfn != user.huge_zero:
        user.folios.get(pfn)
        user.frames.add_rmap(pfn)
        user.frames.set_exclusive(pfn, False)
        child.count(ANON, 1 << user.thp.pmd_order)
    protected = entries.wrprotect(span.entry)
    parent.tables.write(span.table, level, span.start, entries.stored_pmd(protected))
    child.tables.write(table, level, span.start, entries.stored_pmd(entries.mkold(protected)))
    return 1


def _copy_ptes(parent: Mm, child: Mm, area: Vma, span: Span) -> int:
    """``copy_pte_range``: the entries of one last-level table."""
    user, entries = parent.user, parent.user.entries
    table = child.tables.pte_table(span.start, alloc=True)
    assert table is not None
    count = span.end - span.start >> user.page_shift
    old = parent.tables.get_ptes(span.table, span.start, count)
    there = old != 0
    if not there.any():
        return 0
    pfns = many(entries.address, old) >> np.uint64(user.page_shift)
    counted = there & (pfns != np.uint64(user.zero_pfn)) & (many(entries.special, old) == 0)
    if area.flags & Vm.PFNMAP or area.special is not None:
        counted[:] = False
    large = counted & user.folios.in_large(pfns)
    if user.contiguous and large.any():
        old = _unfold_parts(parent, span, old, large)
    cow = is_cow(area.flags)
    new = old
    if cow:
        writable = there & (many(entries.write, old) != 0)
        protected = many(entries.wrprotect, old)
        new = np.where(writable, protected, old)
        if writable.any():
            parent.tables.set_ptes(span.table, span.start, new)
    if area.flags & Vm.SHARED:
        new = np.where(there, many(entries.mkclean, new), new)
    new = np.where(there, many(entries.mkold, new), new)
    if user.contiguous:
        new = many(entries.mknoncont, new)
        if large.any():
            new = _join_runs(child, span, new, large)
    child.tables.set_ptes(table, span.start, new)
    _account(child, area, pfns, counted, large)
    return int(np.count_nonzero(there))


def _account(
    child: Mm,
    area: Vma,
    pfns: NDArray[np.uint64],
    counted: NDArray[np.bool_],
    large: NDArray[np.bool_],
) -> None:
    """The references, mappings and counters that come with copied entries."""
    user = child.user
    single = pfns[counted & ~large]
    user.frames.map_again(single)
    anon = int(np.count_nonzero(user.frames.owners(single) == Owner.ANON))
    child.count(ANON, anon)
    if area.file is not None:
        child.count(area.file.counter, len(single) - anon)
    for pfn in pfns[large].tolist():
        user.folios.get(pfn)
        user.frames.add_rmap(pfn)
        user.frames.set_exclusive(pfn, False)
    child.count(ANON, int(np.count_nonzero(large)))


def _runs(mm: Mm, old: NDArray[np.uint64], large: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """``folio_pte_batch``: [first, end) of entries in a row that map a large folio alike."""
    user, entries = mm.user, mm.user.entries
    plain = many(entries.wrprotect, many(entries.mkold, many(entries.mknoncont, old)))
    pfns = many(entries.address, old) >> np.uint64(user.page_shift)
    rest = plain ^ many(partial(entries.make, prot=0), pfns << np.uint64(user.page_shift))
    runs: list[tuple[int, int]] = []
    for at in np.flatnonzero(large).tolist():
        if runs and runs[-1][1] == at:
            first = runs[-1][0]
            same = user.folios.head(int(pfns[first])) == user.folios.head(int(pfns[at]))
            if same and rest[at] == rest[first] and pfns[at] == pfns[at - 1] + np.uint64(1):
                runs[-1] = (first, at + 1)
                continue
        runs.append((at, at + 1))
    return runs


def _unfold_parts(
    mm: Mm, span: Span, old: NDArray[np.uint64], large: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """Break up contiguous ranges that would be protected in part only."""
    size, step = mm.user.page_size, mm.user.contiguous
    for first, end in _runs(mm, old, large):
        for edge, va in ((first, span.start + first * size), (end, span.start + end * size)):
            if va % (step * size):
                unfold(mm, span.table, va if edge == first else va - size)
    return mm.tables.get_ptes(span.table, span.start, len(old))


def _join_runs(
    mm: Mm, span: Span, new: NDArray[np.uint64], large: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """The contiguous bit for whole ranges of the child's entries."""
    for first, end in _runs(mm, new, large):
        va = span.start + first * mm.user.page_size
        new[first:end] = join_full(mm, va, new[first:end].tolist())
    return new


def _copy_huge_pool(parent: Mm, child: Mm, area: Vma) -> int:
    """``copy_hugetlb_page_range``"""
    pool, entries = area.pool, parent.user.entries
    assert pool is not None
    level, _ = entry_level(parent, pool)
    copied = 0
    for va in range(area.start, area.end, pool.size):
        table, entry = get_huge(parent, area, va)
        if table is None:
            continue
        target = child.tables.find(va, level, alloc=True)
        assert target is not None
        if not entry:
            continue
        pfn = entries.address(entry) >> parent.user.page_shift
        parent.user.frames.add_rmap(pfn)
        if is_cow(area.flags):
            parent.user.frames.set_exclusive(pfn, False)
            entry = entries.wrprotect(entry)
            set_huge(parent, area, table, va, entry)
        set_huge(child, area, target, va, entry)
        child.hugetlb += pool.size
        copied += 1
    return copied
