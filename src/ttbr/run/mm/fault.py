"""From an abort of the CPU to what the kernel does about it: the architectures' fault handlers.

Source: arch/arm64/mm/fault.c (fault_info, do_page_fault, do_translation_fault, do_bad_area);
arch/arm/mm/{fault.c,fsr-2level.c,fsr-3level.c}; mm/mmap.c (expand_downwards).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.arch.faults import FaultKind
from ttbr.boot.arm64.state import Arm64
from ttbr.kernel.vm_flags import Vm
from ttbr.run.cpu.features import features
from ttbr.run.cpu.switch_arm import TTBCR_EPD0
from ttbr.run.mm.lazy_kernel import copy_kernel_entry
from ttbr.run.mm.memory import handle_mm_fault
from ttbr.run.mm.ptes import ptep_get

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ttbr.run.cpu.abort import Abort
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.process import Process
    from ttbr.run.mm.user_space import UserSpace
    from ttbr.run.mm.vma import Vma

SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR = "SEGV_MAPERR", "SEGV_ACCERR", "BUS_ADRERR"
ASID_SHIFT = 48
USER_HALF_BIT = 55
"""Address bit that tells TTBR0's half from TTBR1's (is_ttbr0_addr)."""


@dataclass(frozen=True, slots=True)
class FaultReport:
    """A fault, and what became of it.

    ``pid``: of the process that ran, 0 for none. ``access``, ``va``: what was tried. ``kind``,
    ``level``: what the hardware says, with ``registers`` (ESR_EL1 and FAR_EL1, or FSR and FAR).
    ``handler``: the kernel function that it enters. ``function``: the one that settled it, and
    ``detail`` what that did. ``old``, ``new``: Linux's entry for the page before and after, 0 for
    none. ``signal``: what the process gets, such as ``SIGSEGV (SEGV_MAPERR)``; empty if it goes on.
    ``oops``: what the kernel dies of where the fault is its own.
    """

    pid: int
    access: str
    va: int
    kind: str
    level: int
    registers: Mapping[str, int]
    handler: str
    function: str
    detail: str = ""
    old: int = 0
    new: int = 0
    signal: str = ""
    oops: str = ""

    @property
    def handled(self) -> bool:
        """Whether the access is tried again."""
        return not self.signal and not self.oops

    def __str__(self) -> str:
        registers = ", ".join(f"{name} {value:#x}" for name, value in self.registers.items())
        end = self.signal or self.oops or self.detail or "done"
        return (
            f"pid {self.pid}: {self.access} at {self.va:#x}: {self.kind} fault, level "
            f"{self.level} [{registers}], {self.handler}, {self.function}: {end}"
        )


@dataclass(slots=True)
class _Outcome:
    """What a handler comes to."""

    function: str
    detail: str = ""
    signal: str = ""
    oops: str = ""


def handle_abort(user: UserSpace, process: Process | None, abort: Abort) -> FaultReport:
    """What Linux does about an abort; `OutOfMemory` where it would have to kill for memory."""
    handler = _entry(user, abort)
    mm = process.mm if process is not None else None
    old = _linux_entry(mm, abort.va)
    if handler == "do_translation_fault":
        outcome = _translation_fault(user, mm, abort)
    elif handler == "do_page_fault":
        outcome = _page_fault(user, mm, abort)
    else:
        outcome = _bad_area(abort, handler)
    report = FaultReport(
        pid=process.pid if process is not None else 0,
        access=str(abort.access),
        va=abort.va,
        kind=str(abort.fault.kind),
        level=abort.fault.level or 0,
        registers=abort.registers,
        handler=handler,
        function=outcome.function,
        detail=outcome.detail,
        old=old,
        new=_linux_entry(mm, abort.va),
        signal=outcome.signal,
        oops=outcome.oops,
    )
    user.kernel.log.add(
        "fault",
        report.function,
        str(report),
        abort.va,
        abort.va,
        pid=report.pid,
        level=report.level,
        old=report.old,
        new=report.new,
        signal=report.signal,
        **report.registers,
    )
    return report


def _entry(user: UserSpace, abort: Abort) -> str:
    """The handler that the architecture's table names for a status code."""
    kind, level = abort.fault.kind, abort.fault.level or 0
    if user.arm and user.short:
        if kind is FaultKind.TRANSLATION:
            return "do_translation_fault" if level == 1 else "do_page_fault"
        if kind is FaultKind.PERMISSION:
            return "do_sect_fault" if level == 1 else "do_page_fault"
        return "do_bad"
    if user.arm and kind is FaultKind.TRANSLATION:
        return "do_page_fault" if level == len(user.levels) else "do_translation_fault"
    if kind is FaultKind.TRANSLATION:
        return "do_translation_fault"
    if kind in (FaultKind.ACCESS_FLAG, FaultKind.PERMISSION):
        return "do_bad" if user.arm and level == 1 else "do_page_fault"
    return "do_bad"


def _linux_entry(mm: Mm | None, va: int) -> int:
    """Linux's last-level entry for an address, 0 where there is none."""
    if mm is None or va >= mm.user.layout.task_size:
        return 0
    table = mm.tables.pte_table(va)
    return 0 if table is None else ptep_get(mm, table, va & -mm.user.page_size)


def _is_user_address(user: UserSpace, va: int) -> bool:
    return va < user.layout.task_size if user.arm else not va >> USER_HALF_BIT & 1


def _bad_area(abort: Abort, function: str = "do_bad_area", code: str = SEGV_MAPERR) -> _Outcome:
    """``do_bad_area``: a signal for a process, an oops for the kernel."""
    if abort.fault.kind is FaultKind.DOMAIN:
        code = SEGV_ACCERR
    if abort.el:
        return _kernel_fault(abort)
    return _Outcome(function, signal=f"SIGSEGV ({code})")


def _kernel_fault(abort: Abort) -> _Outcome:
    """``__do_kernel_fault``"""
    if abort.fault.kind is FaultKind.PERMISSION:
        what = "read from unreadable memory"
        if abort.writes:
            what = "write to read-only memory"
        elif abort.executes:
            what = "execute from non-executable memory"
    elif abort.va < 1 << 12:
        what = "NULL pointer dereference"
    else:
        what = "paging request"
    return _Outcome("__do_kernel_fault", oops=f"unable to handle kernel {what}")


def _translation_fault(user: UserSpace, mm: Mm | None, abort: Abort) -> _Outcome:
    """``do_translation_fault``"""
    if _is_user_address(user, abort.va):
        return _page_fault(user, mm, abort)
    if not user.arm:
        return _bad_area(abort)
    if abort.el:
        copied = copy_kernel_entry(user, mm, abort.va)
        if copied:
            return _Outcome("do_translation_fault", copied)
    return _bad_area(abort, "do_kernel_address_page_fault")


def _page_fault(user: UserSpace, mm: Mm | None, abort: Abort) -> _Outcome:
    """``do_page_fault``"""
    if user.arm and not _is_user_address(user, abort.va):
        return _bad_area(abort, "do_kernel_address_page_fault")
    if mm is None:
        return _kernel_fault(abort)
    why = _kept_out(user, abort)
    if why:
        return _Outcome("do_page_fault", oops=why)
    wanted = Vm.READ | Vm.WRITE | Vm.EXEC
    if abort.executes:
        wanted = Vm.EXEC
    elif abort.writes:
        wanted = Vm.WRITE
    elif user.execute_only:
        wanted = Vm.READ | Vm.WRITE
    area = _find_area(mm, abort.va)
    if area is None:
        return _bad_area(abort, "do_page_fault")
    if not area.flags & wanted:
        return _bad_area(abort, "do_page_fault", SEGV_ACCERR)
    fault = handle_mm_fault(mm, area, abort.va, write=abort.writes)
    if fault.signal:
        if abort.el:
            return _kernel_fault(abort)
        return _Outcome(fault.done, fault.detail, f"{fault.signal} ({BUS_ADRERR})")
    return _Outcome(fault.done, fault.detail)


def _kept_out(user: UserSpace, abort: Abort) -> str:
    """What the kernel dies of if it comes to user memory by other ways than uaccess; or nothing.

    ``is_el1_permission_fault`` of arm64, ``ttbr0_usermode_access_allowed`` of 32-bit ARM.
    """
    cpu = user.kernel.cpu
    if not abort.el:
        return ""
    if user.arm:
        shut = bool(cpu.registers.get("TTBCR", 0) & TTBCR_EPD0) and not user.short
        return _kernel_fault(abort).oops if shut else ""
    if abort.fault.kind is FaultKind.PERMISSION:
        if abort.executes:
            return "execution of user memory"
        return "access to user memory outside uaccess routines" if cpu.pan else ""
    state = user.kernel.machine.arch_state
    assert isinstance(state, Arm64)
    reserved = not cpu.registers["TTBR0_EL1"] >> ASID_SHIFT
    if abort.fault.kind is FaultKind.TRANSLATION and features(state).sw_pan and reserved:
        return "access to user memory outside uaccess routines"
    return ""


def _find_area(mm: Mm, va: int) -> Vma | None:
    """``lock_mm_and_find_vma``: the area of an address, a stack that grows down to it included."""
    area = mm.vmas.find(va)
    if area is None or area.start <= va:
        return area
    return area if area.growsdown and expand_stack(mm, area, va) else None


def expand_stack(mm: Mm, area: Vma, va: int) -> bool:
    """``expand_downwards``: let a stack grow to hold ``va``; False if it may not."""
    layout = mm.user.layout
    start = va & -layout.page_size
    if start < max(layout.min_addr, layout.first):
        return False
    below = mm.vmas.before(area.start)
    accessible = Vm.READ | Vm.WRITE | Vm.EXEC
    if (
        below is not None
        and not below.growsdown
        and below.flags & accessible
        and start - below.end < layout.guard
    ):
        return False
    if area.end - start > mm.stack_limit:
        return False
    mm.anon_vma_prepare(area)
    mm.vmas.grow_down(area, start)
    return True
