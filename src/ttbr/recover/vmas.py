"""The areas of processes (VMAs): what each may do, which file it shows, what it is called."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.release import Release
from ttbr.recover.layouts import Layouts
from ttbr.recover.maple_tree import read_trees
from ttbr.recover.paths import Paths
from ttbr.recover.virtual_memory import VirtualMemory

# include/linux/mm.h
VM_READ, VM_WRITE, VM_EXEC, VM_SHARED, VM_MAYSHARE = 1, 2, 4, 8, 0x80
GATE, GATE_SIZE = 0xFFFF0000, 0x1000
_MOST_AREAS = 1 << 20
_Number = TypeVar("_Number", np.uint64, np.int64)


@dataclass(frozen=True)
class Vmas:
    """The areas of some mms, by mm and address; columns of equal length.

    ``mm``: address of the mm_struct; ``address``: of the vm_area_struct (0 for one that has none).
    ``start``, ``end`` (exclusive), ``flags`` (VM_…), ``offset`` (bytes in the file; 0 without one),
    ``file`` (0 without one): uint64. ``device`` (major << 20 | minor), ``inode``: int64, 0 without
    a file, -1 where unknown. ``name``: as in /proc/PID/maps, None where it is unknown.
    ``unknown``: members that could not be determined. ``damaged``: tree nodes that are not sound.
    """

    mm: NDArray[np.uint64]
    address: NDArray[np.uint64]
    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    offset: NDArray[np.uint64]
    file: NDArray[np.uint64]
    device: NDArray[np.int64]
    inode: NDArray[np.int64]
    name: tuple[str | None, ...]
    unknown: tuple[str, ...] = ()
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.start)

    def permissions(self) -> list[str]:
        """``rwxp`` or ``rwxs`` of each area, as in /proc/PID/maps."""
        letters = ((VM_READ, "r-"), (VM_WRITE, "w-"), (VM_EXEC, "x-"), (VM_MAYSHARE, "sp"))
        return [
            "".join(both[0] if flags & bit else both[1] for bit, both in letters)
            for flags in self.flags.tolist()
        ]


def read_vmas(
    kernel: VirtualMemory,
    layouts: Layouts,
    mms: NDArray[np.uint64],
    page_size: int,
    release: Release | None,
    gate: bool = False,
) -> Vmas:
    """All areas of the mms, which are distinct; ``gate``: whether each has the gate area, too."""
    touching = release is not None and not release.has("heap_overlaps_brk")
    areas, owner, damaged = _areas(kernel, layouts, mms)
    unknown: list[str] = []

    def column(member: str, size: int = 0) -> NDArray[np.uint64]:
        offset = layouts.offset("vm_area_struct", member)
        if offset is None:
            unknown.append(f"vm_area_struct.{member}")
            return np.zeros(len(areas), np.uint64)
        return kernel.words(areas + np.uint64(offset), 1, size or kernel.word)[0][:, 0]

    start, end, flags = column("vm_start"), column("vm_end"), column("vm_flags")
    offset, file = column("vm_pgoff"), column("vm_file")
    private = column("vm_private_data")
    paths = Paths(kernel, layouts)
    named = [paths.of(at) if at else None for at in file.tolist()]
    marks = _marks(kernel, layouts, mms, unknown)
    names: list[str | None] = []
    for row, known in enumerate(named):
        if known is not None:
            names.append(known.path)
            continue
        special = _special(kernel, int(private[row]))
        mm = int(owner[row])
        names.append(special or _part(marks, mm, int(start[row]), int(end[row]), touching) or "")
    no = np.int64(-1)
    device = [0 if k is None else (no if k.device is None else k.device) for k in named]
    inode = [0 if k is None else (no if k.inode is None else k.inode) for k in named]
    order = np.lexsort((start, mms[owner]))
    found = Vmas(
        mms[owner][order],
        areas[order],
        start[order],
        end[order],
        flags[order],
        np.where(file != 0, offset * np.uint64(page_size), 0).astype(np.uint64)[order],
        file[order],
        np.array(device, np.int64)[order],
        np.array(inode, np.int64)[order],
        tuple(names[row] for row in order.tolist()),
        tuple(dict.fromkeys(unknown)),
        damaged,
    )
    return _with_gate(found, mms) if gate else found


def _with_gate(found: Vmas, mms: NDArray[np.uint64]) -> Vmas:
    """The areas with one more at the end of each mm: the vectors' page of 32-bit ARM.

    It is in no tree (arch/arm/kernel/process.c: gate_vma).
    """
    at = np.searchsorted(found.mm, np.sort(mms), side="right")

    def more(column: NDArray[_Number], value: int) -> NDArray[_Number]:
        return np.insert(column, at, value)

    names = list(found.name)
    for place in at.tolist()[::-1]:
        names.insert(place, "[vectors]")
    return replace(
        found,
        mm=np.insert(found.mm, at, np.sort(mms)),
        address=more(found.address, 0),
        start=more(found.start, GATE),
        end=more(found.end, GATE + GATE_SIZE),
        flags=more(found.flags, VM_READ | VM_EXEC | (VM_READ | VM_EXEC) << 4),
        offset=more(found.offset, 0),
        file=more(found.file, 0),
        device=more(found.device, 0),
        inode=more(found.inode, 0),
        name=tuple(names),
    )


def _areas(
    kernel: VirtualMemory, layouts: Layouts, mms: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    """The areas' addresses, the row of each one's mm, and how much of the trees is damaged."""
    tree = layouts.offset("mm_struct", "mm_mt")
    root = layouts.offset("maple_tree", "ma_root")
    if tree is not None and root is not None:
        roots, _ = kernel.words(mms + np.uint64(tree + root), 1, kernel.word)
        found = read_trees(kernel, roots[:, 0])
        return found.value, found.tree, found.damaged
    first = layouts.offset("mm_struct", "mmap")
    after = layouts.offset("vm_area_struct", "vm_next")
    areas: list[int] = []
    owners: list[int] = []
    if first is not None and after is not None:  # a list, until 6.1
        seen: set[int] = set()
        for row, mm in enumerate(mms.tolist()):
            at = kernel.number(mm + first)
            while at and at not in seen and len(areas) < _MOST_AREAS:
                seen.add(at)
                areas.append(at)
                owners.append(row)
                at = kernel.number(at + after)
    return np.array(areas, np.uint64), np.array(owners, np.int64), 0


def _marks(
    kernel: VirtualMemory, layouts: Layouts, mms: NDArray[np.uint64], unknown: list[str]
) -> NDArray[np.uint64] | None:
    """start_brk, brk and start_stack of each mm."""
    offsets = layouts.offsets("mm_struct", "start_brk", "brk", "start_stack")
    if offsets is None:
        unknown.append("mm_struct.start_brk")
        return None
    return np.stack(
        [kernel.words(mms + np.uint64(at), 1, kernel.word)[0][:, 0] for at in offsets], axis=1
    )


def _part(
    marks: NDArray[np.uint64] | None, mm: int, start: int, end: int, touching: bool
) -> str | None:
    """[heap] or [stack] (fs/proc/task_mmu.c: get_vma_name)."""
    if marks is None:
        return None
    heap, heap_end, stack = marks[mm].tolist()
    if start < heap_end + touching and end + touching > heap:
        return "[heap]"
    return "[stack]" if start <= stack <= end else None


def _special(kernel: VirtualMemory, private: int) -> str | None:
    """The name that a special mapping ([vdso] and the like) begins with, or None."""
    name = kernel.number(private) if private else None
    text = kernel.text(name, 64) if name else None
    return text if text is not None and text.startswith("[") and text.endswith("]") else None
