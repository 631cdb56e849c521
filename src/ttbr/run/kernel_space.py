"""The kernel's own address space at run time: all that maps something into it.

``vmalloc``, ``io`` (ioremap), ``memory`` (set_memory), ``fixmap``, ``pkmap``, ``kmap_local`` and
``direct_map`` write through one `map`.
"""

from __future__ import annotations

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.machine import Machine
from ttbr.run.cpu.asids import MmContext
from ttbr.run.cpu.cpus import Cpus
from ttbr.run.direct_map import DirectMap
from ttbr.run.events import RunLog
from ttbr.run.fixmap import Fixmap
from ttbr.run.ioremap import Ioremap
from ttbr.run.kernel_bounds import kernel_bounds
from ttbr.run.kernel_map import Arm64KernelMap, ArmKernelMap, KernelMap
from ttbr.run.kernel_prot import arm64_prot, arm_prot
from ttbr.run.kmap import Pkmap
from ttbr.run.kmap_local import KmapLocal
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.set_memory import SetMemory
from ttbr.run.table_writes import TableWrites
from ttbr.run.vmalloc import Vmalloc
from ttbr.run.vmalloc_sync import MissingSync, VmallocSync


class KernelSpace:
    """The kernel's address space.

    Args:
        machine: as the boot left it.
        pages: where table pages and memory come from.
        tables: how entries are written.
        log: where events go.
        cpus: whose TLBs hear of a change, and which say when a process is switched to.
    """

    def __init__(
        self,
        machine: Machine,
        pages: PageAllocator,
        tables: TableWrites,
        log: RunLog,
        cpus: Cpus,
    ) -> None:
        self.machine = machine
        self.pages = pages
        self.log = log
        self.tlb = cpus.flush
        self.cpus = cpus
        state = machine.arch_state
        assert isinstance(state, Arm64 | ArmBoot)
        self.state: Arm64 | ArmBoot = state
        self.bounds = kernel_bounds(state)
        self.map: KernelMap
        self.sync: VmallocSync | None = None
        if isinstance(state, Arm64):
            self.prot = arm64_prot(state)
            self.map = Arm64KernelMap(state, tables, pages, huge=_huge(machine), tlb=self.tlb)
        else:
            self.prot = arm_prot(state)
            arm_map = ArmKernelMap(state, tables, pages, tlb=self.tlb)
            self.map = arm_map
            if not state.layout.lpae:
                self.sync = VmallocSync(state, arm_map, tables, log)
        self.direct_map = DirectMap(machine, self.map, self.prot)
        self.vmalloc = Vmalloc(self)
        self.io = Ioremap(self)
        self.memory = SetMemory(self)
        self.fixmap = Fixmap(self)
        self.pkmap = Pkmap(self)
        self.kmap_local = KmapLocal(self)
        cpus.before_switch = self._before_switch

    def _before_switch(self, context: MmContext) -> None:
        """What the kernel's own addresses have to do with a process that is about to run."""
        self.kmap_local.switch(context)
        if self.sync is not None:
            self.sync.check_vmalloc_seq(context)

    def sync_active(self) -> None:
        """check_vmalloc_seq(current->active_mm): after sections were taken away (arm)."""
        if self.sync is not None and self.cpus.active is not None:
            self.sync.check_vmalloc_seq(self.cpus.active)

    def missing_syncs(self) -> list[MissingSync]:
        """What the process that runs should have from swapper_pg_dir, and has not (arm)."""
        active = self.cpus.active
        return self.sync.missing(active) if self.sync is not None and active is not None else []


def _huge(machine: Machine) -> bool:
    """Whether vmap may use blocks: not where the table dump of debugfs may be reading them."""
    debugfs = machine.kernel.config.enabled("PTDUMP_DEBUGFS")
    return not debugfs and not machine.params.given("nohugeiomap")
