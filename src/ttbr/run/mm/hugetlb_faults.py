"""Faults of huge pages from pools, of every size: PUD, PMD, and contiguous ranges of both leaves.

Source: mm/hugetlb.c: hugetlb_fault, hugetlb_no_page, hugetlb_wp; arch/arm64/mm/hugetlbpage.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.vm_flags import Vm
from ttbr.run.mm.vm_fault import SIGBUS, copy_page

if TYPE_CHECKING:
    from ttbr.run.mm.hugetlb import HugePool
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.vm_fault import VmFault
    from ttbr.run.mm.vma import Vma


def entry_level(mm: Mm, pool: HugePool) -> tuple[int, int]:
    """Where a pool's pages have their entries: the level, and how many entries each takes."""
    levels = mm.tables.levels
    for number in range(len(levels) - 1, -1, -1):
        count = pool.size >> levels[number].shift
        if count < levels[number].entries:
            return number, count
    raise AssertionError("a huge page is larger than the root")


def get_huge(mm: Mm, area: Vma, va: int) -> tuple[int | None, int]:
    """``huge_ptep_get``: the table with the entries for ``va``, and the entry, 0 for none."""
    assert area.pool is not None
    level, count = entry_level(mm, area.pool)
    va &= -area.pool.size
    table = mm.tables.find(va, level)
    if table is None:
        return None, 0
    entry = _read(mm, table, level, va)
    entries = mm.user.entries
    if count > 1 and entry:
        for number in range(1, count):
            other = _read(mm, table, level, va + (number << mm.tables.levels[level].shift))
            if entries.dirty(other):
                entry = entries.mkdirty(entry)
            if entries.young(other):
                entry = entries.mkyoung(entry)
    return table, entry


def set_huge(mm: Mm, area: Vma, table: int, va: int, entry: int) -> None:
    """``set_huge_pte_at``: store a page's entry, or all of a contiguous range's, in order.

    A range that was there is taken away and flushed first.
    """
    assert area.pool is not None
    level, count = entry_level(mm, area.pool)
    entries, step = mm.user.entries, mm.tables.levels[level].size
    va &= -area.pool.size
    if count == 1:
        _write(mm, table, level, va, np.array([entry], np.uint64))
        return
    if entry and any(_read(mm, table, level, va + number * step) for number in range(count)):
        _write(mm, table, level, va, np.zeros(count, np.uint64))
        mm.flush_tlb_range(va, va + area.pool.size)
    made = [0] * count
    if entry:
        first = entries.address(entry)
        rest = entry ^ entries.make(first, 0)
        made = [entries.make(first + number * step, rest) for number in range(count)]
    _write(mm, table, level, va, np.array(made, np.uint64))


def make_huge(mm: Mm, area: Vma, pfn: int, *, writable: bool) -> int:
    """``make_huge_pte``"""
    assert area.pool is not None
    entries = mm.user.entries
    entry = entries.make(pfn << mm.user.page_shift, area.prot)
    entry = entries.mkwrite(entries.mkdirty(entry)) if writable else entries.wrprotect(entry)
    return arch_huge(mm, area.pool, entries.mkyoung(entry))


def arch_huge(mm: Mm, pool: HugePool, entry: int) -> int:
    """``arch_make_huge_pte``: the bits of a leaf of this size."""
    entries = mm.user.entries
    level, count = entry_level(mm, pool)
    if level < mm.tables.last:
        entry = entries.mkhuge(entry)
    return entries.mkcont(entry) if count > 1 else entry


def hugetlb_fault(fault: VmFault) -> None:
    """``hugetlb_fault``"""
    mm, area = fault.mm, fault.area
    assert area.pool is not None
    va = fault.va & -area.pool.size
    level, _ = entry_level(mm, area.pool)
    table = mm.tables.find(va, level, alloc=True)
    assert table is not None
    _, entry = get_huge(mm, area, va)
    if not entry:
        _no_page(fault, table, va)
        return
    entries = mm.user.entries
    if fault.write and not entries.write(entry):
        _write_protected(fault, table, va, entry)
        return
    wanted = entries.mkyoung(entries.mkdirty(entry) if fault.write else entry)
    set_huge_access(mm, area, table, va, wanted, dirty=fault.write)
    fault.settle("hugetlb_fault", "marked dirty" if fault.write else "marked young")


def set_huge_access(mm: Mm, area: Vma, table: int, va: int, wanted: int, *, dirty: bool) -> None:
    """``huge_ptep_set_access_flags``"""
    assert area.pool is not None
    entries = mm.user.entries
    _, count = entry_level(mm, area.pool)
    _, old = get_huge(mm, area, va)
    if entries.same(old, wanted):
        return
    if count > 1:
        set_huge(mm, area, table, va, wanted)
        return
    set_huge(mm, area, table, va, entries.with_access(old, wanted))
    if dirty or mm.user.arm:
        mm.flush_tlb_page(va)


def _no_page(fault: VmFault, table: int, va: int) -> None:
    """``hugetlb_no_page``: a page from the pool, zeroed; SIGBUS if it has none."""
    mm, area, user = fault.mm, fault.area, fault.mm.user
    pool = area.pool
    assert pool is not None
    index = va - area.start + (area.pgoff << user.page_shift) >> pool.size.bit_length() - 1
    pfn = area.huge_cache.pages.get(index) if area.huge_cache is not None else None
    if pfn is None:
        pfn = pool.take(area.reservation, va)
        if pfn is None:
            fault.signal = SIGBUS
            fault.settle("hugetlb_no_page", f"the pool of {pool.size >> 10}K pages is empty")
            return
        user.kernel.ram.zero(pfn << user.page_shift, pool.size)
        if area.huge_cache is not None:
            area.huge_cache.pages[index] = pfn
        else:
            mm.anon_vma_prepare(area)
            user.frames.set_exclusive(pfn, True)
    user.frames.add_rmap(pfn)
    shared_write = Vm.WRITE | Vm.SHARED
    writable = area.flags & shared_write == shared_write
    set_huge(mm, area, table, va, make_huge(mm, area, pfn, writable=writable))
    mm.hugetlb += pool.size
    if fault.write and not area.flags & Vm.SHARED:
        _, entry = get_huge(mm, area, va)
        _write_protected(fault, table, va, entry)
    fault.settle("hugetlb_no_page", f"a page of {pool.size >> 10}K at {pfn << user.page_shift:#x}")


def _write_protected(fault: VmFault, table: int, va: int, entry: int) -> None:
    """``hugetlb_wp``: reuse the page if nobody else maps it, or copy it."""
    mm, area, user = fault.mm, fault.area, fault.mm.user
    pool, entries = area.pool, user.entries
    assert pool is not None
    pfn = entries.address(entry) >> user.page_shift
    shared = area.flags & Vm.MAYSHARE
    if shared or (user.frames.mapcount(pfn) == 1 and area.huge_cache is None):
        if not shared:
            user.frames.set_exclusive(pfn, True)
        wanted = entries.mkwrite(entries.mkdirty(entry))
        set_huge_access(mm, area, table, va, wanted, dirty=True)
        fault.settle("hugetlb_wp", "nobody else has the page")
        return
    new = pool.take(area.reservation, va)
    if new is None:
        fault.signal = SIGBUS
        fault.settle("hugetlb_wp", f"the pool of {pool.size >> 10}K pages is empty")
        return
    copy_page(mm, pfn, new, pool.order)
    set_huge(mm, area, table, va, 0)
    mm.flush_tlb_range(va, va + pool.size)
    release(mm, pool, pfn)
    user.frames.add_rmap(new)
    user.frames.set_exclusive(new, True)
    set_huge(mm, area, table, va, make_huge(mm, area, new, writable=True))
    fault.settle("hugetlb_wp", f"copied from {pfn << user.page_shift:#x}")


def release(mm: Mm, pool: HugePool, pfn: int, *, cached: bool = False) -> None:
    """One mapping of a page less; the last gives it back, unless it is in a shared one's cache."""
    if mm.user.frames.remove_rmap(pfn) == 0 and not cached:
        mm.user.frames.set_exclusive(pfn, False)
        pool.give_back(pfn)


def _read(mm: Mm, table: int, level: int, va: int) -> int:
    if level == mm.tables.last:
        return mm.tables.get_pte(table, va)
    return mm.tables.read(table, level, va)


def _write(mm: Mm, table: int, level: int, va: int, made: NDArray[np.uint64]) -> None:
    if level == mm.tables.last:
        mm.tables.set_ptes(table, va, made)
        return
    stored = mm.user.entries.stored_many(made)
    mm.tables.writes.store(table, mm.tables.levels[level].index(va), stored)
