"""Tasks: the processes and threads of an image, as columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.layouts import Layouts
from ttbr.recover.task_state import state_letters
from ttbr.recover.virtual_memory import VirtualMemory

COMM = 16
_MOST_TASKS = 1 << 20
UNKNOWN_ASID = -1


@dataclass(frozen=True)
class Tasks:
    """Every task in the order of the kernel's list, threads behind their leader.

    ``address``: of the task_struct; ``mm``: of the mm_struct, 0 for kernel threads. ``pgd``: the
    physical address of the root table, 0 without one; uint64. ``pid``, ``tgid``, ``parent`` (the
    real parent's tgid): int64, -1 where unknown. ``asid``: int64, -1 where unknown or none.
    ``uid``: the real user's number, int64, -1 where unknown. ``state``: letters as in
    /proc/PID/status, ``?`` where unknown. ``comm``: names. ``unknown``: what could not be
    determined for any task.
    """

    address: NDArray[np.uint64]
    pid: NDArray[np.int64]
    tgid: NDArray[np.int64]
    parent: NDArray[np.int64]
    mm: NDArray[np.uint64]
    pgd: NDArray[np.uint64]
    asid: NDArray[np.int64]
    uid: NDArray[np.int64]
    state: tuple[str, ...]
    comm: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.address)

    def rows_of(self, pid: int) -> NDArray[np.intp]:
        """The rows with a number; mostly one."""
        return np.flatnonzero(self.pid == pid)


def task_addresses(kernel: VirtualMemory, layouts: Layouts, init_task: int) -> list[int]:
    """All tasks but the idle ones: the leaders in the list behind init_task, each with threads."""
    tasks = layouts.offset("task_struct", "tasks")
    if tasks is None:
        return []
    node = layouts.offset("task_struct", "thread_node")
    signal = layouts.offset("task_struct", "signal")
    head = layouts.offset("signal_struct", "thread_head")
    found: list[int] = []
    seen = {init_task}
    at = kernel.number(init_task + tasks)
    while at is not None and at >= tasks and at - tasks not in seen and len(found) < _MOST_TASKS:
        leader = at - tasks
        seen.add(leader)
        found.append(leader)
        if node is not None and signal is not None and head is not None:
            found += _threads(kernel, leader, node, signal, head, seen)
        at = kernel.number(at)
    return found


def _threads(
    kernel: VirtualMemory, leader: int, node: int, signal: int, head: int, seen: set[int]
) -> list[int]:
    """The other threads of a group."""
    group = kernel.number(leader + signal)
    if not group:
        return []
    threads: list[int] = []
    at = kernel.number(group + head)
    while at is not None and at >= node and at != group + head and len(seen) < _MOST_TASKS:
        thread = at - node
        if thread in seen and thread != leader:
            break
        if thread != leader:
            seen.add(thread)
            threads.append(thread)
        at = kernel.number(at)
    return threads


def read_tasks(kernel: VirtualMemory, layouts: Layouts, init_task: int, asid_mask: int) -> Tasks:
    """The tasks behind ``init_task``; ``asid_mask``: the bits of context.id that are the ASID."""
    address = np.array(task_addresses(kernel, layouts, init_task), np.uint64)
    unknown: list[str] = []

    def column(struct: str, member: str, base: NDArray[np.uint64], size: int) -> _Column:
        offset = layouts.offset(struct, member)
        if offset is None:
            unknown.append(f"{struct}.{member}")
            return np.zeros(len(base), np.uint64), np.zeros(len(base), np.bool_)
        wanted = base != 0
        out, there = np.zeros(len(base), np.uint64), np.zeros(len(base), np.bool_)
        words, present = kernel.words(base[wanted] + np.uint64(offset), 1, size)
        out[wanted], there[wanted] = words[:, 0], present
        return out, there

    def signed(struct: str, member: str, base: NDArray[np.uint64]) -> NDArray[np.int64]:
        value, there = column(struct, member, base, 4)
        return np.where(there, value.astype(np.int64), -1)

    word = kernel.word
    mm, _ = column("task_struct", "mm", address, word)
    table, _ = column("mm_struct", "pgd", mm, word)
    pgd, _ = kernel.locate(table)
    above, _ = column("task_struct", "real_parent", address, word)
    number, known = column("mm_struct", "context.id", mm, 8)
    cred, _ = column("task_struct", "cred", address, word)
    own = (
        "__state" if layouts.offset("task_struct", "__state") is not None else "state"
    )  # until 5.13
    state, has_state = column("task_struct", own, address, 4)
    ended, _ = column("task_struct", "exit_state", address, 4)
    return Tasks(
        address,
        signed("task_struct", "pid", address),
        signed("task_struct", "tgid", address),
        signed("task_struct", "tgid", above),
        mm,
        pgd,
        np.where(known, (number & np.uint64(asid_mask)).astype(np.int64), UNKNOWN_ASID),
        signed("cred", "uid", cred),
        state_letters(state, ended, has_state),
        _names(kernel, layouts, address, unknown),
        tuple(dict.fromkeys(unknown)),
    )


_Column = tuple[NDArray[np.uint64], NDArray[np.bool_]]


def _names(
    kernel: VirtualMemory, layouts: Layouts, address: NDArray[np.uint64], unknown: list[str]
) -> tuple[str, ...]:
    offset = layouts.offset("task_struct", "comm")
    if offset is None:
        unknown.append("task_struct.comm")
        return ("",) * len(address)
    rows, _ = kernel.records(address + np.uint64(offset), COMM)
    return tuple(
        row.tobytes().split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for row in rows
    )
