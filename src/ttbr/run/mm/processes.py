"""All processes of a running kernel, and which of them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.errors import InputError
from ttbr.run.mm.exec import Program, exec_mm, small_program
from ttbr.run.mm.fault import handle_abort
from ttbr.run.mm.files import File
from ttbr.run.mm.process import Process
from ttbr.run.mm.unmap import exit_mm
from ttbr.run.mm.user_layout import Placement, Randomness
from ttbr.run.mm.user_space import UserSpace

if TYPE_CHECKING:
    from ttbr.run.cpu.abort import Abort
    from ttbr.run.kernel import RunningKernel
    from ttbr.run.mm.mm import Mm

INIT = "/init"


class Processes:
    """The processes by number, the files that they map, and what user space is like.

    ``current``: the process whose address space the CPU has, None for none.
    """

    def __init__(self, kernel: RunningKernel) -> None:
        self.kernel = kernel
        self.user = UserSpace(kernel)
        self.all: dict[int, Process] = {}
        self.files: dict[str, File] = {}
        self._programs: dict[str, Program] = {}
        self.current: Process | None = None
        self._next = 1
        kernel.cpus.on_abort = self._on_abort

    def spawn(
        self,
        program: Program | None = None,
        *,
        name: str = INIT,
        pid: int | None = None,
        placement: Placement | None = None,
        seed: int | None = None,
    ) -> Process:
        """A process that runs a program, a small one that is there if none is given.

        ``name``: of the small program. ``placement``: where randomised things were seen; ``seed``:
        randomises what is not known of them, which else is as without randomisation.
        `OutOfMemory`.
        """
        if program is None:
            program = self.program(name)
        mm = exec_mm(self.user, program, placement or Placement(), Randomness(seed))
        return self.add(program.name, mm, parent=None, pid=pid)

    def add(self, name: str, mm: Mm, *, parent: Process | None, pid: int | None) -> Process:
        """Take in a process; `InputError` if its number is in use."""
        if pid is None:
            pid = self._next
        if pid in self.all or pid <= 0:
            exit_mm(mm)
            raise InputError(f"there is a process {pid} already, or it is no number for one")
        self._next = max(self._next, pid + 1)
        process = self.all[pid] = Process(self, pid, name, mm, parent)
        return process

    def remove(self, process: Process) -> None:
        """A process has come to its end."""
        if self.current is process:
            self.current = None
        del self.all[process.pid]

    def switch_to(self, process: Process) -> None:
        """Let a process run on the CPU, if it does not."""
        cpus = self.kernel.cpus
        if self.current is not process or cpus.active is not process.mm.context:
            cpus.switch_to(process.mm.context)
            self.current = process

    def file(self, name: str, size: int = 0, *, tracks_dirty: bool = False) -> File:
        """The file of a name; an empty one of ``size`` bytes if there was none."""
        if name not in self.files:
            self.files[name] = File(self.user, name, size, tracks_dirty=tracks_dirty)
        return self.files[name]

    def unlink(self, name: str) -> None:
        """Take a file's name away; its pages go when nobody maps them. `InputError` without one."""
        if name not in self.files:
            raise InputError(f"there is no file {name}")
        file = self.files.pop(name)
        self._programs.pop(name, None)
        file.linked = False
        mapped = any(area.file is file for mm in self.user.address_spaces for area in mm.vmas)
        if not mapped:
            file.drop()

    def program(self, name: str) -> Program:
        """The small program of a name."""
        if name not in self._programs:
            program = self._programs[name] = small_program(self.user, name)
            self.files[name] = program.file
        return self._programs[name]

    def _on_abort(self, abort: Abort) -> bool:
        process = self.current
        report = handle_abort(self.user, process, abort)
        if process is not None:
            process.faults += 1
            process.last_fault = report
        return report.handled
