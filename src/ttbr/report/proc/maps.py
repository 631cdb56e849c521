"""/proc/PID/maps: the areas of a process.

Device and inode numbers are not modelled: files show 00:02 and 0.

Source: fs/proc/task_mmu.c: show_map_vma, show_vma_header_prefix.
"""

from __future__ import annotations

from ttbr.kernel.vm_flags import letters
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.process import Process
from ttbr.run.mm.vma import Vma

FILE_SYSTEM, NONE = "00:02", "00:00"
NAME_COLUMN = {"arm64": 25 + 8 * 6, "arm": 25 + 4 * 6}
"""Where the name begins (seq_setwidth): 25 + 6·sizeof(void *)."""


def maps(kernel: RunningKernel, process: Process) -> list[str]:
    """The file's lines."""
    return [header(kernel, process, area) for area in process.mm.vmas]


def header(kernel: RunningKernel, process: Process, area: Vma) -> str:
    """The line of an area."""
    page = kernel.page_size
    named = area.file is not None or area.pool is not None
    offset = area.pgoff * page if named else 0
    device = FILE_SYSTEM if named else NONE
    start = f"{area.start:08x}-{area.end:08x} {letters(area.flags)} {offset:08x} {device} 0 "
    found = name(kernel, process, area)
    return f"{start:<{NAME_COLUMN[kernel.arch]}}{found}" if found else start


def name(kernel: RunningKernel, process: Process, area: Vma) -> str:
    """What the area is called; empty for memory without a name."""
    mm = process.mm
    if area.file is not None:
        return area.file.name
    if area.special is not None:
        return area.special.name
    if area.pool is not None:
        return "/anon_hugepage (deleted)"
    overlaps = kernel.kernel.release.has("heap_overlaps_brk")
    if overlaps and area.start < mm.brk and area.end > mm.start_brk:
        return "[heap]"
    if not overlaps and area.start <= mm.brk and area.end >= mm.start_brk:
        return "[heap]"
    return "[stack]" if area.start <= mm.start_stack <= area.end else ""
