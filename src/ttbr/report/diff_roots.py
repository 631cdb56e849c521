"""Which root tables of two images are held against each other, and what their ranges are called."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from ttbr.errors import TtbrError
from ttbr.mmu.image import Image
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.vmalloc import FLAGS
from ttbr.report.diff_groups import NO_AREAS, Areas
from ttbr.report.hostile import shown
from ttbr.report.kernel_memory import flag_words

_ALL = 1 << 64
_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


class Roots(NamedTuple):
    """A root to compare: what it is called, and what it is called in A and in B; None: not there.

    ``end``: what lies there and above is left out. ``areas``: names of ranges in A and B. Those of
    a process are regions of it; those of the kernel say who asked for the memory.
    """

    name: str
    a: str | None
    b: str | None
    end: int = _ALL
    areas: tuple[Areas, Areas] = (NO_AREAS, NO_AREAS)
    is_process: bool = False


class Process(NamedTuple):
    """A root table with the number and name of the first task that has it; ``mm``: its address."""

    root: int
    pid: int
    name: str
    mm: int

    @property
    def owner(self) -> str:
        """How it is called."""
        return f"{shown(self.name)} ({self.pid})"


def kernel_roots(a: Linux, b: Linux) -> Roots:
    """The kernel's root, with the areas of the vmalloc space."""
    return Roots("kernel", "kernel", "kernel", _ALL, (_vmalloc(a), _vmalloc(b)))


def process_roots(a: Linux, b: Linux) -> list[Roots]:
    """The roots of all processes of both: those of one number and name belong together, then those
    at one address. Empty where neither image has tasks.
    """
    ours, theirs = _processes(a), _processes(b)
    pairs: list[tuple[Process | None, Process | None]] = []
    left = dict(theirs)
    by_name = {(each.pid, each.name): each for each in theirs.values()}
    alone = []
    for one in ours.values():
        other = by_name.get((one.pid, one.name))
        if other is None or other.root not in left:
            alone.append(one)
            continue
        pairs.append((one, left.pop(other.root)))
    pairs += [(one, left.pop(one.root, None)) for one in alone]
    pairs += [(None, other) for other in left.values()]
    return [_pair(a, b, one, other) for one, other in pairs]


def one_root(a: Linux, b: Linux, first: str, second: str) -> Roots:
    """Two roots as `Image.address_space` takes them; processes' with the names of their ranges."""
    found = [_named(linux, root) for linux, root in ((a, first), (b, second))]
    one, other = found
    if one is not None and other is not None:
        return _pair(a, b, one, other)
    if first == second == "kernel":
        return kernel_roots(a, b)
    return Roots(first if first == second else f"{first} and {second}", first, second)


def _named(linux: Linux, root: str) -> Process | None:
    kind, _, at = root.partition(":")
    table = _table(linux.image, root) if kind == "user" and at else None
    return None if table is None else _processes(linux).get(table)


def _table(image: Image, root: str) -> int | None:
    try:
        return image.address_space(root).root
    except TtbrError:
        return None


def _pair(a: Linux, b: Linux, one: Process | None, other: Process | None) -> Roots:
    names = dict.fromkeys(each.owner for each in (one, other) if each is not None)
    return Roots(
        " and ".join(names),
        None if one is None else f"user:{one.root:#x}",
        None if other is None else f"user:{other.root:#x}",
        min(linux.processes.end for linux in (a, b)),
        (_vmas(a, one), _vmas(b, other)),
        is_process=True,
    )


def _processes(linux: Linux) -> Mapping[int, Process]:
    """The processes by their root tables, in the order of the kernel's list."""
    try:
        tasks = linux.tasks
    except TtbrError:
        return {}
    found: dict[int, Process] = {}
    rows = zip(tasks.pgd.tolist(), tasks.pid.tolist(), tasks.comm, tasks.mm.tolist(), strict=True)
    for root, pid, name, mm in rows:
        if root:
            found.setdefault(root, Process(root, pid, name, mm))
    return found


def _vmas(linux: Linux, process: Process | None) -> Areas:
    """The areas of a process by their names; '' for anonymous memory."""
    if process is None:
        return NO_AREAS
    try:
        vmas = linux.vmas
    except TtbrError:
        return NO_AREAS
    first, end = (int(np.searchsorted(vmas.mm, np.uint64(process.mm), side)) for side in _SIDES)
    names = tuple(shown(name or "anonymous") for name in vmas.name[first:end])
    return Areas(vmas.start[first:end], vmas.end[first:end] - np.uint64(1), names)


def _vmalloc(linux: Linux) -> Areas:
    """The areas of the vmalloc space: what each is, and who asked for it."""
    try:
        found = KernelMemory(linux).vmalloc
    except TtbrError:
        found = None
    if found is None:
        return NO_AREAS
    order = np.argsort(found.start, kind="stable")
    return Areas(
        found.start[order],
        found.start[order] + found.size[order] - np.uint64(1),
        tuple(
            _asked(linux, int(found.flags[row]), int(found.caller[row])) for row in order.tolist()
        ),
    )


def _asked(linux: Linux, flags: int, caller: int) -> str:
    kind = flag_words(flags & sum(FLAGS), FLAGS) or "vmalloc space"
    near = linux.symbols.nearest(caller) if caller else None
    return kind if near is None else f"{kind} by {shown(near[0])}"
