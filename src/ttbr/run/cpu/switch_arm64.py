"""arm64's context switch: TTBR0, TTBR1, the ASID, and the two ways to keep out of user space.

Source: arch/arm64/mm/context.c (check_and_switch_context, cpu_do_switch_mm),
include/asm/mmu_context.h (cpu_set_reserved_ttbr0, cpu_switch_mm, update_saved_ttbr0),
include/asm/uaccess.h (__uaccess_ttbr0_enable), kernel/entry.S (tramp_map_kernel, kernel_exit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ttbr.boot.arm64.registers import ttbr
from ttbr.run.cpu.asids import USER_ASID
from ttbr.run.cpu.features import CNP, E0PD1, HD, Features

if TYPE_CHECKING:
    from ttbr.boot.arm64.state import Arm64
    from ttbr.run.cpu.asids import Asids, MmContext
    from ttbr.run.cpu.cpu import CpuState
    from ttbr.run.events import RunLog

ASID_SHIFT: Final = 48
ASID_MASK: Final = 0xFFFF << ASID_SHIFT
A1: Final = 1 << 22
AS: Final = 1 << 36
"""TCR_EL1: the ASID is TTBR1's; ASIDs have 16 bits."""
RESERVED_PAGES, TRAMPOLINE_PAGES = 1, 2
"""How far below swapper_pg_dir reserved_pg_dir and tramp_pg_dir lie, in pages."""


class Arm64Switch:
    """Switches address spaces of an arm64 kernel. ``flush``: local_flush_tlb_all() of a CPU."""

    def __init__(
        self,
        boot: Arm64,
        features: Features,
        asids: Asids,
        log: RunLog,
        flush: Callable[[CpuState], None],
    ) -> None:
        self.features = features
        self.asids = asids
        self.log = log
        self._flush = flush
        kernel = boot.machine.kernel
        self._config = kernel.config
        self._page = kernel.page_size
        self._reserved = ttbr(boot.machine.roots["reserved_pg_dir"], kernel.config)
        self._idmap = ttbr(boot.pa("idmap_pg_dir"), kernel.config)
        self._one_isb = kernel.release.has("arm64_reserved_ttbr0_without_isb")
        self._pid_in_contextidr = kernel.config.enabled("PID_IN_CONTEXTIDR")
        self._saved: dict[int, int] = {}  # thread_info.ttbr0 of what runs, by CPU

    def asid(self, registers: Mapping[str, int]) -> int:
        """See `Switch.asid`."""
        tcr = registers["TCR_EL1"]
        value = registers["TTBR1_EL1" if tcr & A1 else "TTBR0_EL1"] >> ASID_SHIFT
        return value if tcr & AS else value & 0xFF

    def start(self, cpu: CpuState) -> None:
        """See `Switch.start`."""
        features = self.features
        tcr = cpu.registers["TCR_EL1"]
        tcr |= (HD if features.dirty else 0) | (E0PD1 if features.e0pd else 0)
        cpu.write("TCR_EL1", tcr)
        if features.cnp:
            self._replace_ttbr1(cpu, cpu.registers["TTBR1_EL1"] | CNP)
        cpu.write("TTBR0_EL1", self._reserved)
        cpu.pan = features.pan
        self._saved[cpu.number] = self._reserved

    def kernel_exit(self, cpu: CpuState) -> None:
        """See `Switch.kernel_exit`."""
        if self.features.sw_pan:
            self._enable_ttbr0(cpu)
        if self.features.kpti:
            away = TRAMPOLINE_PAGES * self._page
            value = cpu.registers["TTBR1_EL1"] - away | USER_ASID << ASID_SHIFT
            cpu.write("TTBR1_EL1", value)
        cpu.pan = False

    def kernel_entry(self, cpu: CpuState) -> None:
        """See `Switch.kernel_entry`."""
        if self.features.kpti:
            back = TRAMPOLINE_PAGES * self._page
            value = cpu.registers["TTBR1_EL1"] + back & ~(USER_ASID << ASID_SHIFT)
            cpu.write("TTBR1_EL1", value)
        if self.features.sw_pan:
            self._disable_ttbr0(cpu)
        cpu.pan = self.features.pan

    def uaccess_enable(self, cpu: CpuState) -> None:
        """See `Switch.uaccess_enable`."""
        if self.features.sw_pan:
            self._enable_ttbr0(cpu)
        cpu.pan = False

    def uaccess_disable(self, cpu: CpuState) -> None:
        """See `Switch.uaccess_disable`."""
        if self.features.sw_pan:
            self._disable_ttbr0(cpu)
        cpu.pan = self.features.pan

    def switch_mm(self, cpu: CpuState, context: MmContext) -> None:
        """See `Switch.switch_mm`."""
        steps: list[str] = []
        if self.features.cnp:
            self._write(cpu, steps, "TTBR0_EL1", self._reserved, isb=True)
        if self.asids.check(context, cpu.number):
            self._flush(cpu)
            steps.append("local_flush_tlb_all")
        if not self.features.sw_pan:
            self._cpu_switch_mm(cpu, context, steps)
        self.same_mm(cpu, context, steps)
        asid = self.asids.asid(context)
        self.log.add(
            *("switch", "check_and_switch_context", "; ".join(steps)),
            *(context.pgd, context.pgd),
            cpu=cpu.number,
            pid=context.pid,
            asid=asid,
            generation=self.asids.generation,
        )

    def same_mm(self, cpu: CpuState, context: MmContext, steps: list[str] | None = None) -> None:
        """See `Switch.same_mm`."""
        if self.features.sw_pan:
            asid = self.asids.asid(context) << ASID_SHIFT
            self._saved[cpu.number] = ttbr(context.pgd, self._config) | asid
        if self._pid_in_contextidr:
            self._write(cpu, [] if steps is None else steps, "CONTEXTIDR_EL1", context.pid)

    def leave_mm(self, cpu: CpuState) -> None:
        """See `Switch.leave_mm`."""
        self._saved[cpu.number] = self._reserved
        if self._pid_in_contextidr:
            cpu.write("CONTEXTIDR_EL1", 0)

    def no_mm(self, cpu: CpuState) -> None:
        """See `Switch.no_mm`."""
        cpu.write("TTBR0_EL1", self._reserved)
        self.leave_mm(cpu)

    def _cpu_switch_mm(self, cpu: CpuState, context: MmContext, steps: list[str]) -> None:
        """cpu_do_switch_mm(): the reserved table first, then the ASID, then the new table."""
        asid = self.asids.asid(context)
        self._write(cpu, steps, "TTBR0_EL1", self._reserved, isb=not self._one_isb)
        value = ttbr(context.pgd, self._config)
        if self.features.cnp and asid:
            value |= CNP
        if self._config.enabled("ARM64_SW_TTBR0_PAN"):
            value |= asid << ASID_SHIFT
        kept = cpu.registers["TTBR1_EL1"] & ~ASID_MASK
        self._write(cpu, steps, "TTBR1_EL1", kept | asid << ASID_SHIFT, isb=True)
        self._write(cpu, steps, "TTBR0_EL1", value, isb=True)

    def _replace_ttbr1(self, cpu: CpuState, value: int) -> None:
        """cpu_replace_ttbr1(): from an identity map, with no table of the kernel in between.

        T0SZ is that of the identity map meanwhile.
        """
        steps: list[str] = []
        self._write(cpu, steps, "TTBR0_EL1", self._reserved, isb=True)
        steps.append("tlbi vmalle1; dsb nsh; isb")
        self._write(cpu, steps, "TTBR0_EL1", self._idmap, isb=True)
        self._write(cpu, steps, "TTBR1_EL1", self._reserved, isb=True)
        steps.append("tlbi vmalle1; dsb nsh; isb")
        self._write(cpu, steps, "TTBR1_EL1", value, isb=True)
        self._write(cpu, steps, "TTBR0_EL1", self._reserved, isb=True)  # cpu_uninstall_idmap()
        steps.append("tlbi vmalle1; dsb nsh; isb")
        cpu.tlb.invalidate_all()
        self.log.add("switch", "cpu_replace_ttbr1", "; ".join(steps), cpu=cpu.number)

    def _enable_ttbr0(self, cpu: CpuState) -> None:
        saved = self._saved[cpu.number]
        kept = cpu.registers["TTBR1_EL1"] & ~ASID_MASK
        cpu.write("TTBR1_EL1", kept | saved & ASID_MASK)
        cpu.write("TTBR0_EL1", saved)

    def _disable_ttbr0(self, cpu: CpuState) -> None:
        kept = cpu.registers["TTBR1_EL1"] & ~ASID_MASK
        cpu.write("TTBR0_EL1", kept - RESERVED_PAGES * self._page)
        cpu.write("TTBR1_EL1", kept)

    def _write(
        self, cpu: CpuState, steps: list[str], name: str, value: int, *, isb: bool = False
    ) -> None:
        cpu.write(name, value)
        steps.append(f"{name} = {value:#x}" + ("; isb" if isb else ""))
