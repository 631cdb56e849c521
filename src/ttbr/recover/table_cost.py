"""What a process's tables cost, as the kernel counts it."""

import numpy as np

from ttbr.errors import InputError
from ttbr.recover.linux import Linux


def table_bytes(linux: Linux, row: int) -> int | None:
    """``mm_pgtables_bytes`` of the task in a row of ``linux.tasks``: VmPTE of /proc/PID/status.

    For every transparent huge page a table is in store that no entry points to; those pages are
    leaves above the last level in areas without a file (mm/huge_memory.c:
    pgtable_trans_huge_deposit). Where there are such leaves and the areas are not known: None.
    """
    process = linux.processes.of(int(linux.tasks.pgd[row]))
    view = process.view
    huge = view.va[view.level < process.space.regime.levels[-1].number]
    if not len(huge):
        return process.table_bytes
    try:
        vmas = linux.vmas
    except InputError:
        return None
    mine = vmas.mm == linux.tasks.mm[row]
    area = np.searchsorted(vmas.start[mine], huge, side="right") - 1
    if "vm_area_struct.vm_file" in vmas.unknown or (area < 0).any():
        return None
    if (huge >= vmas.end[mine][area]).any():
        return None
    stored = int((vmas.file[mine][area] == 0).sum())
    return process.table_bytes + stored * process.last_table
