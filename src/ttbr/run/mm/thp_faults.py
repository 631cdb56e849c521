"""Faults of transparent huge pages, and splitting them.

Source: mm/huge_memory.c: do_huge_pmd_anonymous_page, do_huge_pmd_wp_page, __split_huge_pmd_locked;
mm/memory.c: __handle_mm_fault, alloc_anon_folio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ttbr.kernel.vm_flags import Vm
from ttbr.run.frames import Owner
from ttbr.run.gfp import Gfp
from ttbr.run.mm.mm import ANON
from ttbr.run.mm.ptes import set_ptes
from ttbr.run.mm.thp import gfp_of
from ttbr.run.oom import OutOfMemory

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.vm_fault import VmFault
    from ttbr.run.mm.vma import Vma


def huge_fault(fault: VmFault) -> bool:
    """The part of ``__handle_mm_fault`` about PMDs; whether the fault is settled."""
    mm, va = fault.mm, fault.va
    if not mm.user.thp.pmd_order:
        return False
    level = mm.tables.pmd_level
    table = mm.tables.find(va, level, alloc=True)
    assert table is not None
    entry = mm.tables.read(table, level, va)
    if not entry:
        allowed = mm.user.thp.allows(fault.area, mm.user.thp.pmd_order)
        return allowed and _anonymous(fault, table)
    if mm.user.entries.is_table(entry):
        return False
    if fault.write and not mm.user.entries.write(entry):
        return _write_protected(fault, table, entry)
    _touch(fault, table, entry)
    fault.settle("huge_pmd_set_accessed", "marked dirty" if fault.write else "marked young")
    return True


def _touch(fault: VmFault, table: int, entry: int) -> None:
    """``touch_pmd``"""
    mm, entries = fault.mm, fault.mm.user.entries
    wanted = entries.mkyoung(entry)
    if fault.write:
        wanted = entries.mkdirty(wanted)
    set_pmd_access(mm, table, fault.va, entry, wanted, dirty=fault.write)


def set_pmd_access(mm: Mm, table: int, va: int, old: int, wanted: int, *, dirty: bool) -> None:
    """``pmdp_set_access_flags``"""
    entries, level = mm.user.entries, mm.tables.pmd_level
    if entries.same(old, wanted):
        return
    mm.tables.write(table, level, va, entries.stored_pmd(entries.with_access(old, wanted)))
    if dirty or mm.user.arm:
        start = va & -mm.user.pmd_size
        mm.flush_tlb_range(start, start + mm.user.pmd_size)


def _anonymous(fault: VmFault, table: int) -> bool:
    """``do_huge_pmd_anonymous_page``; False to go on with small pages."""
    mm, area, user = fault.mm, fault.area, fault.mm.user
    start = fault.va & -user.pmd_size
    if start < area.start or start + user.pmd_size > area.end:
        return False
    mm.anon_vma_prepare(area)
    order, entries, level = user.thp.pmd_order, user.entries, mm.tables.pmd_level
    if not fault.write and user.thp.zero_page:
        deposit = mm.tables.spare_table(mm.tables.last)
        try:
            zero = user.huge_zero_pfn()
        except OutOfMemory:
            user.pages.free_pages(deposit >> user.page_shift, 0)
            return False
        entry = entries.mkhuge(entries.make(zero << user.page_shift, area.prot))
        mm.tables.deposit(table, deposit)
        mm.tables.write(table, level, start, entries.stored_pmd(entry))
        fault.settle("do_huge_pmd_anonymous_page", "the huge page of zeros")
        return True
    try:
        pfn = user.folios.alloc(order, gfp_of(area) | Gfp.ZERO, Owner.ANON)
    except OutOfMemory:
        return False
    try:
        deposit = mm.tables.spare_table(mm.tables.last)
    except OutOfMemory:
        user.folios.put(pfn)
        raise
    entry = entries.mkhuge(entries.make(pfn << user.page_shift, area.prot))
    entry = entries.mkdirty(entry)
    if area.flags & Vm.WRITE:
        entry = entries.mkwrite(entry)
    user.frames.add_rmap(pfn)
    user.frames.set_exclusive(pfn, True)
    mm.tables.deposit(table, deposit)
    mm.tables.write(table, level, start, entries.stored_pmd(entry))
    mm.count(ANON, 1 << order)
    fault.settle("do_huge_pmd_anonymous_page", f"a huge page at {pfn << user.page_shift:#x}")
    return True


def _write_protected(fault: VmFault, table: int, entry: int) -> bool:
    """``do_huge_pmd_wp_page``: reuse the page, or split the mapping and go on with small pages."""
    mm, user = fault.mm, fault.mm.user
    entries = user.entries
    pfn = entries.address(entry) >> user.page_shift
    alone = user.frames.exclusive(pfn) or user.folios.references(pfn) == 1
    if alone and pfn != user.huge_zero:
        user.frames.set_exclusive(pfn, True)
        wanted = entries.mkdirty(entries.mkyoung(entry))
        if fault.area.flags & Vm.WRITE:
            wanted = entries.mkwrite(wanted)
        set_pmd_access(mm, table, fault.va, entry, wanted, dirty=True)
        fault.settle("do_huge_pmd_wp_page", "nobody else has the huge page")
        return True
    split_pmd(mm, fault.area, fault.va)
    return False


def split_pmd(mm: Mm, area: Vma, va: int) -> None:
    """``__split_huge_pmd``: map a huge page by the entries of a table; nothing if there is none."""
    user, entries, level = mm.user, mm.user.entries, mm.tables.pmd_level
    table = mm.tables.find(va, level)
    if table is None:
        return
    entry = mm.tables.read(table, level, va)
    if not entry or entries.is_table(entry):
        return
    start = va & -user.pmd_size
    pfn = entries.address(entry) >> user.page_shift
    count = 1 << user.thp.pmd_order
    mm.tables.write(table, level, start, 0)
    mm.flush_tlb_range(start, start + user.pmd_size)
    below = mm.tables.withdraw(table)
    if pfn == user.huge_zero:
        small = entries.mkspecial(entries.make(user.zero_pfn << user.page_shift, area.prot))
        mm.tables.set_ptes(below, start, np.full(count, small, np.uint64))
    else:
        _map_parts(mm, area, below, start, entry, pfn)
    mm.tables.populate(table, level, start, below)


def _map_parts(mm: Mm, area: Vma, table: int, start: int, entry: int, pfn: int) -> None:
    """The entries for the pages of a huge page that was mapped as a whole."""
    user, entries = mm.user, mm.user.entries
    count = 1 << user.thp.pmd_order
    small = entries.make(pfn << user.page_shift, area.prot)
    if entries.write(entry):
        small = entries.mkwrite(small)
    if not entries.young(entry):
        small = entries.mkold(small)
    if entries.dirty(entry):
        small = entries.mkdirty(small)
    exclusive = user.frames.exclusive(pfn)
    user.frames.remove_rmap(pfn)
    user.folios.get(pfn, count - 1)
    parts = np.arange(pfn, pfn + count, dtype=np.uint64)
    user.frames.map_new(parts, Owner.ANON, exclusive=exclusive)
    set_ptes(mm, table, start, small, count)


def orders_below_pmd(fault: VmFault, table: int) -> list[int]:
    """Orders of large folios that fit around the fault and have no entry in their way."""
    mm, area, va = fault.mm, fault.area, fault.va
    fitting: list[int] = []
    for order in mm.user.thp.smaller_orders(area):
        size = mm.user.page_size << order
        start = va & -size
        if start < area.start or start + size > area.end:
            continue
        if fitting or not mm.tables.get_ptes(table, start, 1 << order).any():
            fitting.append(order)
    return fitting


def try_large(fault: VmFault, order: int) -> int | None:
    """A zeroed folio of an order, or None if there is none to be had easily."""
    user = fault.mm.user
    try:
        return user.folios.alloc(order, gfp_of(fault.area) | Gfp.ZERO, Owner.ANON)
    except OutOfMemory:
        return None
