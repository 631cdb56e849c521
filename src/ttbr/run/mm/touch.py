"""Bringing in the pages of a whole range, table by table where nothing special is about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ttbr.kernel.vm_flags import Vm
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE, Gfp
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.memory import handle_mm_fault
from ttbr.run.mm.mm import ANON
from ttbr.run.mm.ptes import ptep_get

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.vma import Vma


def touch(mm: Mm, start: int, size: int, *, write: bool) -> int:
    """What faults on every page of a range leave behind, in their order; how many pages faulted.

    `SyscallError` where nothing is mapped or the access is not allowed: the pages before are in.
    """
    page = mm.user.page_size
    at, end = start & -page, start + size
    found = 0
    while at < end:
        area = mm.vmas.at(at)
        wanted = Vm.WRITE if write else Vm.READ | Vm.EXEC
        if area is None or not area.flags & wanted:
            raise SyscallError("touch", "EFAULT", f"address {at:#x}")
        stop = min(-(-end // page) * page, area.end)
        if write and _is_plain(mm, area):
            found += _touch_plain(mm, area, at, stop)
        else:
            found += sum(_touch_page(mm, area, va, write=write) for va in range(at, stop, page))
        at = stop
    return found


def _is_plain(mm: Mm, area: Vma) -> bool:
    """Whether each page of an area is on its own: anonymous memory that gets no huge pages."""
    thp = mm.user.thp
    huge = thp.allows(area, thp.pmd_order) or bool(thp.smaller_orders(area))
    return area.is_anonymous and not huge


def _touch_plain(mm: Mm, area: Vma, start: int, end: int) -> int:
    """Pages of `_is_plain` areas: all that have no entry in a table at once."""
    span = mm.user.pmd_size
    found = 0
    while start < end:
        stop = min((start & -span) + span, end)
        found += _touch_table(mm, area, start, stop)
        start = stop
    return found


def _touch_table(mm: Mm, area: Vma, start: int, end: int) -> int:
    user, entries = mm.user, mm.user.entries
    shift = np.uint64(user.page_shift)
    table = mm.tables.pte_table(start, alloc=True)
    if table is None:
        return sum(
            _touch_page(mm, area, va, write=True) for va in range(start, end, user.page_size)
        )
    old = mm.tables.get_ptes(table, start, end - start >> user.page_shift)
    missing = old == 0
    count = int(np.count_nonzero(missing))
    if count:
        mm.anon_vma_prepare(area)
        pfns = user.pages.alloc_bulk(count, GFP_HIGHUSER_MOVABLE | Gfp.ZERO)
        user.frames.map_new(pfns, Owner.ANON, exclusive=True)
        mm.count(ANON, count)
        prot = entries.mkwrite(entries.mkdirty(area.prot))
        new = old.copy()
        new[missing] = entries.make_many(pfns << shift, prot)
        mm.tables.set_ptes(table, start, new)
    for at in np.flatnonzero(~missing).tolist():
        count += _touch_page(mm, area, start + at * user.page_size, write=True)
    return count


def _touch_page(mm: Mm, area: Vma, va: int, *, write: bool) -> int:
    """A fault, if an access to the page would take one; 1 if it did."""
    entries = mm.user.entries
    if area.pool is None:
        table = mm.tables.pte_table(va)
        entry = 0 if table is None else ptep_get(mm, table, va)
        settled = entries.young(entry) and entries.present(entry)
        if write:
            settled = settled and entries.write(entry) and entries.dirty(entry)
        if settled:
            return 0
    fault = handle_mm_fault(mm, area, va, write=write)
    if fault.signal:
        raise SyscallError("touch", "EFAULT", f"address {va:#x}: {fault.detail}")
    return 1
