"""/proc/PID/pagemap: an entry for every page of a process that has one.

Source: fs/proc/task_mmu.c: pte_to_pagemap_entry, pagemap_pmd_range, pagemap_hugetlb_range.
"""

from __future__ import annotations

from collections.abc import Iterator

from ttbr.report.proc.pages import mapped
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.process import Process

PRESENT, FILE, EXCLUSIVE, SOFT_DIRTY = 1 << 63, 1 << 61, 1 << 56, 1 << 55
"""PM_PRESENT, PM_FILE, PM_MMAP_EXCLUSIVE, PM_SOFT_DIRTY, which is not modelled."""


def pagemap(kernel: RunningKernel, process: Process) -> list[str]:
    """``address frame entry`` for every entry that is not zero."""
    found = entries(kernel, process)
    return [f"{va:#x} {entry & (1 << 55) - 1:#x} {entry:#x}" for va, entry in found]


def entries(kernel: RunningKernel, process: Process) -> Iterator[tuple[int, int]]:
    """(address, entry) of every page of memory that is present."""
    page = kernel.page_size
    for area in process.mm.vmas:
        for found in mapped(process.mm, area):
            flags = PRESENT
            if found.counted and not found.anonymous:
                flags |= FILE
            if found.counted and found.users == 1:
                flags |= EXCLUSIVE
            for number in range(found.size // page):
                yield found.va + number * page, found.pfn + number | flags
