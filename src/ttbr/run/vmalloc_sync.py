"""How processes of 32-bit ARM with short descriptors get to know vmalloc's first-level entries.

Each has its own first-level table, and vmalloc writes into swapper_pg_dir alone. Kernels with
VMAP_STACK count such changes (`vmalloc_seq`) and copy the whole part when a process is switched
to; what comes up before that is copied by the fault that it causes.

Source: arch/arm/mm/ioremap.c (__check_vmalloc_seq, memcpy_pgd), asm/mmu_context.h
(check_vmalloc_seq), arch/arm/kernel/traps.c (arch_sync_kernel_mappings) of 6.1 and 6.12.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.arm.state import ArmBoot
from ttbr.kernel.arm_layout import PMD_SIZE, VMALLOC_END
from ttbr.run.cpu.asids import MmContext
from ttbr.run.events import RunLog
from ttbr.run.kernel_map.arm import ArmKernelMap
from ttbr.run.table_writes import TableWrites

ENTRIES_PER_PMD = 2


@dataclass(frozen=True, slots=True)
class MissingSync:
    """A first-level entry that a process should have from swapper_pg_dir and does not.

    ``va``: first address that it maps. ``has``, ``wanted``: the entry in the process's table and
    the kernel's. ``pgd``: physical address of the process's table.
    """

    pgd: int
    va: int
    has: int
    wanted: int

    def __str__(self) -> str:
        return (
            f"missing vmalloc sync: the table at {self.pgd:#x} has {self.has:#x} for "
            f"{self.va:#010x}, swapper_pg_dir {self.wanted:#x}, and counts as up to date"
        )


class VmallocSync:
    """The counts of the processes, by their first-level tables."""

    def __init__(
        self, state: ArmBoot, kernel_map: ArmKernelMap, tables: TableWrites, log: RunLog
    ) -> None:
        self._map = kernel_map
        self._tables = tables
        self._log = log
        self._swapper = state.tables.root
        self._first = state.vmalloc_start // PMD_SIZE * ENTRIES_PER_PMD
        self._behind = -(-VMALLOC_END // PMD_SIZE) * ENTRIES_PER_PMD
        self._seen: dict[int, int] = {}

    def check_vmalloc_seq(self, context: MmContext) -> None:
        """Copy vmalloc's entries into the table of a process if they have changed since."""
        now = self._map.vmalloc_seq
        if self._seen.get(context.pgd, 0) == now:
            return
        self._seen[context.pgd] = now
        copied = 0
        for index in range(self._first, self._behind):
            wanted = self._tables.get(self._swapper, index)
            if self._tables.get(context.pgd, index) != wanted:
                self._tables.set(context.pgd, index, wanted)
                copied += 1
        section = PMD_SIZE // ENTRIES_PER_PMD
        self._log.add(
            "sync",
            "__check_vmalloc_seq",
            f"{copied} first-level entries copied from swapper_pg_dir",
            self._first * section,
            self._behind * section - 1,
            pgd=context.pgd,
        )

    def missing(self, context: MmContext) -> list[MissingSync]:
        """What is wrong with the table of a process: not what the next switch or fault mends.

        An entry that differs from the kernel's is never mended by a fault, and one that is not
        there is no fault's business in a table that counts as up to date.
        """
        section = PMD_SIZE // ENTRIES_PER_PMD
        seen = self._seen.get(context.pgd, 0)
        current = self._map.counts_changes and seen == self._map.vmalloc_seq
        found = []
        for index in range(self._first, self._behind):
            wanted = self._tables.get(self._swapper, index)
            has = self._tables.get(context.pgd, index)
            if has != wanted and (current or (has and wanted)):
                found.append(MissingSync(context.pgd, index * section, has, wanted))
        return found
