"""What was taken out of tables, until TLBs are told of it at once (struct mmu_gather).

Source: include/asm-generic/tlb.h; arch/arm64/include/asm/tlb.h: tlb_flush.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm


class Gather:
    """The range of addresses that entries were taken from, and of what sizes these were."""

    def __init__(self, mm: Mm) -> None:
        self.mm = mm
        self._start, self._end = 1 << 64, 0
        self._stride = 1 << 64
        self._tables = False

    def entries(self, start: int, end: int, size: int) -> None:
        """Entries for [``start``, ``end``), of ``size`` bytes each, were taken away or changed."""
        self._start, self._end = min(self._start, start), max(self._end, end)
        self._stride = min(self._stride, size)

    def table(self, va: int, size: int) -> None:
        """A table was taken away whose entry spans ``size`` bytes from ``va`` on."""
        self.entries(va, va + self.mm.user.page_size, size)
        self._tables = True

    def finish(self) -> None:
        """``tlb_finish_mmu``: one flush for all of it, if there was anything."""
        if self._start < self._end:
            self.mm.flush_tlb_range(
                self._start, self._end, stride=self._stride, last_level=not self._tables
            )
