"""The address space of a process (mm_struct)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import Vm
from ttbr.run.cpu.asids import MmContext
from ttbr.run.mm.page_tables import UserTables
from ttbr.run.mm.pgd import fill_root, free_root, new_root
from ttbr.run.mm.vma import Vma, VmaList

if TYPE_CHECKING:
    from ttbr.run.mm.user_space import UserSpace

ANON, FILE, SHMEM = "anon", "file", "shmem"
"""The counters of resident pages: RssAnon, RssFile, RssShmem of /proc/PID/status."""


class Mm:
    """An address space.

    ``tables``: its translation tables. ``context``: its ASID. ``vmas``: its areas. ``rss``:
    resident pages by kind. ``hugetlb``: bytes in pages of huge page pools. ``mmap_base``,
    ``start_brk``, ``brk``, ``start_stack``, ``stack_limit``: virtual addresses and bytes, set by
    exec.
    """

    def __init__(self, user: UserSpace) -> None:
        """An empty address space; `OutOfMemory`, and nothing taken, without memory for a root."""
        self.user = user
        kernel = user.kernel
        self.tables = UserTables(
            kernel.tables,
            user.pages,
            user.entries,
            user.levels,
            new_root(user),
            short=user.short,
            high_tables=user.arm and kernel.kernel.config.enabled("HIGHPTE"),
        )
        try:
            fill_root(user, self.tables)
        except BaseException:
            free_root(user, self.tables)
            raise
        self.context = MmContext(self.tables.root)
        user.address_spaces.append(self)
        self.vmas = VmaList(user.page_shift)
        self.rss = {ANON: 0, FILE: 0, SHMEM: 0}
        self.hugetlb = 0
        self.mmap_base = user.layout.stack_top
        self.start_brk = self.brk = 0
        self.start_stack = 0
        self.stack_limit = 0

    @property
    def pgd(self) -> int:
        """Physical address of the root table."""
        return self.tables.root

    def count(self, kind: str, pages: int) -> None:
        """``add_mm_counter``"""
        self.rss[kind] += pages

    def set_prot(self, area: Vma) -> None:
        """``vma_set_page_prot``: what the entries of an area carry.

        A shared file that has to be told of writes gets read-only entries at first.
        """
        flags = area.flags
        if self.wants_notice(area):
            flags &= ~Vm.SHARED
        area.prot = self.user.entries.page_prot(flags)

    def wants_notice(self, area: Vma) -> bool:
        """``vma_wants_writenotify``"""
        both = Vm.WRITE | Vm.SHARED
        return area.flags & both == both and area.file is not None and area.file.tracks_dirty

    def anon_vma_prepare(self, area: Vma) -> None:
        """``anon_vma_prepare``: what finds anonymous pages, a neighbour's if that will do."""
        if area.anon_vma is not None:
            return
        near = (self.vmas.after(area.end), self.vmas.before(area.start))
        for other in near:
            if other is None or other.anon_vma is None or other.inherited:
                continue
            if self._compatible(area, other):
                area.anon_vma = other.anon_vma
                return
        area.anon_vma = next(self.user.anon_vmas)

    def _compatible(self, area: Vma, other: Vma) -> bool:
        """``anon_vma_compatible``: neighbours that could be one but for their protection."""
        first, second = (area, other) if area.start < other.start else (other, area)
        changeable = Vm.READ | Vm.WRITE | Vm.EXEC
        return (
            first.end == second.start
            and first.file is second.file
            and not (first.flags ^ second.flags) & ~changeable
            and first.page_index(first.end, self.user.page_shift) == second.pgoff
        )

    # TLB maintenance

    def flush_tlb_page(self, va: int) -> None:
        """``flush_tlb_page``"""
        self.user.kernel.tlb.flush_page(self.context, va)

    def flush_tlb_range(
        self, start: int, end: int, *, stride: int = 0, last_level: bool = False
    ) -> None:
        """``flush_tlb_range``; ``stride``: bytes that each of the entries mapped."""
        self.user.kernel.tlb.flush_range(
            self.context, start, end, stride=stride or None, last_level=last_level
        )

    def flush_tlb_mm(self) -> None:
        """``flush_tlb_mm``"""
        self.user.kernel.tlb.flush_mm(self.context)
