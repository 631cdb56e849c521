"""32-bit ARM's context switch: TTBR0 and CONTEXTIDR, or with LPAE TTBR0 alone.

Source: arch/arm/mm/context.c (check_and_switch_context, cpu_set_reserved_ttbr0),
mm/proc-v7-2level.S and proc-v7-3level.S (cpu_v7_switch_mm), mm/proc-v6.S (cpu_v6_switch_mm),
include/asm/uaccess-asm.h (uaccess_enable, uaccess_disable), include/asm/mmu_context.h (switch_mm).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ttbr.run.cpu.asids import ARM_BITS

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot
    from ttbr.run.cpu.asids import Asids, MmContext
    from ttbr.run.cpu.cpu import CpuState
    from ttbr.run.events import RunLog

ASID_MASK: Final = (1 << ARM_BITS) - 1
LPAE_ASID_SHIFT: Final = 48
TTBCR_A1: Final = 1 << 22
TTBCR_EPD0: Final = 1 << 7
TTBCR_T0SZ: Final = 7
TTBCR_NO_USER: Final = TTBCR_A1 | TTBCR_EPD0 | TTBCR_T0SZ
"""What uaccess_disable sets with CPU_TTBR0_PAN: no walks through TTBR0, TTBR1 for the rest."""
TTBR_FLAGS: Final = 0x7F
"""The bits of a 32-bit TTBR that say how walks go through caches (TTB_FLAGS_SMP or _UP)."""
DOMAIN_USER: Final = 1
DOMAIN_USER_MASK: Final = 3 << 2 * DOMAIN_USER
DOMAIN_USER_CLIENT: Final = 1 << 2 * DOMAIN_USER
"""DACR: the domain of user space, and that it is checked like others (asm/domain.h)."""


class ArmSwitch:
    """Switches address spaces of a 32-bit kernel. ``flush``: local_flush_tlb_all() of a CPU."""

    def __init__(
        self, boot: ArmBoot, asids: Asids, log: RunLog, flush: Callable[[CpuState], None]
    ) -> None:
        config = boot.config
        self.asids = asids
        self.log = log
        self._flush = flush
        self._lpae = boot.layout.lpae
        self._flags = boot.registers["TTBR1"] & TTBR_FLAGS
        self._v6 = boot.machine.cpu.proc == "v6"
        self._domains = config.enabled("CPU_SW_DOMAIN_PAN") and not self._lpae
        self._no_ttbr0 = config.enabled("CPU_TTBR0_PAN") and self._lpae
        self._pid_in_contextidr = config.enabled("PID_IN_CONTEXTIDR")

    def asid(self, registers: Mapping[str, int]) -> int:
        """See `Switch.asid`."""
        if not self._lpae:
            return registers.get("CONTEXTIDR", 0) & ASID_MASK
        name = "TTBR1" if registers["TTBCR"] & TTBCR_A1 else "TTBR0"
        return registers[name] >> LPAE_ASID_SHIFT & ASID_MASK

    def start(self, cpu: CpuState) -> None:
        """See `Switch.start`."""
        cpu.registers.setdefault("CONTEXTIDR", 0)
        self.uaccess_disable(cpu)

    def kernel_exit(self, cpu: CpuState) -> None:
        """See `Switch.kernel_exit`."""
        self.uaccess_enable(cpu)

    def kernel_entry(self, cpu: CpuState) -> None:
        """See `Switch.kernel_entry`."""
        self.uaccess_disable(cpu)

    def uaccess_enable(self, cpu: CpuState) -> None:
        """See `Switch.uaccess_enable`."""
        if self._domains:
            cpu.write("DACR", cpu.registers["DACR"] | DOMAIN_USER_CLIENT)
        if self._no_ttbr0:
            cpu.write("TTBCR", cpu.registers["TTBCR"] & ~TTBCR_NO_USER)

    def uaccess_disable(self, cpu: CpuState) -> None:
        """See `Switch.uaccess_disable`."""
        if self._domains:
            cpu.write("DACR", cpu.registers["DACR"] & ~DOMAIN_USER_MASK)
        if self._no_ttbr0:
            cpu.write("TTBCR", cpu.registers["TTBCR"] | TTBCR_NO_USER)

    def switch_mm(self, cpu: CpuState, context: MmContext) -> None:
        """See `Switch.switch_mm`."""
        steps: list[str] = []
        if not self._lpae:
            # swapper_pg_dir has global entries only: walks that the CPU begins early do no harm
            self._write(cpu, steps, "TTBR0", cpu.registers["TTBR1"])
        if self.asids.check(context, cpu.number):
            self._flush(cpu)
            steps.append("local_flush_bp_all; local_flush_tlb_all")
        context.cpus.add(cpu.number)
        asid = self.asids.asid(context)
        if self._lpae:
            self._write(cpu, steps, "TTBR0", context.pgd | asid << LPAE_ASID_SHIFT)
        else:
            identifier = context.id & 0xFFFF_FFFF
            if self._pid_in_contextidr:
                identifier = cpu.registers["CONTEXTIDR"] & ~ASID_MASK | asid
            writes = [("CONTEXTIDR", identifier), ("TTBR0", context.pgd | self._flags)]
            for name, value in reversed(writes) if self._v6 else writes:
                self._write(cpu, steps, name, value, isb=not self._v6)
        self.same_mm(cpu, context)
        self.log.add(
            *("switch", "check_and_switch_context", "; ".join(steps)),
            *(context.pgd, context.pgd),
            cpu=cpu.number,
            pid=context.pid,
            asid=asid,
            generation=self.asids.generation,
        )

    def same_mm(self, cpu: CpuState, context: MmContext) -> None:
        """See `Switch.same_mm`."""
        if self._pid_in_contextidr:  # contextidr_notifier(), when the thread is switched
            asid = cpu.registers["CONTEXTIDR"] & ASID_MASK
            cpu.write("CONTEXTIDR", context.pid << ARM_BITS & 0xFFFF_FFFF | asid)

    def leave_mm(self, cpu: CpuState) -> None:
        """See `Switch.leave_mm`."""

    def no_mm(self, cpu: CpuState) -> None:
        """See `Switch.no_mm`."""
        cpu.write("TTBR0", cpu.registers["TTBR1"])

    def _write(
        self, cpu: CpuState, steps: list[str], name: str, value: int, *, isb: bool = True
    ) -> None:
        cpu.write(name, value)
        steps.append(f"{name} = {value:#x}" + ("; isb" if isb else ""))
