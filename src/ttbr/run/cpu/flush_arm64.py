"""TLB maintenance as arm64's Linux issues it.

Source: arch/arm64/include/asm/tlbflush.h. Operations are named as the instructions that they are:
``vae1is`` TLBI VAE1IS (by address and ASID), ``vale1is`` (only what leads to the last level),
``vaae1is`` and ``vaale1is`` (any ASID), ``aside1is``, ``vmalle1is``; with ``r`` in front by range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ttbr.run.cpu.asids import USER_ASID
from ttbr.run.cpu.ops import Ops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ttbr.kernel.release import Release
    from ttbr.run.cpu.asids import Asids, MmContext
    from ttbr.run.cpu.cpu import CpuState
    from ttbr.run.cpu.features import Features
    from ttbr.run.events import RunLog

MOST_SCALE: Final = 3
LPA2_ALIGNMENT: Final = 1 << 16
"""Where operations by range may begin with LPA2, whose operands count in this unit."""


def range_pages(num: int, scale: int) -> int:
    """The pages that an operation by range covers (__TLBI_RANGE_PAGES)."""
    return num + 1 << 5 * scale + 1


class Arm64Flush:
    """Maintenance of all CPUs' TLBs, by the kernel's functions."""

    def __init__(
        self,
        cpus: Sequence[CpuState],
        asids: Asids,
        features: Features,
        log: RunLog,
        *,
        page_size: int,
        release: Release,
        lpa2: bool,
    ) -> None:
        self._cpus = cpus
        self._asids = asids
        self._kpti = features.kpti
        self._range = features.tlb_range
        self._log = log
        self._page = page_size
        self._lpa2 = lpa2
        self._from_large = release.has("arm64_tlbi_range_from_large")
        self._whole_range = release.has("arm64_tlbi_range_whole")
        self._most_ops = page_size // 8  # MAX_TLBI_OPS, MAX_DVM_OPS: PTRS_PER_PTE

    def flush_all(self) -> None:
        """flush_tlb_all(): everything, on every CPU."""
        ops = Ops("dsb ishst").add("vmalle1is")
        for cpu in self._cpus:
            cpu.tlb.invalidate_all()
        ops.log(self._log, "flush_tlb_all", "dsb ish; isb")

    def local_flush_all(self, cpu: CpuState) -> None:
        """local_flush_tlb_all(): everything, on one CPU."""
        cpu.tlb.invalidate_all()
        ops = Ops("dsb nshst").add("vmalle1")
        ops.log(self._log, "local_flush_tlb_all", "dsb nsh; isb", cpu=cpu.number)

    def flush_mm(self, context: MmContext) -> None:
        """flush_tlb_mm(): all that is of an address space's ASID."""
        ops = Ops("dsb ishst")
        for asid in self._own(context):
            ops.add("aside1is")
            for cpu in self._cpus:
                cpu.tlb.invalidate_asid(asid)
        ops.log(self._log, "flush_tlb_mm", "dsb ish", asid=self._asids.asid(context))

    def flush_page(self, context: MmContext, va: int, *, sync: bool = True) -> None:
        """flush_tlb_page(): one user page's last level; without ``sync`` …_nosync()."""
        ops = Ops("dsb ishst")
        for asid in self._own(context):
            ops.add("vale1is")
            for cpu in self._cpus:
                cpu.tlb.invalidate_va(va, asid, last_level=True)
        function = "flush_tlb_page" if sync else "flush_tlb_page_nosync"
        after = "dsb ish" if sync else ""
        asid = self._asids.asid(context)
        ops.log(self._log, function, after, va, va + self._page - 1, asid=asid)

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
        """__flush_tlb_range(): user addresses [``start``, ``end``) in steps of ``stride`` bytes.

        ``last_level``: no table was taken away. Too large a range costs the whole ASID.
        """
        stride = stride or self._page
        start, end = start - start % stride, -(-end // stride) * stride
        pages = (end - start) // self._page
        most = range_pages(31, MOST_SCALE) if self._from_large else range_pages(30, MOST_SCALE)
        too_many = pages > most if self._whole_range else pages >= most
        if (not self._range and end - start >= self._most_ops * stride) or too_many:
            self.flush_mm(context)
            return
        name = "vale1is" if last_level else "vae1is"
        ops = Ops("dsb ishst")
        asids = self._own(context)
        for kind, count in self._operations(name, start, pages, stride):
            ops.add(kind, count * len(asids))
        for asid in asids:
            self._invalidate(start, end, stride, asid, last_level=last_level)
        asid = self._asids.asid(context)
        ops.log(self._log, function, "dsb ish", start, end - 1, asid=asid)

    def flush_kernel_range(self, start: int, end: int) -> None:
        """flush_tlb_kernel_range(): kernel addresses of any ASID, last level only."""
        if end - start > self._most_ops * self._page:
            self.flush_all()
            return
        start, end = start - start % self._page, -(-end // self._page) * self._page
        count = (end - start) // self._page
        self._invalidate(start, end, self._page, None, last_level=True)
        ops = Ops("dsb ishst").add("vaale1is", count)
        ops.log(self._log, "flush_tlb_kernel_range", "dsb ish; isb", start, end - 1)

    def flush_kernel_page(self, va: int) -> None:
        """One kernel page: flush_tlb_kernel_range() of it."""
        start = va - va % self._page
        self.flush_kernel_range(start, start + self._page)

    def flush_kernel_table(self, va: int) -> None:
        """__flush_tlb_kernel_pgtable(): a table below which a kernel address was."""
        for cpu in self._cpus:
            cpu.tlb.invalidate_va(va, None, last_level=False)
        ops = Ops("dsb ishst").add("vaae1is")
        ops.log(self._log, "__flush_tlb_kernel_pgtable", "dsb ish; isb", va, va)

    def _own(self, context: MmContext) -> tuple[int, ...]:
        """The ASIDs of an address space: with KPTI user space has its own (__tlbi_user)."""
        asid = self._asids.asid(context)
        return (asid, asid | USER_ASID) if self._kpti else (asid,)

    def _invalidate(
        self, start: int, end: int, stride: int, asid: int | None, *, last_level: bool
    ) -> None:
        for cpu in self._cpus:
            if stride == self._page:
                cpu.tlb.invalidate_range(start, end, asid, last_level=last_level)
            else:
                for va in range(start, end, stride):
                    cpu.tlb.invalidate_va(va, asid, last_level=last_level)

    def _operations(self, name: str, start: int, pages: int, stride: int) -> list[tuple[str, int]]:
        """The operations of __flush_tlb_range_op(), by name, in order."""
        each = stride // self._page
        if not self._range:
            return [(name, -(-pages // each))]
        found: list[tuple[str, int]] = []
        scale = MOST_SCALE if self._from_large else 0
        while pages > 0:
            odd = pages == 1 if self._from_large else pages % 2 == 1
            unaligned = self._lpa2 and self._from_large and start % LPA2_ALIGNMENT
            if odd or unaligned:
                found.append((name, 1))
                start, pages = start + stride, pages - each
                continue
            shift = 5 * scale + 1
            if self._from_large:
                num = (min(pages, range_pages(31, scale)) >> shift) - 1
            else:
                num = (pages >> shift & 31) - 1
            if num >= 0:
                found.append((f"r{name}", 1))
                start += range_pages(num, scale) * self._page
                pages -= range_pages(num, scale)
            scale += -1 if self._from_large else 1
        return found
