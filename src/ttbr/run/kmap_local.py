"""kmap_local_page(): short mappings of highmem pages, undone in reverse order, for one task.

They lie in the fixmap slots of the CPU that runs, and are taken away and put back when their task
is switched.

Source: mm/highmem.c (__kmap_local_pfn_prot, kunmap_local_indexed, __kmap_local_sched_out and _in),
arch/arm/include/asm/highmem.h of 6.1 and 6.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.arm_layout import PAGE_SIZE
from ttbr.run.cpu.asids import MmContext
from ttbr.run.fixmap import FIX_KMAP_BEGIN

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace

V6_TLB = ("CPU_V6", "CPU_V6K")


@dataclass(frozen=True, slots=True)
class LocalMap:
    """A mapping of a task: the page frame, and its slot among those of a CPU."""

    pfn: int
    slot: int


class KmapLocal:
    """The mappings of the tasks that run, by CPU; `switch` exchanges those of one CPU."""

    def __init__(self, space: KernelSpace) -> None:
        self._space = space
        config = space.machine.kernel.config
        self._step = 2 if config.enabled("DEBUG_KMAP_LOCAL") else 1
        smp_v6 = config.enabled("SMP") and any(config.enabled(option) for option in V6_TLB)
        self._reuses = not (
            smp_v6 or config.enabled("ARM_ERRATA_798181") or config.enabled("DEBUG_HIGHMEM")
        )
        self._stacks: dict[int, list[LocalMap]] = {}
        self._tasks: dict[int, MmContext | None] = {}
        self._waiting: dict[MmContext | None, list[LocalMap]] = {}

    @property
    def cpu(self) -> int:
        """The CPU whose slots are used: the one that runs."""
        return self._space.cpus.current.number

    @property
    def _stack(self) -> list[LocalMap]:
        return self._stacks.setdefault(self.cpu, [])

    @property
    def stack(self) -> tuple[LocalMap, ...]:
        """What is mapped, the oldest first."""
        return tuple(self._stack)

    def kmap_local(self, pfn: int) -> int:
        """kmap_local_page: the linear address, the pkmap slot that is there already, or a new slot.

        `TtbrError` if the CPU's slots are used up (a BUG in the kernel).
        """
        space = self._space
        linear = space.direct_map.page_address(pfn)
        if linear is not None:
            return linear
        if not isinstance(space.state, ArmBoot) or space.pkmap.base is None:
            raise InputError("the kernel has no highmem (CONFIG_HIGHMEM)")
        if self._reuses and space.pkmap.page_address(pfn) is not None:
            return space.pkmap.kmap_high(pfn)
        slot = (self._stack[-1].slot if self._stack else -1) + self._step
        slots = space.fixmap.kmap_slots
        if slot + 1 >= slots:
            raise TtbrError(f"kmap_local: all {slots} slots of CPU {self.cpu} are in use (BUG)")
        self._stack.append(LocalMap(pfn, slot))
        return self._map(self._stack[-1])

    def kunmap_local(self, address: int) -> None:
        """kunmap_local: undo the youngest mapping, which must be the one at this address."""
        space = self._space
        page = address // PAGE_SIZE * PAGE_SIZE
        if isinstance(space.state, ArmBoot) and not self._in_slots(page):
            for _, pfn, _ in space.pkmap.mapped():
                if space.pkmap.page_address(pfn) == page and self._reuses:
                    space.pkmap.kunmap_high(pfn)
            return
        if not self._stack:
            raise InputError(f"kunmap_local({address:#010x}): nothing is mapped")
        if self._address(self._stack[-1]) != page:
            raise InputError(
                f"kunmap_local({address:#010x}) is out of order: the youngest mapping is at "
                f"{self._address(self._stack[-1]):#010x}"
            )
        self._unmap(self._stack.pop())

    def switch(self, task: MmContext | None) -> None:
        """__kmap_local_sched_out and _in: the CPU's slots hold what the task that comes had mapped.

        A task is told by its address space; None is a kernel thread.
        """
        cpu = self.cpu
        gone = self._stacks.pop(cpu, [])
        for each in gone:
            self._unmap(each)
        if gone:
            self._waiting[self._tasks.get(cpu)] = gone
        self._tasks[cpu] = task
        self._stacks[cpu] = self._waiting.pop(task, [])
        for each in self._stacks[cpu]:
            self._map(each)

    def _map(self, each: LocalMap) -> int:
        space, address = self._space, self._address(each)
        space.map.set_page(address, each.pfn * PAGE_SIZE, space.prot.kernel)
        what = f"page frame {each.pfn:#x} in slot {each.slot} of CPU {self.cpu}"
        space.log.add("kmap", "kmap_local", what, address, address + PAGE_SIZE - 1)
        space.tlb.flush_kernel_page(address)
        return address

    def _unmap(self, each: LocalMap) -> None:
        space, address = self._space, self._address(each)
        space.map.clear_page(address)
        space.log.add("kmap", "kunmap_local", "", address, address + PAGE_SIZE - 1)
        space.tlb.flush_kernel_page(address)

    def _address(self, each: LocalMap) -> int:
        slots = self._space.fixmap.kmap_slots
        return self._space.fixmap.address(FIX_KMAP_BEGIN + each.slot + self.cpu * slots)

    def _in_slots(self, address: int) -> bool:
        fixmap = self._space.fixmap
        lowest = fixmap.address(fixmap.text_poke[0] - 1)
        return lowest <= address <= fixmap.address(FIX_KMAP_BEGIN)
