"""Relations of processes: tasks, their areas, and the pages that their tables name."""

from collections.abc import Mapping

import numpy as np

from ttbr.recover.linux_reading import INVALIDATED, KINDS, OLD, PRESENT, PROT_NONE, SWAP
from ttbr.recover.task_state import UNKNOWN as UNKNOWN_STATE
from ttbr.report.relations.relation import (
    Coded,
    Column,
    Known,
    Relation,
    Values,
    coded,
    known_from_zero,
    of_member,
)
from ttbr.report.relations.source import Source

_MAPPED = {
    "present": PRESENT,
    "prot_none": PROT_NONE,
    "old": OLD,
    "invalidated": INVALIDATED,
    "swapped": SWAP,
}


def _tasks(source: Source) -> Mapping[str, Values]:
    linux, tasks = source.linux, source.linux.tasks
    source.note_unknown(tasks.unknown)
    has_root = tasks.pgd != 0
    spaces = {root: linux.processes.of(root) for root in np.unique(tasks.pgd[has_root]).tolist()}
    roots = tasks.pgd.tolist()
    resident = [spaces[root].resident if root else 0 for root in roots]
    tables = [spaces[root].tables if root else 0 for root in roots]
    return {
        "pid": known_from_zero(tasks.pid),
        "tgid": known_from_zero(tasks.tgid),
        "ppid": known_from_zero(tasks.parent),
        "uid": known_from_zero(tasks.uid),
        "state": [None if letter == UNKNOWN_STATE else letter for letter in tasks.state],
        "task": tasks.address,
        "mm": Known(tasks.mm, tasks.mm != 0),
        "root": Known(tasks.pgd, has_root),
        "asid": Known(tasks.asid, (tasks.asid >= 0) & (tasks.mm != 0)),
        "resident": Known(np.array(resident, np.int64), has_root),
        "tables": Known(np.array(tables, np.int64), has_root),
        "name": tasks.comm,
    }


def _vmas(source: Source) -> Mapping[str, Values]:
    linux, vmas, tasks = source.linux, source.linux.vmas, source.linux.tasks
    source.note_unknown(vmas.unknown)
    if vmas.damaged:
        source.notes.append(f"vmas: {vmas.damaged} nodes of trees of areas are not sound")
    unknown = [name.removeprefix("vm_area_struct.") for name in vmas.unknown]
    first: dict[int, int] = {}
    for row, mm in enumerate(tasks.mm.tolist()):
        first.setdefault(mm, row)
    rows = np.array([first[mm] for mm in vmas.mm.tolist()], np.intp)
    mapped = np.zeros((len(vmas), len(KINDS)), np.int64)
    edges = zip(vmas.start.tolist(), vmas.end.tolist(), strict=True)
    for row, (start, end) in enumerate(edges):
        root = int(tasks.pgd[rows[row]])
        if not root:
            continue
        space = linux.processes.of(root)
        inside = space.within(start, end)
        np.add.at(
            mapped[row], space.view.readings.kind[inside], space.view.size[inside].view(np.int64)
        )
    has_root = tasks.pgd[rows] != 0
    counted: dict[str, Values] = {
        name: Known(mapped[:, kind], has_root) for name, kind in _MAPPED.items()
    }
    rest = [kind for kind in range(len(KINDS)) if kind not in _MAPPED.values()]
    permissions = vmas.permissions()
    pid = tasks.pid[rows]
    return {
        "pid": known_from_zero(pid),
        "mm": vmas.mm,
        "vma": Known(vmas.address, vmas.address != 0),
        "start": vmas.start,
        "last": vmas.end - np.uint64(1),
        "size": (vmas.end - vmas.start).view(np.int64),
        "permissions": coded(
            np.where("vm_flags" in unknown, -1, np.arange(len(permissions))), permissions
        ),
        "flags": of_member(vmas.flags, "vm_flags", unknown),
        "file_offset": of_member(vmas.offset, "vm_pgoff", unknown),
        "major": Known(vmas.device >> 20, vmas.device >= 0),
        "minor": Known(vmas.device & 0xFFFFF, vmas.device >= 0),
        "inode": known_from_zero(vmas.inode),
        "name": vmas.name,
        **counted,
        "other": Known(mapped[:, rest].sum(axis=1), has_root),
    }


def _process_pages(source: Source) -> Mapping[str, Values]:
    found = source.use.entries
    return {
        "pid": known_from_zero(found.pid),
        "va": found.va,
        "pa": found.pa,
        "pfn": (found.pa // np.uint64(source.linux.page_size)).view(np.int64),
        "size": found.size.view(np.int64),
        "kind": Coded(found.kind.astype(np.int32), KINDS),
    }


TASKS = Relation(
    "tasks",
    "Processes and threads, without the idle ones, in the order of the kernel's list.",
    "ps",
    (
        Column("pid", "int64", "number of the task (the kernel's pid)"),
        Column("tgid", "int64", "number of the process that it is a thread of"),
        Column("ppid", "int64", "number of the parent process"),
        Column("uid", "int64", "number of the user"),
        Column("state", "string", "R, S, D … as /proc/PID/status has it"),
        Column("task", "uint64", "address of its task_struct"),
        Column("mm", "uint64", "address of its mm_struct, null for threads of the kernel"),
        Column("root", "uint64", "physical address of its root table"),
        Column("asid", "int64", "address space identifier"),
        Column("resident", "int64", "bytes of pages that the process has, by its tables"),
        Column("tables", "int64", "tables that it has for itself, with the root"),
        Column("name", "string", "comm"),
    ),
    _tasks,
)

VMAS = Relation(
    "vmas",
    "The areas of all processes, each mm's once, with what the tables map in each.",
    "maps",
    (
        Column("pid", "int64", "number of the first task that has the mm"),
        Column("mm", "uint64", "address of the mm_struct"),
        Column("vma", "uint64", "address of the vm_area_struct, null for one that has none"),
        Column("start", "uint64", "first address"),
        Column("last", "uint64", "last address (inclusive)"),
        Column("size", "int64", "bytes"),
        Column("permissions", "category", "rwxp or rwxs, as in /proc/PID/maps"),
        Column("flags", "uint64", "vm_flags (VM_…)"),
        Column("file_offset", "uint64", "bytes in the file, 0 without one"),
        Column("major", "int64", "device of the file, 0 without one"),
        Column("minor", "int64", "device of the file, 0 without one"),
        Column("inode", "int64", "inode of the file, 0 without one"),
        Column("name", "string", "as in /proc/PID/maps"),
        Column("present", "int64", "bytes whose entries are present"),
        Column("prot_none", "int64", "bytes of pages that PROT_NONE keeps from use"),
        Column("old", "int64", "bytes of old pages, on CPUs without an access flag"),
        Column("invalidated", "int64", "bytes whose entries are invalid for a moment"),
        Column("swapped", "int64", "bytes that are swapped out"),
        Column("other", "int64", "bytes of other entries: migrating, poisoned …"),
    ),
    _vmas,
)

PROCESS_PAGES = Relation(
    "process_pages",
    "Every entry of every process that names a page, by physical address.",
    "page",
    (
        Column("pid", "int64", "number of the first task that has the mm"),
        Column("va", "uint64", "first virtual address"),
        Column("pa", "uint64", "physical address of the first byte"),
        Column("pfn", "int64", "number of the first frame"),
        Column("size", "int64", "bytes of the page"),
        Column("kind", "category", "present, PROT_NONE, old, invalidated, migration-read …"),
    ),
    _process_pages,
)
