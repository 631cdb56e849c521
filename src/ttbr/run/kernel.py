"""The running kernel: the machine as the boot left it, and what works on it from then on."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.boot import Boot
from ttbr.boot.machine import Machine
from ttbr.errors import InputError
from ttbr.kernel.kernel import Kernel
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image
from ttbr.run.cma import Cma
from ttbr.run.cpu.cores import CoreTlbs
from ttbr.run.cpu.cpu import CpuState
from ttbr.run.cpu.cpus import Cpus
from ttbr.run.cpu.features import features
from ttbr.run.cpu.flush import Flush
from ttbr.run.events import RunLog
from ttbr.run.gfp import GFP_KERNEL, Gfp
from ttbr.run.init_perms import kernel_init_perms
from ttbr.run.kernel_space import KernelSpace
from ttbr.run.kmalloc import Kmalloc
from ttbr.run.kpti_ng import kpti_install_ng_mappings
from ttbr.run.mm.processes import INIT, Processes
from ttbr.run.page_addresses import PageAddresses
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.table_writes import TableWrites

if TYPE_CHECKING:
    from ttbr.run.mm.exec import Program
    from ttbr.run.mm.process import Process
    from ttbr.run.mm.user_layout import Placement

RUNNING = "running"
"""The stage that images of a running kernel carry."""


class RunningKernel:
    """A kernel that runs on a machine; everything it does ends in ``machine.ram``.

    ``pages``: the page allocator. ``tables``: how table entries are written. ``cpus``: the CPUs,
    of which `cpu` is the one that runs. ``log``: what happened since the boot. ``space``: the
    kernel's own addresses. ``addresses``: those of page frames. ``slabs``: objects by size.
    ``cma``: contiguous areas. ``user``: processes and what they share, from the first time that it
    is asked for.
    """

    def __init__(self, machine: Machine, tlbs: CoreTlbs | None = None) -> None:
        """`machine`: as the last stage of the boot left it; it belongs to the kernel from here.

        `tlbs`: other ones than those of the machine's CPU.
        """
        self.machine = machine
        machine.stage = RUNNING
        self.log = RunLog()
        self.pages = PageAllocator(machine, self.log)
        self.addresses = PageAddresses(machine)
        self.slabs = Kmalloc(machine, self.pages)
        self.cma = Cma(machine, self.pages, self.log)
        self.tables = TableWrites(machine.ram, self.entry_size)
        self.cpus = Cpus(machine, self.tables, self.log, core=tlbs)
        self.space = KernelSpace(machine, self.pages, self.tables, self.log, self.cpus)
        kernel_init_perms(self.space)
        state = machine.arch_state
        if isinstance(state, Arm64) and features(state).kpti:
            kpti_install_ng_mappings(self.space)

    @property
    def cpu(self) -> CpuState:
        """The CPU that runs: its accesses and its TLB."""
        return self.cpus.current

    @property
    def tlb(self) -> Flush:
        """TLB maintenance, which reaches all CPUs."""
        return self.cpus.flush

    @cached_property
    def user(self) -> Processes:
        """User space: the processes and the files that they map."""
        return Processes(self)

    @property
    def processes(self) -> dict[int, Process]:
        """The processes that there are, by number."""
        return self.user.all

    def spawn(
        self,
        program: Program | None = None,
        *,
        name: str = INIT,
        pid: int | None = None,
        placement: Placement | None = None,
        seed: int | None = None,
    ) -> Process:
        """A new process that runs a program, see `Processes.spawn`."""
        return self.user.spawn(program, name=name, pid=pid, placement=placement, seed=seed)

    @property
    def kernel(self) -> Kernel:
        """What was booted."""
        return self.machine.kernel

    @property
    def ram(self) -> Ram:
        """The machine's memory."""
        return self.machine.ram

    @property
    def arch(self) -> str:
        """``arm64`` or ``arm``."""
        return self.kernel.arch

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return self.kernel.page_size

    @property
    def entry_size(self) -> int:
        """Bytes of a descriptor: 4 with short descriptors, else 8."""
        short = self.arch == "arm" and not self.kernel.config.enabled("ARM_LPAE")
        return 4 if short else 8

    def get_free_pages(self, order: int, gfp: Gfp = GFP_KERNEL) -> int:
        """``__get_free_pages``: the linear address of 2^order pages."""
        pfn = self.pages.alloc_pages(order, gfp & ~Gfp.HIGHMEM)
        address = self.addresses.page_address(pfn)
        assert address is not None
        return address

    def free_pages(self, address: int, order: int) -> None:
        """``free_pages``: free what get_free_pages() gave; `InputError` for anything else."""
        try:
            pfn = self.addresses.pfn(address)
        except ValueError as error:
            raise InputError(f"free_pages: {error}") from None
        self.pages.free_pages(pfn, order)

    def kmalloc(self, size: int, gfp: Gfp = GFP_KERNEL) -> int:
        """Kernel memory of ``size`` bytes in the linear map; its address."""
        return self.slabs.kmalloc(size, gfp)

    def kfree(self, address: int) -> None:
        """Free what kmalloc gave."""
        self.slabs.kfree(address)

    def vmalloc(self, size: int) -> int:
        """Kernel memory of ``size`` bytes, contiguous in virtual addresses only; its address."""
        return self.space.vmalloc.vmalloc(size)

    def vfree(self, address: int) -> None:
        """Free what vmalloc gave."""
        self.space.vmalloc.vfree(address)

    def ioremap(self, phys: int, size: int, kind: str = "device") -> int:
        """Map device registers into the kernel; their virtual address."""
        return self.space.io.ioremap(phys, size, kind)

    def iounmap(self, address: int) -> None:
        """Undo ioremap()."""
        self.space.io.iounmap(address)

    def image(self) -> Image:
        """The machine as it is now; what the kernel does later does not change the image.

        The root table of process 7 has the name ``pid7`` in it.
        """
        self.cpu.enter_kernel()
        image = self.machine.image()
        running = self.user.all.values() if "user" in self.__dict__ else ()
        roots = {f"pid{process.pid}": process.mm.pgd for process in running}
        facts = replace(image.facts, roots={**image.facts.roots, **roots})
        return replace(image, facts=facts)


def run(boot: Boot, *, tlbs: CoreTlbs | None = None) -> RunningKernel:
    """Run the kernel that was booted, on a machine of its own: ``boot`` stays as it is.

    ``tlbs``: other ones than those of the machine's CPU; `ttbr.run.cpu.cores` has Arm's cores.
    `InputError` if the boot did not come to the end of its last stage.
    """
    if boot.machine.handed_over is None:
        why = f": {boot.failure}" if boot.failure is not None else ""
        raise InputError(f"the boot ended before the page allocator had its memory{why}")
    return RunningKernel(_own(boot.machine), tlbs)


def _own(machine: Machine) -> Machine:
    """A copy of the machine that shares what does not change any more.

    That is also memblock and the boot's log. The state of the architecture's stages is copied with
    it, since it writes to the machine's memory.
    """
    settled: list[object] = [machine.board, machine.kernel, machine.placement, machine.cpu]
    settled += [machine.tree, machine.memblock, machine.log, machine.handed_over]
    state = machine.arch_state
    if isinstance(state, ArmBoot):
        settled += [state.layout, state.bits, state.mem_types]
    memo: dict[int, object] = {id(part): part for part in settled}
    memo[id(machine.ram)] = machine.ram.snapshot()
    return copy.deepcopy(machine, memo)
