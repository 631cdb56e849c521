"""TLB maintenance, by what it is for; each architecture has its own operations for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ttbr.run.cpu.asids import MmContext
    from ttbr.run.cpu.cpu import CpuState


class Flush(Protocol):
    """The kernel's functions that invalidate TLB entries, on every CPU but for one of them.

    Each is one event, with the operations and barriers that it issues.
    """

    def flush_all(self) -> None:
        """flush_tlb_all(): everything."""

    def local_flush_all(self, cpu: CpuState) -> None:
        """local_flush_tlb_all(): everything, on one CPU."""

    def flush_mm(self, context: MmContext) -> None:
        """flush_tlb_mm(): all of an address space."""

    def flush_page(self, context: MmContext, va: int, *, sync: bool = True) -> None:
        """flush_tlb_page(): one user page; without ``sync`` nobody waits until it is done."""

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
        """User addresses [``start``, ``end``): flush_tlb_range(), __flush_tlb_range().

        ``stride``: bytes that each of the entries mapped, None for a page. ``last_level``: no table
        was taken away. ``function``: who asks, for the event.
        """

    def flush_kernel_range(self, start: int, end: int) -> None:
        """flush_tlb_kernel_range(): kernel addresses [``start``, ``end``)."""

    def flush_kernel_page(self, va: int) -> None:
        """One kernel page."""

    def flush_kernel_table(self, va: int) -> None:
        """A table that was taken away from above a kernel address."""
