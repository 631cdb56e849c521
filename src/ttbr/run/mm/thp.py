"""Transparent huge pages: which sizes a fault may take (/sys/kernel/mm/transparent_hugepage).

khugepaged, which joins small pages later, is not modelled.

Source: mm/huge_memory.c (hugepage_init, __thp_vma_allowable_orders; 6.1: hugepage_vma_check),
include/linux/huge_mm.h, Documentation/admin-guide/mm/transhuge.rst.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import Vm
from ttbr.run.gfp import GFP_TRANSHUGE, GFP_TRANSHUGE_LIGHT, Gfp

if TYPE_CHECKING:
    from ttbr.run.kernel import RunningKernel
    from ttbr.run.mm.page_tables import TableLevel
    from ttbr.run.mm.vma import Vma

SMALL_SYSTEM = 512 << 20
"""Machines with less memory than this start with huge pages switched off."""
SMALLEST_ORDER = 2


class Enabled(StrEnum):
    """Who gets huge pages. INHERIT, of single sizes: as the setting for all says."""

    ALWAYS = "always"
    MADVISE = "madvise"
    NEVER = "never"
    INHERIT = "inherit"


@dataclass(slots=True)
class HugePageSettings:
    """``enabled``: the setting for all; ``sizes``: those of single orders (6.8 and later).

    ``pmd_order``: of the pages that a PMD maps, 0 where the kernel has no such pages.
    ``smaller``: pages of orders below that exist, too. ``zero_page``: reads are answered with a
    huge page of zeros (use_zero_page).
    """

    pmd_order: int
    smaller: bool
    enabled: Enabled = Enabled.NEVER
    sizes: dict[int, Enabled] = field(default_factory=dict)
    zero_page: bool = True

    @classmethod
    def of(cls, kernel: RunningKernel, levels: tuple[TableLevel, ...]) -> HugePageSettings:
        """The settings that a kernel starts with on its machine."""
        config = kernel.kernel.config
        order = levels[-2].shift - levels[-1].shift
        short = kernel.arch == "arm" and kernel.entry_size == 4
        if not config.enabled("TRANSPARENT_HUGEPAGE") or short or order > kernel.pages.max_order:
            return cls(0, False)
        enabled = Enabled.NEVER
        handed_over = kernel.machine.handed_over
        assert handed_over is not None
        if handed_over.totalram * kernel.page_size >= SMALL_SYSTEM:
            if config.enabled("TRANSPARENT_HUGEPAGE_ALWAYS"):
                enabled = Enabled.ALWAYS
            elif config.enabled("TRANSPARENT_HUGEPAGE_MADVISE"):
                enabled = Enabled.MADVISE
        smaller = kernel.kernel.release.has("anon_large_folios")
        return cls(order, smaller, enabled, {order: Enabled.INHERIT})

    def allows(self, area: Vma, order: int) -> bool:
        """``thp_vma_allowable_order`` for a fault of anonymous memory."""
        if not self.pmd_order or not area.is_anonymous or area.flags & Vm.NOHUGEPAGE:
            return False
        if order != self.pmd_order and not self.smaller:
            return False
        setting = self.sizes.get(order, Enabled.NEVER)
        if setting is Enabled.INHERIT:
            setting = self.enabled
        return setting is Enabled.ALWAYS or (
            setting is Enabled.MADVISE and bool(area.flags & Vm.HUGEPAGE)
        )

    def smaller_orders(self, area: Vma) -> list[int]:
        """The orders below a PMD's that an area may have, the largest first."""
        if not self.smaller:
            return []
        below = range(self.pmd_order - 1, SMALLEST_ORDER - 1, -1)
        return [order for order in below if self.allows(area, order)]


def gfp_of(area: Vma) -> Gfp:
    """``vma_thp_gfp_mask`` with defrag=madvise: how hard to try for a huge page."""
    return GFP_TRANSHUGE if area.flags & Vm.HUGEPAGE else GFP_TRANSHUGE_LIGHT
