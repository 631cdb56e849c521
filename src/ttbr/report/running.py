"""What can be shown of a running kernel by name: files of /proc, TLBs, slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ttbr.format import size
from ttbr.report.proc.buddyinfo import buddyinfo
from ttbr.report.proc.maps import maps
from ttbr.report.proc.meminfo import meminfo, meminfo_lines
from ttbr.report.proc.pagemap import pagemap
from ttbr.report.proc.pagetypeinfo import pagetypeinfo
from ttbr.report.proc.smaps import smaps
from ttbr.report.proc.status import status
from ttbr.report.proc.vmallocinfo import vmallocinfo
from ttbr.report.proc.zoneinfo import zoneinfo
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.process import Process


def tlb(kernel: RunningKernel) -> list[str]:
    """The TLBs of the CPU that runs: what they are, what they hold, and how often they helped."""
    found = kernel.cpu.tlb
    core, counts = found.core, found.counts
    lines = [f"CPU {kernel.cpu.number}: TLBs of {core.name}, ASID {kernel.cpu.asid}"]
    names = ("instruction", "data", "main")
    shapes = (core.instruction, core.data, core.main)
    for name, shape, array in zip(names, shapes, found.arrays, strict=True):
        lines.append(
            f"{name:12} {len(array):5} of {shape.entries} entries, {shape.ways} ways, "
            f"reach {size(array.reach())}"
        )
    lines.append(
        f"accesses {counts.accesses}: first level {counts.first}, main {counts.main}, "
        f"walks {counts.walks} ({counts.reads} descriptors read)"
    )
    lines.append(f"evicted {counts.evicted}, invalidated {counts.invalidated}")
    return lines


def fixmap(kernel: RunningKernel) -> list[str]:
    """The slots of the fixmap that map something."""
    found = kernel.space.fixmap
    return [
        f"{index:5} {address:#x} -> {phys:#x}  {found.name(index)}"
        for index, address, phys in found.slots()
    ]


def kmap(kernel: RunningKernel) -> list[str]:
    """The slots of pkmap, then the mappings of kmap_local."""
    space = kernel.space
    lines = [
        f"slot {slot:3} {space.pkmap.page_address(pfn):#x} frame {pfn:#x} count {count}"
        for slot, pfn, count in space.pkmap.mapped()
    ]
    cpu = space.kmap_local.cpu
    lines += [f"CPU {cpu} slot {each.slot} frame {each.pfn:#x}" for each in space.kmap_local.stack]
    return lines


def processes(kernel: RunningKernel) -> list[str]:
    """Every process with its root table, ASID and page tables."""
    asids = kernel.cpus.asids
    return [
        f"{process.pid:5} {process.name:15} pgd {process.mm.pgd:#x} "
        f"asid {asids.asid(process.mm.context)} VmPTE {size(process.mm.tables.bytes)} "
        f"faults {process.faults}"
        for process in kernel.processes.values()
    ]


def violations(kernel: RunningKernel) -> list[str]:
    """What was found wrong with tables and TLBs."""
    return [str(each) for each in (*kernel.cpus.violations, *kernel.space.missing_syncs())]


def assumptions(kernel: RunningKernel) -> list[str]:
    """What is not known of the machine, or was taken for granted."""
    return [*kernel.machine.unknowns, *kernel.cpus.assumptions]


KERNEL_VIEWS: Mapping[str, Callable[[RunningKernel], list[str]]] = MappingProxyType(
    {
        "meminfo": lambda kernel: meminfo_lines(meminfo(kernel)),
        "buddyinfo": lambda kernel: buddyinfo(kernel.pages),
        "zoneinfo": zoneinfo,
        "pagetypeinfo": lambda kernel: pagetypeinfo(kernel.pages),
        "vmallocinfo": vmallocinfo,
        "tlb": tlb,
        "fixmap": fixmap,
        "kmap": kmap,
        "processes": processes,
        "violations": violations,
        "assumptions": assumptions,
    }
)
PROCESS_VIEWS: Mapping[str, Callable[[RunningKernel, Process], list[str]]] = MappingProxyType(
    {"maps": maps, "smaps": smaps, "pagemap": pagemap, "status": status}
)
