"""Faults of anonymous memory, and what all faults have in common.

Source: mm/memory.c: handle_mm_fault, handle_pte_fault, do_anonymous_page, do_wp_page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import Vm
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE, Gfp
from ttbr.run.mm import file_faults, hugetlb_faults, thp_faults
from ttbr.run.mm.mm import ANON, FILE
from ttbr.run.mm.ptes import (
    clear_pte,
    ptep_get,
    set_access_flags,
    set_pte_at,
    set_ptes,
)
from ttbr.run.mm.vm_fault import VmFault, copy_page, maybe_mkwrite, normal_pfn

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.vma import Vma


def handle_mm_fault(mm: Mm, area: Vma, va: int, *, write: bool) -> VmFault:
    """``handle_mm_fault``: bring in or change what an area's page needs.

    `OutOfMemory` if there is no memory for it.
    """
    fault = VmFault(mm, area, va & -mm.user.page_size, write)
    if area.pool is not None:
        hugetlb_faults.hugetlb_fault(fault)
    elif not thp_faults.huge_fault(fault):
        handle_pte_fault(fault)
    return fault


def handle_pte_fault(fault: VmFault) -> None:
    """``handle_pte_fault``"""
    mm, area, va = fault.mm, fault.area, fault.va
    entries = mm.user.entries
    table = mm.tables.pte_table(va)
    entry = 0 if table is None else ptep_get(mm, table, va)
    if table is None or not entry:
        if area.is_anonymous:
            do_anonymous_page(fault)
        else:
            file_faults.do_fault(fault)
        return
    if fault.write:
        if not entries.write(entry):
            do_wp_page(fault, table, entry)
            return
        entry = entries.mkdirty(entry)
    entry = entries.mkyoung(entry)
    set_access_flags(mm, table, va, entry, dirty=fault.write)
    fault.settle("handle_pte_fault", "marked dirty" if fault.write else "marked young")


def do_anonymous_page(fault: VmFault) -> None:
    """``do_anonymous_page``: the page of zeros for a read, a page of its own for a write."""
    mm, area, va = fault.mm, fault.area, fault.va
    user, entries = mm.user, mm.user.entries
    table = mm.tables.pte_table(va, alloc=True)
    assert table is not None, "a huge page is in the way"
    if not fault.write:
        zero = entries.make(user.zero_pfn << user.page_shift, area.prot)
        set_pte_at(mm, table, va, entries.mkspecial(zero))
        fault.settle("do_anonymous_page", "the page of zeros")
        return
    mm.anon_vma_prepare(area)
    pfn, order = _alloc_anon_folio(fault, table)
    count = 1 << order
    start = va & -(count << user.page_shift)
    entry = entries.make(pfn << user.page_shift, area.prot)
    if area.flags & Vm.WRITE:
        entry = entries.mkwrite(entries.mkdirty(entry))
    if order:
        user.folios.get(pfn, count - 1)
    for each in range(pfn, pfn + count):
        user.frames.add_rmap(each)
        user.frames.set_exclusive(each, True)
    mm.count(ANON, count)
    set_ptes(mm, table, start, entry, count)
    fault.settle("do_anonymous_page", f"{count} pages at {pfn << user.page_shift:#x}")


def _alloc_anon_folio(fault: VmFault, table: int) -> tuple[int, int]:
    """``alloc_anon_folio``: a zeroed folio as large as is allowed and fits: (frame, order)."""
    mm = fault.mm
    folios = mm.user.folios
    for order in thp_faults.orders_below_pmd(fault, table):
        found = thp_faults.try_large(fault, order)
        if found is not None:
            return found, order
    return folios.alloc(0, GFP_HIGHUSER_MOVABLE | Gfp.ZERO, Owner.ANON), 0


def do_wp_page(fault: VmFault, table: int, entry: int) -> None:
    """``do_wp_page``: a write to a page whose entry does not allow it, while the area does."""
    mm, area = fault.mm, fault.area
    user = mm.user
    pfn = normal_pfn(mm, area, entry)
    if area.flags & (Vm.SHARED | Vm.MAYSHARE):
        _reuse(fault, table, entry)
        fault.settle("wp_pfn_shared" if pfn is None else "wp_page_shared")
        return
    anon = pfn is not None and area.special is None and user.folios.is_anon(pfn)
    if pfn is not None and anon and (user.frames.exclusive(pfn) or _only_user(fault, pfn)):
        user.frames.set_exclusive(pfn, True)
        _reuse(fault, table, entry)
        fault.settle("wp_page_reuse", "nobody else has the page")
        return
    _copy(fault, table, pfn)


def _only_user(fault: VmFault, pfn: int) -> bool:
    """``wp_can_reuse_anon_folio``: this mapping is the only reference to a small folio."""
    folios = fault.mm.user.folios
    return folios.head(pfn)[1] == 0 and folios.references(pfn) == 1


def _reuse(fault: VmFault, table: int, entry: int) -> None:
    """``wp_page_reuse``"""
    entries = fault.mm.user.entries
    entry = maybe_mkwrite(fault, entries.mkdirty(entries.mkyoung(entry)))
    set_access_flags(fault.mm, table, fault.va, entry, dirty=True)


def _copy(fault: VmFault, table: int, pfn: int | None) -> None:
    """``wp_page_copy``: a page of its own, with what the old one has."""
    mm, area, va = fault.mm, fault.area, fault.va
    user, entries = mm.user, mm.user.entries
    mm.anon_vma_prepare(area)
    if pfn is None:
        new = user.folios.alloc(0, GFP_HIGHUSER_MOVABLE | Gfp.ZERO, Owner.ANON)
    else:
        new = user.folios.alloc(0, GFP_HIGHUSER_MOVABLE, Owner.ANON)
        copy_page(mm, pfn, new)
    entry = entries.make(new << user.page_shift, area.prot)
    entry = maybe_mkwrite(fault, entries.mkdirty(entry))
    clear_pte(mm, table, va)
    mm.flush_tlb_page(va)
    user.frames.add_rmap(new)
    user.frames.set_exclusive(new, True)
    set_pte_at(mm, table, va, entry)
    if pfn is None:
        mm.count(ANON, 1)
        fault.settle("wp_page_copy", f"zeros, now a page of its own at {new << user.page_shift:#x}")
        return
    if area.special is not None or not user.folios.is_anon(pfn):
        mm.count(area.file.counter if area.file is not None else FILE, -1)
        mm.count(ANON, 1)
    if area.special is None:
        user.frames.remove_rmap(pfn)
        user.folios.put(pfn)
    fault.settle("wp_page_copy", f"copied from {pfn << user.page_shift:#x}")
