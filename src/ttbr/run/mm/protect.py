"""mprotect and madvise: changing what an area may be used for.

Source: mm/mprotect.c (mprotect_fixup, change_pte_range, can_change_pte_writable),
mm/huge_memory.c (change_huge_pmd), mm/hugetlb.c (hugetlb_change_protection), mm/madvise.c.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.user_entries import many
from ttbr.kernel.vm_flags import ACCESS, Madvise, Prot, Vm, vm_flags_of
from ttbr.run.frames import Owner
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.gather import Gather
from ttbr.run.mm.hugetlb_faults import arch_huge, entry_level, get_huge, set_huge
from ttbr.run.mm.ptes import set_pte_at, unfold
from ttbr.run.mm.thp_faults import split_pmd
from ttbr.run.mm.unmap import zap_range

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.page_tables import Span
    from ttbr.run.mm.vma import Vma

MAY_SHIFT = 4
"""From VM_MAYREAD and so on to VM_READ."""
_FLAGS: dict[Madvise, tuple[Vm, Vm]] = {
    Madvise.NORMAL: (Vm.NONE, Vm.NONE),
    Madvise.DONTFORK: (Vm.DONTCOPY, Vm.NONE),
    Madvise.DOFORK: (Vm.NONE, Vm.DONTCOPY),
    Madvise.WIPEONFORK: (Vm.WIPEONFORK, Vm.NONE),
    Madvise.KEEPONFORK: (Vm.NONE, Vm.WIPEONFORK),
    Madvise.HUGEPAGE: (Vm.HUGEPAGE, Vm.NOHUGEPAGE),
    Madvise.NOHUGEPAGE: (Vm.NOHUGEPAGE, Vm.HUGEPAGE),
}
"""The flags that an advice sets and clears."""


def do_mprotect(mm: Mm, start: int, size: int, prot: Prot) -> int:
    """``do_mprotect_pkey``: another protection for a range; how many entries were changed.

    One area after the other: those before a hole, or one that refuses, are changed.
    """
    end = _end(mm, "mprotect", start, size)
    if prot & Prot.BTI and not mm.user.bti:
        raise SyscallError("mprotect", "EINVAL", "neither kernel nor CPU guards branches")
    access = vm_flags_of(prot, bti=mm.user.bti)
    changed, at = 0, start
    try:
        for area in mm.vmas.overlapping(start, end):
            if area.start > at:
                break
            at = area.end
            flags = area.flags & ~(ACCESS | Vm.ARM64_BTI) | access
            if flags & ACCESS & ~Vm(area.flags >> MAY_SHIFT):
                raise SyscallError("mprotect", "EACCES", f"not for the area at {area.start:#x}")
            if flags != area.flags:
                for part in _isolate(mm, "mprotect", area, start, end):
                    changed += _fixup(mm, part, flags)
    finally:
        mm.vmas.join(start, end)
    if at < end:
        raise SyscallError("mprotect", "ENOMEM", f"nothing is mapped at {at:#x}")
    return changed


def _fixup(mm: Mm, area: Vma, flags: Vm) -> int:
    """``mprotect_fixup`` of a whole area."""
    uncharged = Vm.ACCOUNT | Vm.WRITE | Vm.HUGETLB | Vm.SHARED | Vm.NORESERVE
    if flags & Vm.WRITE and not area.flags & uncharged:
        flags |= Vm.ACCOUNT
    area.flags = flags
    mm.set_prot(area)
    restores = bool(flags & Vm.WRITE)
    if flags & Vm.SHARED:
        restores = mm.wants_notice(area)
    gather = Gather(mm)
    if area.pool is not None:
        changed = _change_pool(mm, area, gather)
    else:
        changed = sum(
            _change_pmd(mm, area, span, gather, restores=restores)
            if span.entry
            else _change_ptes(mm, area, span, gather, restores=restores)
            for span in list(mm.tables.spans(area.start, area.end))
        )
    gather.finish()
    return changed


def _change_pmd(mm: Mm, area: Vma, span: Span, gather: Gather, *, restores: bool) -> int:
    """``change_huge_pmd``, or a split where only a part changes."""
    user, entries, level = mm.user, mm.user.entries, mm.tables.pmd_level
    if span.end - span.start != user.pmd_size:
        split_pmd(mm, area, span.start)
        table = mm.tables.pte_table(span.start)
        assert table is not None
        below = type(span)(span.start, span.end, table, mm.tables.last)
        return _change_ptes(mm, area, below, gather, restores=restores)
    mm.tables.write(span.table, level, span.start, 0)
    mm.flush_tlb_range(span.start, span.end)
    entry = entries.modify(span.entry, area.prot)
    pfn = entries.address(entry) >> user.page_shift
    release = user.kernel.kernel.release
    restores = restores and release.has("mprotect_restores_write")
    if restores and not entries.write(entry) and user.frames.exclusive(pfn):
        entry = entries.mkwrite(entry)
    mm.tables.write(span.table, level, span.start, entries.stored_pmd(entry))
    gather.entries(span.start, span.end, user.pmd_size)
    return 1


def _change_ptes(mm: Mm, area: Vma, span: Span, gather: Gather, *, restores: bool) -> int:
    """``change_pte_range``"""
    user, entries = mm.user, mm.user.entries
    count = span.end - span.start >> user.page_shift
    old = mm.tables.get_ptes(span.table, span.start, count)
    there = old != 0
    if not there.any():
        return 0
    gather.entries(span.start, span.end, user.page_size)
    if user.contiguous and many(entries.cont, old).any():
        return _change_folded(mm, area, span, restores=restores)
    new = many(partial(entries.modify, prot=area.prot), old)
    if restores:
        chosen = there & _may_restore(mm, area, new)
        new = np.where(chosen, many(entries.mkwrite, new), new)
    mm.tables.set_ptes(span.table, span.start, np.where(there, new, old))
    if user.contiguous:
        _fold_again(mm, span, new, there)
    return int(np.count_nonzero(there))


def _may_restore(mm: Mm, area: Vma, entries_now: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """``can_change_pte_writable``: which entries need no fault before the first write."""
    user, entries = mm.user, mm.user.entries
    chosen: NDArray[np.bool_] = many(entries.write, entries_now) == 0
    dirty = many(entries.dirty, entries_now) != 0
    if area.flags & Vm.SHARED:
        chosen &= dirty
        return chosen
    if not user.kernel.kernel.release.has("mprotect_restores_write"):
        chosen &= dirty
    chosen &= many(entries.special, entries_now) == 0
    if area.special is not None:
        chosen[:] = False
    pfns = many(entries.address, entries_now) >> np.uint64(user.page_shift)
    for at in np.flatnonzero(chosen).tolist():
        pfn = int(pfns[at])
        anon = user.frames.owner(pfn) is Owner.ANON and pfn != user.zero_pfn
        chosen[at] = anon and user.frames.exclusive(pfn)
    return chosen


def _change_folded(mm: Mm, area: Vma, span: Span, *, restores: bool) -> int:
    """`_change_ptes` one by one, where contiguous ranges are broken up and joined on the way."""
    user, entries = mm.user, mm.user.entries
    changed = 0
    for va in range(span.start, span.end, user.page_size):
        if not mm.tables.get_pte(span.table, va):
            continue
        unfold(mm, span.table, va)
        old = mm.tables.get_pte(span.table, va)
        mm.tables.set_pte(span.table, va, 0)
        new = entries.modify(old, area.prot)
        if restores and _may_restore(mm, area, np.array([new], np.uint64))[0]:
            new = entries.mkwrite(new)
        set_pte_at(mm, span.table, va, new)
        changed += 1
    return changed


def _fold_again(mm: Mm, span: Span, new: NDArray[np.uint64], there: NDArray[np.bool_]) -> None:
    """Store the last entry of each whole range of a large folio again, so that it is joined."""
    step = mm.user.contiguous
    pfns = many(mm.user.entries.address, new) >> np.uint64(mm.user.page_shift)
    large = there & mm.user.folios.in_large(pfns)
    for at in np.flatnonzero(large).tolist():
        va = span.start + at * mm.user.page_size
        if va >> mm.user.page_shift & step - 1 == step - 1:
            set_pte_at(mm, span.table, va, int(new[at]))


def _change_pool(mm: Mm, area: Vma, gather: Gather) -> int:
    """``hugetlb_change_protection``"""
    pool, entries = area.pool, mm.user.entries
    assert pool is not None
    changed = 0
    level, _ = entry_level(mm, pool)
    for va in range(area.start, area.end, pool.size):
        table, entry = get_huge(mm, area, va)
        if table is None or not entry:
            continue
        set_huge(mm, area, table, va, 0)
        entry = arch_huge(mm, pool, entries.modify(entry, area.prot))
        set_huge(mm, area, table, va, entry)
        gather.entries(va, va + pool.size, mm.tables.levels[level].size)
        changed += 1
    return changed


def do_madvise(mm: Mm, start: int, size: int, advice: Madvise) -> None:
    """``do_madvise``: holes are an error, but what is mapped is advised."""
    end = _end(mm, "madvise", start, size)
    huge = advice in (Madvise.HUGEPAGE, Madvise.NOHUGEPAGE)
    if huge and not mm.user.kernel.kernel.config.enabled("TRANSPARENT_HUGEPAGE"):
        raise SyscallError("madvise", "EINVAL", "this kernel has no transparent huge pages")
    hole, at = None, start
    try:
        for area in mm.vmas.overlapping(start, end):
            if area.start > at:
                hole = at
            at = area.end
            _advise(mm, area, start, end, advice)
    finally:
        mm.vmas.join(start, end)
    if at < end or hole is not None:
        raise SyscallError("madvise", "ENOMEM", "not all of the range is mapped")


def _advise(mm: Mm, area: Vma, start: int, end: int, advice: Madvise) -> None:
    """``madvise_vma_behavior``: the part of one area in [``start``, ``end``)."""
    _check_advice(area, advice)
    if advice is Madvise.DONTNEED:
        first, behind = max(start, area.start), min(end, area.end)
        if area.pool is not None:
            if first % area.pool.size:
                raise SyscallError("madvise", "EINVAL", f"a huge page would be cut at {first:#x}")
            behind -= behind % area.pool.size
        if first < behind:
            gather = Gather(mm)
            zap_range(mm, area, first, behind, gather)
            gather.finish()
        return
    added, removed = _FLAGS.get(advice, (Vm.NONE, Vm.NONE))
    flags = area.flags & ~removed | added
    if flags == area.flags:
        return
    for part in _isolate(mm, "madvise", area, start, end):
        part.flags = flags
        for va in (part.start, part.end):
            if part.pool is None and va % mm.user.pmd_size:
                split_pmd(mm, part, va)  # vma_adjust_trans_huge()


def _check_advice(area: Vma, advice: Madvise) -> None:
    by_file = area.file is not None or area.pool is not None
    if advice is Madvise.WIPEONFORK and (by_file or area.flags & Vm.SHARED):
        raise SyscallError("madvise", "EINVAL", "only private anonymous memory can be wiped")
    refused = {Madvise.DOFORK: Vm.IO, Madvise.DONTNEED: Vm.PFNMAP}.get(advice, Vm.NONE)
    if area.flags & refused:
        raise SyscallError("madvise", "EINVAL", f"not for the area at {area.start:#x}")


def _isolate(mm: Mm, call: str, area: Vma, start: int, end: int) -> list[Vma]:
    """``split_vma``: the part of an area in [``start``, ``end``) as an area of its own."""
    for va in (start, end):
        if not area.start < va < area.end:
            continue
        if area.pool is not None and va % area.pool.size:
            raise SyscallError(call, "EINVAL", f"a huge page would be cut at {va:#x}")
        if area.special is not None:
            raise SyscallError(call, "EINVAL", f"{area.special.name} cannot be cut")
    return mm.vmas.isolate(max(start, area.start), min(end, area.end))


def _end(mm: Mm, call: str, start: int, size: int) -> int:
    """The end of a range, in whole pages."""
    page = mm.user.page_size
    if start % page or size < 0:
        raise SyscallError(call, "EINVAL", f"{size:#x} bytes at {start:#x}")
    return start + -(-size // page) * page
