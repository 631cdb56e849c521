"""/proc/PID/status: what it says of a process's memory.

Source: fs/proc/task_mmu.c: task_mem; fs/proc/array.c; mm/hugetlb.c: hugetlb_report_usage;
kernel/fork.c: vm_stat_account (is_data_mapping, is_stack_mapping, is_exec_mapping).
"""

from __future__ import annotations

from ttbr.kernel.vm_flags import Vm
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.mm import ANON, FILE, SHMEM
from ttbr.run.mm.process import Process
from ttbr.run.mm.vma import Vma

KIB = 1 << 10


def status(kernel: RunningKernel, process: Process) -> list[str]:
    """The lines about memory. Peaks (VmPeak, VmHWM) and what is not modelled are left out."""
    mm = process.mm
    page = kernel.page_size
    rss = {kind: count * page for kind, count in mm.rss.items()}
    total = sum(area.size for area in mm.vmas)
    executable = [area for area in mm.vmas if _is_executable(area)]
    program = next((area.file for area in executable if area.file is not None), None)
    text = sum(area.size for area in executable if area.file is not None and area.file is program)
    figures = {
        "VmSize": total,
        "VmLck": 0,
        "VmPin": 0,
        "VmRSS": sum(rss.values()),
        "RssAnon": rss[ANON],
        "RssFile": rss[FILE],
        "RssShmem": rss[SHMEM],
        "VmData": sum(area.size for area in mm.vmas if _is_data(area)),
        "VmStk": sum(area.size for area in mm.vmas if area.growsdown),
        "VmExe": text,
        "VmLib": sum(area.size for area in executable) - text,
        "VmPTE": mm.tables.bytes,
        "VmSwap": 0,
    }
    if kernel.kernel.config.enabled("HUGETLB_PAGE"):
        figures["HugetlbPages"] = mm.hugetlb
    head = [f"Name:\t{process.name}", f"Pid:\t{process.pid}"]
    if process.parent is not None:
        head.append(f"PPid:\t{process.parent.pid}")
    return head + [f"{key}:\t{value // KIB:8d} kB" for key, value in figures.items()]


def _is_data(area: Vma) -> bool:
    """Private and writable, and no stack."""
    return area.flags & (Vm.WRITE | Vm.SHARED | Vm.GROWSDOWN) == Vm.WRITE


def _is_executable(area: Vma) -> bool:
    """Executable, and neither writable nor a stack."""
    return area.flags & (Vm.EXEC | Vm.WRITE | Vm.GROWSDOWN) == Vm.EXEC
