"""What every architecture does when it switches address spaces, and enters or leaves the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ttbr.run.cpu.asids import MmContext
    from ttbr.run.cpu.cpu import CpuState


class Switch(Protocol):
    """The architecture's side of context switches; changes registers of the CPU it is given."""

    def asid(self, registers: Mapping[str, int]) -> int:
        """The ASID that the registers select."""

    def start(self, cpu: CpuState) -> None:
        """Set what the kernel sets when it has found out about all CPUs."""

    def kernel_exit(self, cpu: CpuState) -> None:
        """The kernel returns to user space."""

    def kernel_entry(self, cpu: CpuState) -> None:
        """An exception leads from user space into the kernel."""

    def uaccess_enable(self, cpu: CpuState) -> None:
        """The kernel is about to reach into user space."""

    def uaccess_disable(self, cpu: CpuState) -> None:
        """It has done so."""

    def switch_mm(self, cpu: CpuState, context: MmContext) -> None:
        """Another address space: check_and_switch_context() and cpu_switch_mm()."""

    def same_mm(self, cpu: CpuState, context: MmContext) -> None:
        """Another thread of the address space that is active already."""

    def leave_mm(self, cpu: CpuState) -> None:
        """A kernel thread runs, on whatever address space is active (enter_lazy_tlb)."""

    def no_mm(self, cpu: CpuState) -> None:
        """init_mm itself becomes active: no user address is translated."""
