"""Taking pages out of an address space: munmap, MADV_DONTNEED, exit.

Source: mm/memory.c: unmap_page_range, zap_pte_range, free_pgtables; mm/huge_memory.c: zap_huge_pmd;
mm/hugetlb.c: __unmap_hugepage_range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.user_entries import many
from ttbr.kernel.vm_flags import Vm
from ttbr.run.frames import Owner
from ttbr.run.mm.gather import Gather
from ttbr.run.mm.hugetlb_faults import entry_level, get_huge, release, set_huge
from ttbr.run.mm.mm import ANON, FILE
from ttbr.run.mm.pgd import free_root
from ttbr.run.mm.ptes import unfold
from ttbr.run.mm.thp_faults import split_pmd

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.vma import Vma


def zap_range(mm: Mm, area: Vma, start: int, end: int, gather: Gather) -> None:
    """``unmap_page_range``: forget the pages of [``start``, ``end``) of an area; tables stay."""
    if area.pool is not None:
        _zap_huge(mm, area, start, end, gather)
        return
    for span in list(mm.tables.spans(start, end)):
        if not span.entry:
            _zap_ptes(mm, area, span.table, span.start, span.end, gather)
        elif span.end - span.start == mm.user.pmd_size:
            _zap_pmd(mm, span.table, span.start, span.entry, gather)
        else:
            split_pmd(mm, area, span.start)
            table = mm.tables.pte_table(span.start)
            assert table is not None
            _zap_ptes(mm, area, table, span.start, span.end, gather)


def _zap_ptes(mm: Mm, area: Vma, table: int, start: int, end: int, gather: Gather) -> None:
    """``zap_pte_range``"""
    user, entries = mm.user, mm.user.entries
    if user.contiguous:
        # Only ranges that stick out are broken up first
        for va in (start, end):
            if va % (user.contiguous * user.page_size):
                unfold(mm, table, va if va == start else va - user.page_size)
    count = end - start >> user.page_shift
    old = mm.tables.get_ptes(table, start, count)
    there = np.flatnonzero(old)
    if not len(there):
        return
    mm.tables.set_ptes(table, start, np.zeros(count, np.uint64))
    first, last = (start + (int(at) << user.page_shift) for at in there[[0, -1]])
    gather.entries(first, last + user.page_size, user.page_size)
    old = old[there]
    if area.flags & Vm.PFNMAP:
        return
    pfns = many(entries.address, old) >> np.uint64(user.page_shift)
    counted = (pfns != np.uint64(user.zero_pfn)) & (many(entries.special, old) == 0)
    pfns = pfns[counted]
    if area.special is not None:
        mm.count(FILE, -len(pfns))
        return
    put_pages(mm, area, pfns)


def put_pages(mm: Mm, area: Vma, pfns: NDArray[np.uint64]) -> None:
    """Each page loses one mapping of this address space, and the reference that came with it."""
    folios, frames = mm.user.folios, mm.user.frames
    large = folios.in_large(pfns)
    single = pfns[~large]
    anon = int(np.count_nonzero(frames.owners(single) == Owner.ANON))
    mm.count(ANON, -anon)
    if area.file is not None:
        mm.count(area.file.counter, anon - len(single))
    mm.user.pages.free_bulk(frames.unmap(single))
    heads: dict[int, list[int]] = {}
    for pfn in pfns[large].tolist():
        heads.setdefault(folios.head(pfn)[0], []).append(pfn)
    for head, parts in heads.items():
        mm.count(ANON, -len(parts))
        for pfn in parts:
            if frames.remove_rmap(pfn) == 0:
                frames.set_exclusive(pfn, False)
        folios.put(head, len(parts))


def _zap_pmd(mm: Mm, table: int, start: int, entry: int, gather: Gather) -> None:
    """``zap_huge_pmd``"""
    user, level = mm.user, mm.tables.pmd_level
    count = 1 << user.thp.pmd_order
    mm.tables.write(table, level, start, 0)
    gather.entries(start, start + user.pmd_size, user.pmd_size)
    mm.tables.free_table(mm.tables.withdraw(table), mm.tables.last)
    pfn = user.entries.address(entry) >> user.page_shift
    if pfn != user.huge_zero:
        mm.count(ANON, -count)
        if user.frames.remove_rmap(pfn) == 0:
            user.frames.set_exclusive(pfn, False)
        user.folios.put(pfn)


def _zap_huge(mm: Mm, area: Vma, start: int, end: int, gather: Gather) -> None:
    """``__unmap_hugepage_range``; a page that is only touched stays."""
    pool = area.pool
    assert pool is not None
    level, _ = entry_level(mm, pool)
    for va in range(-(-start // pool.size) * pool.size, end - pool.size + 1, pool.size):
        table, entry = get_huge(mm, area, va)
        if table is None or not entry:
            continue
        set_huge(mm, area, table, va, 0)
        gather.entries(va, va + pool.size, mm.tables.levels[level].size)
        pfn = mm.user.entries.address(entry) >> mm.user.page_shift
        release(mm, pool, pfn, cached=_is_cached(area, pfn))
        mm.hugetlb -= pool.size


def _is_cached(area: Vma, pfn: int) -> bool:
    return area.huge_cache is not None and pfn in area.huge_cache.pages.values()


def free_tables(mm: Mm, areas: Sequence[Vma], floor: int, ceiling: int, gather: Gather) -> None:
    """``free_pgtables``: free what only these areas, now out of the list, had tables for.

    ``floor``: the end of the area before them. ``ceiling``: the start of the one behind, 0 for
    the end of the address space.
    """
    at = 0
    while at < len(areas):
        start, last = areas[at].start, at
        if areas[at].pool is None:
            while (
                last + 1 < len(areas)
                and areas[last + 1].pool is None
                and areas[last + 1].start <= areas[last].end + mm.user.pmd_size
            ):
                last += 1
        behind = areas[last + 1].start if last + 1 < len(areas) else ceiling
        mm.tables.free_range(start, areas[last].end, floor, behind, gather.table)
        at = last + 1


def let_go(mm: Mm, area: Vma) -> None:
    """What an area held beside its pages: promised huge pages, a file that nobody else has."""
    if area.pool is not None and area.reservation is not None:
        mine = {va for va in area.reservation.left if area.start <= va < area.end}
        area.reservation.left -= mine
        area.pool.reserved -= len(mine)
    if area.file is not None and not area.file.linked and not _mapped(mm, area):
        area.file.drop()
    if area.huge_cache is not None and area.pool is not None and not _mapped(mm, area):
        for pfn in area.huge_cache.pages.values():
            area.pool.give_back(pfn)
        area.huge_cache.pages.clear()


def _mapped(mm: Mm, area: Vma) -> bool:
    """Whether an area of any address space still has the file or the shared huge pages."""
    for other in mm.user.address_spaces:
        for each in other.vmas:
            if area.file is not None and each.file is area.file:
                return True
            if area.huge_cache is not None and each.huge_cache is area.huge_cache:
                return True
    return False


def exit_mm(mm: Mm) -> None:
    """``exit_mmap``, ``mmdrop``: give back all that an address space has, and its root."""
    user = mm.user
    areas = list(mm.vmas)
    gather = Gather(mm)
    for area in areas:
        zap_range(mm, area, area.start, area.end, gather)
    if mm.context.id:
        mm.flush_tlb_mm()
    for area in areas:
        mm.vmas.remove(area)
    free_tables(mm, areas, user.layout.first, user.layout.ceiling, gather)
    user.address_spaces.remove(mm)
    for area in areas:
        let_go(mm, area)
    user.kernel.cpus.destroy_context(mm.context)
    free_root(user, mm.tables)
