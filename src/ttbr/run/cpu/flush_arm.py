"""TLB maintenance as 32-bit ARM's Linux issues it.

Source: arch/arm/include/asm/tlbflush.h, mm/tlb-v7.S, mm/tlb-v6.S and kernel/smp_tlb.c. Operations
have the names of DDI 0406C, B4.2.2: ``TLBIMVA`` by address and ASID, ``TLBIMVAA`` any ASID,
``TLBIASID``, ``TLBIALL``; ``IS`` behind for all CPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ttbr.run.cpu.ops import Ops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ttbr.boot.arm.state import ArmBoot
    from ttbr.run.cpu.asids import Asids, MmContext
    from ttbr.run.cpu.cpu import CpuState
    from ttbr.run.events import RunLog

PAGE: Final = 1 << 12
BROADCAST: Final = ("ID_MMFR3", 12)
"""ID_MMFR3.MaintBcst; below 2 TLB operations reach their own CPU only."""


class ArmFlush:
    """Maintenance of all CPUs' TLBs, by the kernel's functions."""

    def __init__(self, cpus: Sequence[CpuState], asids: Asids, boot: ArmBoot, log: RunLog) -> None:
        config = boot.config
        self._cpus = cpus
        self._asids = asids
        self._log = log
        self._smp = boot.smp
        self._any_asid = config.enabled("ARM_ERRATA_720789") and self._smp
        self._ipi = self._smp and boot.machine.cpu.field(*BROADCAST) < 2
        shared = self._smp and not self._ipi
        self._suffix = "IS" if shared else ""

    def flush_all(self) -> None:
        """flush_tlb_all(): everything, on every CPU."""
        for cpu in self._cpus:
            cpu.tlb.invalidate_all()
        self._ops("TLBIALL").log(self._log, "flush_tlb_all", "dsb ish; isb")

    def local_flush_all(self, cpu: CpuState) -> None:
        """local_flush_tlb_all(): everything, on one CPU."""
        cpu.tlb.invalidate_all()
        ops = Ops("dsb nshst").add("TLBIALL")
        ops.log(self._log, "local_flush_tlb_all", "dsb nsh; isb", cpu=cpu.number)

    def flush_mm(self, context: MmContext) -> None:
        """flush_tlb_mm(): all that is of an address space's ASID (erratum 720789: everything)."""
        asid = self._asids.asid(context)
        for cpu in self._cpus:
            if self._any_asid:
                cpu.tlb.invalidate_all()
            else:
                cpu.tlb.invalidate_asid(asid)
        ops = self._ops("TLBIALL" if self._any_asid else "TLBIASID")
        ops.log(self._log, "flush_tlb_mm", "dsb ish", asid=asid)

    def flush_page(self, context: MmContext, va: int, *, sync: bool = True) -> None:
        """flush_tlb_page(): one user page. ``sync`` makes no difference on arm."""
        asid = self._asids.asid(context)
        self._invalidate(va, va + 1, None if self._any_asid else asid)
        start = va - va % PAGE
        ops = self._ops("TLBIMVAA" if self._any_asid else "TLBIMVA")
        after = "dsb ish"
        ops.log(self._log, "flush_tlb_page", after, start, start + PAGE - 1, asid=asid)

    def flush_range(
        self,
        context: MmContext,
        start: int,
        end: int,
        *,
        stride: int | None = None,
        last_level: bool = False,
        function: str = "flush_tlb_range",
    ) -> None:
        """flush_tlb_range(): page by page, however many; ``stride`` makes no difference on arm.

        Nor does ``last_level``: every operation reaches walk caches.
        """
        asid = self._asids.asid(context)
        start, end = start - start % PAGE, end - end % PAGE
        pages = max(1, (end - start) // PAGE)
        end = start + pages * PAGE
        self._invalidate(start, end, None if self._any_asid else asid)
        ops = self._ops("TLBIMVAA" if self._any_asid else "TLBIMVA", pages, before="dsb ish")
        ops.log(self._log, function, "dsb ish", start, end - 1, asid=asid)

    def flush_kernel_range(self, start: int, end: int) -> None:
        """flush_tlb_kernel_range(): kernel addresses, page by page."""
        start, end = start - start % PAGE, end - end % PAGE
        pages = max(1, (end - start) // PAGE)
        end = start + pages * PAGE
        self._invalidate(start, end, None if self._any_asid else 0)
        ops = self._ops("TLBIMVAA" if self._any_asid else "TLBIMVA", pages, before="dsb ish")
        ops.log(self._log, "flush_tlb_kernel_range", "dsb ish; isb", start, end - 1)

    def flush_kernel_page(self, va: int) -> None:
        """flush_tlb_kernel_page(): one kernel page."""
        start = va - va % PAGE
        self._invalidate(start, start + PAGE, 0)
        ops = self._ops("TLBIMVA")
        after = "dsb ish; isb"
        ops.log(self._log, "flush_tlb_kernel_page", after, start, start + PAGE - 1)

    def flush_kernel_table(self, va: int) -> None:
        """A table below which a kernel address was: every operation reaches walk caches."""
        self.flush_kernel_page(va)

    def _invalidate(self, start: int, end: int, asid: int | None) -> None:
        for cpu in self._cpus:
            if end - start <= PAGE:
                cpu.tlb.invalidate_va(start, asid, last_level=False)
            else:
                cpu.tlb.invalidate_range(start, end, asid, last_level=False)

    def _ops(self, name: str, count: int = 1, before: str = "dsb ishst") -> Ops:
        """Operations of one kind; on cores without broadcast every CPU runs them (by IPI)."""
        runs = count * (len(self._cpus) if self._ipi else 1)
        return Ops(before).add(name + self._suffix, runs)
