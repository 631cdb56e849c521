"""A process: what a program can do to its address space, and what it reads and writes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ttbr.errors import TtbrError
from ttbr.kernel.vm_flags import Madvise, Map, Prot
from ttbr.run.cpu.abort import NotHandled
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.exec import Program, exec_mm
from ttbr.run.mm.fork import dup_mmap
from ttbr.run.mm.mm import Mm
from ttbr.run.mm.mmap import do_brk, do_mmap, do_munmap, map_device
from ttbr.run.mm.protect import do_madvise, do_mprotect
from ttbr.run.mm.touch import touch
from ttbr.run.mm.unmap import exit_mm
from ttbr.run.mm.user_layout import Placement, Randomness

if TYPE_CHECKING:
    from ttbr.run.mm.fault import FaultReport
    from ttbr.run.mm.files import File
    from ttbr.run.mm.processes import Processes

Answer = TypeVar("Answer")
READ_WRITE = Prot.READ | Prot.WRITE


class Killed(TtbrError):
    """A process got a signal that it dies of; ``report`` is the fault that it comes from."""

    def __init__(self, process: Process, report: FaultReport) -> None:
        super().__init__(f"{process.name}[{process.pid}] is killed by {report.signal}: {report}")
        self.report = report


class Process:
    """A process (task_struct) with its address space ``mm``, which is None once it has exited.

    ``pid``, ``name``: number and command. ``parent``: the process that forked it. ``faults``: how
    many it took; ``last_fault``: the report of the last. ``signal``: what it died of.
    """

    def __init__(
        self, processes: Processes, pid: int, name: str, mm: Mm, parent: Process | None = None
    ) -> None:
        self._processes = processes
        self.pid = pid
        self.name = name
        self._mm: Mm | None = mm
        self.parent = parent
        self.faults = 0
        self.last_fault: FaultReport | None = None
        self.signal = ""
        mm.context.pid = pid

    @property
    def alive(self) -> bool:
        """Whether it has not exited yet."""
        return self._mm is not None

    @property
    def mm(self) -> Mm:
        """Its address space; `TtbrError` if it has exited."""
        if self._mm is None:
            raise TtbrError(f"process {self.pid} has exited")
        return self._mm

    # System calls

    def mmap(
        self,
        size: int,
        prot: Prot = READ_WRITE,
        flags: Map | None = None,
        *,
        hint: int = 0,
        file: File | None = None,
        offset: int = 0,
        huge_size: int = 0,
    ) -> int:
        """Map ``size`` bytes: private anonymous memory, or as ``flags`` and ``file`` say.

        Without ``flags`` a file is mapped private, too. ``huge_size`` asks for pages of that size
        from a pool (MAP_HUGETLB). Returns the first address; `SyscallError`.
        """
        if flags is None:
            flags = Map.PRIVATE
        if huge_size:
            flags |= Map.HUGETLB
        if file is None:
            flags |= Map.ANONYMOUS
        start = do_mmap(
            self.mm, size, prot, flags, hint=hint, file=file, offset=offset, huge_size=huge_size
        )
        self._note("mmap", "do_mmap", start, size)
        return start

    def mmap_device(self, pa: int, size: int, prot: Prot = Prot.READ) -> int:
        """Map ``size`` bytes of a device at physical address ``pa`` (/dev/mem)."""
        start = map_device(self.mm, pa, size, prot)
        self._note("mmap", "mmap_mem", start, size)
        return start

    def munmap(self, start: int, size: int) -> None:
        """Take a mapping, or a part of one, away; `SyscallError`."""
        do_munmap(self.mm, start, size)
        self._note("munmap", "do_munmap", start, size)

    def mprotect(self, start: int, size: int, prot: Prot) -> None:
        """Give a range another protection; `SyscallError`."""
        do_mprotect(self.mm, start, size, prot)
        self._note("mprotect", "do_mprotect_pkey", start, size)

    def madvise(self, start: int, size: int, advice: Madvise) -> None:
        """Say what a range is for; `SyscallError`."""
        do_madvise(self.mm, start, size, advice)
        self._note("madvise", "do_madvise", start, size)

    def brk(self, end: int) -> int:
        """Let the heap end at ``end``; where it ends now, which is the old end if it cannot."""
        found = do_brk(self.mm, end)
        self._note("brk", "brk", self.mm.start_brk, found - self.mm.start_brk)
        return found

    def sbrk(self, size: int) -> int:
        """Make the heap ``size`` bytes longer; its old end; `SyscallError` if that cannot be."""
        old = self.mm.brk
        if do_brk(self.mm, old + size) != old + size:
            raise SyscallError("brk", "ENOMEM", f"no room for {size:#x} more bytes of heap")
        return old

    def fork(self, *, pid: int | None = None) -> Process:
        """A child with a copy of the address space; `OutOfMemory`, and no child, if there is none.

        ``pid``: its number, the next one by default.
        """
        processes = self._processes
        mm = Mm(processes.user)
        try:
            copied = dup_mmap(self.mm, mm)
        except BaseException:
            exit_mm(mm)
            raise
        child = processes.add(self.name, mm, parent=self, pid=pid)
        self._note("fork", "copy_process", 0, 0, child=child.pid, entries=copied)
        return child

    def exec(
        self,
        program: Program,
        *,
        placement: Placement | None = None,
        seed: int | None = None,
    ) -> None:
        """Replace the address space by that of a program."""
        old = self.mm
        mm = exec_mm(self._processes.user, program, placement or Placement(), Randomness(seed))
        mm.context.pid = self.pid
        self._mm, self.name = mm, program.name
        if self._processes.current is self:
            self._processes.switch_to(self)
        exit_mm(old)
        self._note("exec", "load_elf_binary", 0, 0)

    def exit(self) -> None:
        """End the process; its memory goes back."""
        mm = self.mm
        self._processes.remove(self)
        self._mm = None
        exit_mm(mm)
        self._note("exit", "do_exit", 0, 0)

    # Memory accesses

    def load(self, va: int, size: int = 1) -> bytes:
        """Read ``size`` bytes from ``va``; `Killed` if that is not allowed."""
        return self._access(lambda: self._processes.kernel.cpu.load(va, size))

    def store(self, va: int, data: bytes) -> None:
        """Write ``data`` to ``va``; `Killed` if that is not allowed."""
        self._access(lambda: self._processes.kernel.cpu.store(va, data))

    def fetch(self, va: int, size: int = 4) -> bytes:
        """Fetch an instruction from ``va``; `Killed` if that is not allowed."""
        return self._access(lambda: self._processes.kernel.cpu.fetch(va, size))

    def touch(self, start: int, size: int, *, write: bool = True) -> int:
        """Bring all pages of a range in, as an access to each would; how many were missing.

        The accesses themselves are left out: TLBs, and what the hardware marks, do not change.
        """
        found = touch(self.mm, start, size, write=write)
        self._note("touch", "handle_mm_fault", start, size, pages=found)
        return found

    def _access(self, access: Callable[[], Answer]) -> Answer:
        mm = self.mm
        self._processes.switch_to(self)
        try:
            return access()
        except NotHandled as error:
            report = self.last_fault
            if report is None or not report.signal or report.va != error.abort.va:
                raise
            assert mm is self._mm
            self.signal = report.signal
            self.exit()
            raise Killed(self, report) from None

    def _note(
        self, kind: str, function: str, start: int, size: int, **values: int | str | bool
    ) -> None:
        end = start + size - 1 if size > 0 else start
        self._processes.kernel.log.add(
            kind, function, f"{self.name}[{self.pid}]", start, end, pid=self.pid, **values
        )
