"""All CPUs of a machine: which of them runs, what they share, and how they switch processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.possible_cpus import possible_cpus
from ttbr.errors import InputError
from ttbr.run.cpu.asids import Asids, MmContext
from ttbr.run.cpu.checks import TlbChecks
from ttbr.run.cpu.cores import CoreTlbs, core_tlbs
from ttbr.run.cpu.cpu import AbortHandler, CpuState
from ttbr.run.cpu.features import features
from ttbr.run.cpu.flush_arm import ArmFlush
from ttbr.run.cpu.flush_arm64 import Arm64Flush
from ttbr.run.cpu.regimes import Regimes
from ttbr.run.cpu.switch_arm import ArmSwitch
from ttbr.run.cpu.switch_arm64 import Arm64Switch
from ttbr.run.cpu.tlb import Tlb

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.run.cpu.abort import Abort
    from ttbr.run.cpu.break_before_make import Violation
    from ttbr.run.cpu.flush import Flush
    from ttbr.run.cpu.switch import Switch
    from ttbr.run.events import RunLog
    from ttbr.run.table_writes import TableWrites


class Cpus:
    """The CPUs, of which one runs at a time.

    ``all``: those that have run, by number; their TLBs all hear of broadcast maintenance.
    ``flush``: that maintenance. ``asids``: the allocator. ``core``: what TLBs the CPUs have.
    ``assumptions``: what was taken for granted. ``before_switch``: called with the address space
    that a CPU is about to change to.
    """

    def __init__(
        self, machine: Machine, tables: TableWrites, log: RunLog, *, core: CoreTlbs | None = None
    ) -> None:
        """``core``: other TLBs than those of the machine's CPU."""
        self.machine = machine
        self.tables = tables
        self.log = log
        self.all: dict[int, CpuState] = {}
        self.count = len(possible_cpus(machine))
        self.assumptions: list[str] = []
        if core is None:
            core, assumption = core_tlbs(machine.cpu)
            self.assumptions += [assumption] if assumption else []
        self.core = core
        self.on_abort: AbortHandler | None = None
        self.before_switch: Callable[[MmContext], None] | None = None
        self._active: dict[int, MmContext | None] = {}
        swapper = machine.roots["swapper_pg_dir"]
        self._regimes = Regimes(swapper)
        self._list: list[CpuState] = []
        self._switch: Switch
        self.flush: Flush
        state = machine.arch_state
        if isinstance(state, Arm64):
            used = features(state)
            self.assumptions += [used.assumption] if used.assumption else []
            self.asids = Asids.arm64(
                used.asid_bits,
                self.count,
                kpti_configured=machine.kernel.config.enabled("UNMAP_KERNEL_AT_EL0"),
                kpti=used.kpti,
            )
            self.flush = Arm64Flush(
                *(self._list, self.asids, used, log),
                page_size=machine.kernel.page_size,
                release=machine.kernel.release,
                lpa2=state.lpa2,
            )
            self._switch = Arm64Switch(state, used, self.asids, log, self._flush_local)
            support = used.bbm
        elif isinstance(state, ArmBoot):
            self.asids = Asids.arm(self.count)
            self.flush = ArmFlush(self._list, self.asids, state, log)
            self._switch = ArmSwitch(state, self.asids, log, self._flush_local)
            support = 0
        else:
            raise InputError("the boot ended before its architecture was known")
        self.checks = TlbChecks(
            machine.ram, log, self._list, self.asids, tables.entry_size, support=support
        )
        self.checks.kernel_roots.update(machine.roots.values())
        tables.watch = self.checks
        self.current = self._bring_up(0)

    @property
    def violations(self) -> list[Violation]:
        """What was found wrong with tables and TLBs so far."""
        return self.checks.violations

    @property
    def active(self) -> MmContext | None:
        """The address space of the CPU that runs; None for the kernel's own (init_mm)."""
        return self._active[self.current.number]

    def select(self, number: int) -> CpuState:
        """Let another CPU run; `InputError` if the machine does not have it."""
        if not 0 <= number < self.count:
            raise InputError(f"there is no CPU {number}: the machine has {self.count}")
        self.current.enter_kernel()
        self.current = self.all.get(number) or self._bring_up(number)
        self.machine.registers = self.current.registers
        return self.current

    def switch_to(self, context: MmContext | None) -> None:
        """Run a thread of another address space on the current CPU (context_switch, switch_mm).

        None is a kernel thread: it borrows the address space that is there.
        """
        cpu = self.current
        cpu.enter_kernel()
        number = cpu.number
        if context is None:
            self._switch.leave_mm(cpu)
            return
        if self._active[number] is context:
            self._switch.same_mm(cpu, context)
            return
        self._active[number] = context
        if self.before_switch is not None:
            self.before_switch(context)
        self.checks.contexts[context.pgd] = context
        self._switch.switch_mm(cpu, context)

    def destroy_context(self, context: MmContext) -> None:
        """An address space is no more (exit_mmap, mmdrop): its root table is about to be freed.

        CPUs that borrowed it go back to the kernel's own. Its entries stay in the TLBs, where
        nothing hits them: the ASID is not given away before a roll-over.
        """
        for number, active in self._active.items():
            if active is context:
                self.all[number].enter_kernel()
                self._switch.no_mm(self.all[number])
                self._active[number] = None
        if self.checks.contexts.get(context.pgd) is context:
            del self.checks.contexts[context.pgd]

    def _bring_up(self, number: int) -> CpuState:
        registers = self.machine.registers if number == 0 else dict(self.all[0].registers)
        cpu = CpuState(
            number,
            registers,
            Tlb(self.core),
            tables=self.tables,
            regimes=self._regimes,
            switch=self._switch,
            checks=self.checks,
            on_abort=self._handle,
        )
        if number:
            self._switch.no_mm(cpu)
        self._switch.start(cpu)
        self.checks.kernel_roots |= cpu.roots
        self.all[number] = cpu
        self._list.append(cpu)
        self._active[number] = None
        return cpu

    def _handle(self, abort: Abort) -> bool:
        return self.on_abort is not None and self.on_abort(abort)

    def _flush_local(self, cpu: CpuState) -> None:
        self.flush.local_flush_all(cpu)
