"""What a process has mapped, page by page or huge page by huge page, for files of /proc/PID.

Source: mm/pagewalk.c: walk_page_range, walk_page_test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ttbr.kernel.vm_flags import Vm
from ttbr.run.mm.mm import Mm
from ttbr.run.mm.vma import Vma


@dataclass(frozen=True, slots=True)
class Mapped:
    """An entry that names a page: ``size`` bytes at ``va`` from frame ``pfn`` on.

    ``counted``: a struct page counts the mapping (vm_normal_page), ``users`` times in all, and
    ``anonymous`` says that it is one of anonymous memory. ``young``, ``dirty``: as Linux's entry
    has it.
    """

    va: int
    size: int
    pfn: int
    counted: bool
    users: int
    anonymous: bool
    young: bool
    dirty: bool


def mapped(mm: Mm, area: Vma) -> Iterator[Mapped]:
    """The pages of an area by address; what is present for Linux alone (PROT_NONE) among them.

    Memory that is mapped by frame numbers is passed over (walk_page_test).
    """
    if area.flags & Vm.PFNMAP:
        return
    entries, tables = mm.user.entries, mm.tables
    page = mm.user.page_size
    for span in tables.spans(area.start, area.end):
        if span.entry:
            size = tables.levels[span.level].size
            yield _one(mm, area, span.start, size, span.entry, huge=True)
            continue
        count = (span.end - span.start) // page
        found = tables.get_ptes(span.table, span.start, count)
        for row in found.nonzero()[0].tolist():
            entry = int(found[row])
            if entries.present(entry):
                yield _one(mm, area, span.start + row * page, page, entry, huge=False)


def _one(mm: Mm, area: Vma, va: int, size: int, entry: int, *, huge: bool) -> Mapped:
    user = mm.user
    entries = user.entries
    pfn = entries.address(entry) >> user.page_shift
    zero = pfn == user.zero_pfn or (user.huge_zero is not None and pfn == user.huge_zero)
    special = not huge and bool(entries.special(entry))
    counted = not zero and not special
    if area.pool is not None:
        head = pfn & -(1 << area.pool.order)
        anonymous = not area.flags & Vm.MAYSHARE
    else:
        head, _ = user.folios.head(pfn)
        anonymous = counted and user.folios.is_anon(pfn)
    users = user.frames.mapcount(pfn) or user.frames.mapcount(head)
    return Mapped(
        va=va,
        size=size,
        pfn=pfn,
        counted=counted,
        users=max(users, 1),
        anonymous=anonymous,
        young=bool(entries.young(entry)),
        dirty=bool(entries.dirty(entry)),
    )
