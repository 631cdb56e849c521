"""What all processes of a running kernel share: layouts, entries, special pages, settings."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_TRANSHUGE, Gfp
from ttbr.run.mm.arch import (
    contiguous_ptes,
    has_bti,
    has_execute_only,
    sets_access_flag,
    table_levels,
    user_entries,
    zero_page,
)
from ttbr.run.mm.folios import Folios
from ttbr.run.mm.hugetlb import HugePools
from ttbr.run.mm.pgd import SmallRoots
from ttbr.run.mm.special import special_mappings
from ttbr.run.mm.thp import HugePageSettings
from ttbr.run.mm.user_layout import user_layout

if TYPE_CHECKING:
    from ttbr.run.kernel import RunningKernel
    from ttbr.run.mm.mm import Mm

FAULT_AROUND_BYTES = 65536


class UserSpace:
    """User space of one running kernel.

    ``entries``: how user entries are made. ``levels``: of a process's tables. ``layout``: the
    bounds of user space. ``zero_pfn``: frame of the page of zeros. ``execute_only``: code need not
    be readable (Enhanced PAN). ``old_prefaulted``: pages that are mapped ahead of their use are old
    (arch_wants_old_prefaulted_pte). ``contiguous``: how many entries Linux joins by itself, 0 for
    none. ``thp``, ``pools``: huge pages; ``huge_zero``: frame of the huge page of zeros once there
    is one. ``special``: vDSO and the like. ``address_spaces``: all there are. ``unknowns``: what of
    all this is not known.
    """

    def __init__(self, kernel: RunningKernel) -> None:
        machine = kernel.machine
        self.kernel = kernel
        self.pages = kernel.pages
        self.frames = kernel.pages.frames
        self.folios = Folios(kernel.pages)
        self.page_size = kernel.page_size
        self.page_shift = kernel.page_size.bit_length() - 1
        self.arm = kernel.arch == "arm"
        self.short = self.arm and kernel.entry_size == 4
        self.entries = user_entries(machine)
        self.execute_only = has_execute_only(machine)
        self.bti = has_bti(machine)
        self.levels = table_levels(machine)
        self.layout = user_layout(machine)
        self.zero_pfn = zero_page(machine) >> self.page_shift
        self.old_prefaulted = sets_access_flag(machine)
        self.contiguous = contiguous_ptes(machine)
        self.fault_around = max(FAULT_AROUND_BYTES >> self.page_shift, 1)
        self.small_roots = SmallRoots(kernel, self.levels[0].entries * 8)
        self.special, self.unknowns = special_mappings(kernel)
        self.thp = HugePageSettings.of(kernel, self.levels)
        self.pools = HugePools(self)
        self.anon_vmas = count(1)
        self.huge_zero: int | None = None
        self.address_spaces: list[Mm] = []

    def huge_zero_pfn(self) -> int:
        """``get_huge_zero_page``: the huge page of zeros; `OutOfMemory` without room for it."""
        if self.huge_zero is None:
            gfp = (GFP_TRANSHUGE | Gfp.ZERO) & ~Gfp.MOVABLE
            self.huge_zero = self.folios.alloc(self.thp.pmd_order, gfp, Owner.KERNEL)
        return self.huge_zero

    @property
    def pmd_size(self) -> int:
        """Bytes that a table of the last level maps."""
        return self.levels[-2].size
