"""The layout of ``struct task_struct``, recovered from init_task and the tasks in its list.

Nothing but the order of a few members (include/linux/sched.h) is taken for granted: init_task is
its own parent and leader and is called "swapper"; the list of tasks closes; a task that leads its
group has its own number as the group's; a stack begins with STACK_END_MAGIC; a thread that belongs
to no process has no mm, and one that does has it twice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.layouts import Recovered
from ttbr.recover.virtual_memory import VirtualMemory

COMM = 16  # bytes: TASK_COMM_LEN
STACK_END_MAGIC = 0x57AC6E9D  # include/uapi/linux/magic.h
PF_KTHREAD = 0x0020_0000
_NAME = b"swapper"
_LONGEST = 12 << 10  # bytes of a task_struct
_MOST_TASKS = 1 << 20
_MOST_COMPARED = 512
_LARGEST_PID = 1 << 22
_LARGEST_STATE = 1 << 17  # include/linux/sched.h: TASK_STATE_MAX and some more
SIGCHLD = 17
_EXIT_STATES = (0, 0x10, 0x20)
_NEAR_MM = 48  # words of four bytes


@dataclass(frozen=True)
class TaskLayout:
    """Where init_task is, and the offsets found in tasks and in what ``signal`` points to.

    ``leaders``: all group leaders, init_task first.
    """

    init_task: int
    offsets: Recovered
    signal: Recovered
    leaders: NDArray[np.uint64]


def names_of_idle(image: bytes, start: int) -> list[int]:
    """Where "swapper" or "swapper/0" lies in the kernel's image, which begins at ``start``."""
    places = []
    at = image.find(_NAME)
    while at >= 0:
        if at % 4 == 0 and image[at : at + COMM].rstrip(b"\0") in (_NAME, _NAME + b"/0"):
            places.append(start + at)
        at = image.find(_NAME, at + 1)
    return places


def find_task_layout(
    kernel: VirtualMemory, init_task: int | None, names: list[int]
) -> TaskLayout | None:
    """The layout, by the first of ``names`` that is init_task's; None if there is none.

    ``init_task``: its address where a symbol tells it.
    """
    for comm in names:
        if init_task is not None and not init_task <= comm < init_task + _LONGEST:
            continue
        found = _around(kernel, comm, init_task)
        if found is not None:
            return found
    return None


def _around(kernel: VirtualMemory, comm: int, init_task: int | None) -> TaskLayout | None:
    word = kernel.word
    start = (comm - _LONGEST) // word * word
    data = b"".join(
        kernel.try_read(start + at, 1024) or bytes(1024) for at in range(0, 2 * _LONGEST, 1024)
    )
    words = np.frombuffer(data, f"<u{word}").astype(np.uint64)
    here = np.uint64(start) + np.arange(len(words), dtype=np.uint64) * np.uint64(word)
    # real_parent, parent, children, sibling, group_leader
    same = (words[:-6] == words[1:-5]) & (words[:-6] == words[6:])
    same &= (words[4:-2] == here[4:-2]) & (words[5:-1] == here[4:-2])
    for row in np.flatnonzero(same).tolist():
        task = int(words[row])
        if not comm - _LONGEST < task <= comm or (init_task is not None and task != init_task):
            continue
        found = _lists(kernel, task, start + row * word - task, comm - task)
        if found is not None:
            return found
    return None


def _lists(kernel: VirtualMemory, task: int, parent: int, comm: int) -> TaskLayout | None:
    """The layout of the task at ``task``, whose parents and name are at these offsets."""
    word = kernel.word
    leader = parent + 6 * word
    size = max(leader + word, comm + COMM)
    data = kernel.try_read(task, size)
    if data is None:
        return None
    words = np.frombuffer(data[: size // word * word], f"<u{word}").astype(np.uint64)
    best: tuple[int, list[int]] = (0, [])
    for row in range(len(words) - 1):
        offset = row * word
        if int(words[row]) in (0, task + offset) or int(words[row]) < task % (1 << 4 * word):
            continue
        if kernel.number(int(words[row]) + word) != task + offset:
            continue
        tasks = _closed(kernel, task, offset, leader)
        if len(tasks) > len(best[1]):
            best = (offset, tasks)
    if len(best[1]) < 2:
        return None
    leaders = np.array(best[1], np.uint64)
    said = f"init_task at {task:#x}"
    found: dict[str, Finding[int]] = {
        "comm": certain(comm, f"the name of {said}"),
        "tasks": certain(best[0], f"the list from {said}, which {len(leaders)} leaders close"),
        "group_leader": certain(leader, f"{said} leads itself, and so do all in its list"),
    }
    for name, at in (("real_parent", 0), ("parent", 1), ("children", 2), ("sibling", 4)):
        found[name] = certain(parent + at * word, f"{said} is its own parent and leader")
    signal = _members(kernel, found, leaders)
    return TaskLayout(task, found, signal, leaders)


def _closed(kernel: VirtualMemory, task: int, offset: int, leader: int) -> list[int]:
    """The tasks of the list at an offset, if it comes back and all lead their groups; else none."""
    tasks = [task]
    seen = {task}
    at = kernel.number(task + offset)
    while at is not None and at != task + offset:
        other = at - offset
        if other in seen or len(tasks) >= _MOST_TASKS or kernel.number(other + leader) != other:
            return []
        seen.add(other)
        tasks.append(other)
        at = kernel.number(at)
    return [] if at is None else tasks


def _members(
    kernel: VirtualMemory, found: dict[str, Finding[int]], leaders: NDArray[np.uint64]
) -> Recovered:
    """The other members, by what is true of all tasks; those of signal_struct are returned."""
    word = kernel.word
    size = found["comm"].value + COMM + 32 * word
    rows, present = kernel.records(leaders[:_MOST_COMPARED], size // word * word)
    rows, leaders = rows[present], leaders[:_MOST_COMPARED][present]
    words = rows.view(f"<u{word}").astype(np.uint64)
    halves = rows.view("<u4")
    _pid(found, halves, word)
    _stack(kernel, found, words, halves)
    _mm(found, words, word)
    if "active_mm" in found:
        _ended(found, halves, word)
    _cred(found, words, word)
    return _threads(kernel, found, words, leaders)


def _pid(found: dict[str, Finding[int]], halves: NDArray[np.uint32], word: int) -> None:
    """pid and tgid lie before real_parent, or before the canary that some kernels have there."""
    parent = found["real_parent"].value
    for gap in (0, word):
        at = (parent - gap) // 4 - 2
        pid, tgid = halves[:, at], halves[:, at + 1]
        unique = len(np.unique(pid)) == len(pid) and int(pid.max()) < _LARGEST_PID
        if unique and (pid == tgid).all() and (pid == 1).any():
            text = f"{len(pid)} leaders have different numbers, each twice, one of them 1"
            found["pid"] = certain(4 * at, text)
            found["tgid"] = certain(4 * at + 4, text)
            return


def _stack(
    kernel: VirtualMemory,
    found: dict[str, Finding[int]],
    words: NDArray[np.uint64],
    halves: NDArray[np.uint32],
) -> None:
    word = kernel.word
    for row in range(words.shape[1]):
        values = words[:, row]
        if (values % np.uint64(4096)).any() or len(np.unique(values)) < len(values):
            continue
        magic, there = kernel.words(values, 1, 4)
        if there.all() and (magic[:, 0] == STACK_END_MAGIC).all():
            found["stack"] = certain(row * word, f"{len(values)} stacks that end with their magic")
            break
    else:
        return
    # include/linux/sched.h: stack, usage, flags
    at = (found["stack"].value + word) // 4 + 1
    if (halves[0, at] & PF_KTHREAD) and not (halves[:, at] & PF_KTHREAD).all():
        found["flags"] = likely(4 * at, "the second word behind the stack, as in sched.h")
    _state(found, halves, word)


def _state(found: dict[str, Finding[int]], halves: NDArray[np.uint32], word: int) -> None:
    """__state lies before the stack, and since 6.5 (with RT before) saved_state between them.

    All tasks but a few sleep, and nobody's saved state is anything where locks are not RT's.
    """
    behind = found["stack"].value // 4
    for at in (behind - 2,) if word == 8 else (behind - 1, behind - 2):
        values = halves[:, at]
        if values[0] == 0 and (values != 0).any() and (values < _LARGEST_STATE).all():
            text = "before the stack; init_task runs, others do not"
            found["__state"] = likely(4 * at, text)
            return


def _mm(found: dict[str, Finding[int]], words: NDArray[np.uint64], word: int) -> None:
    """mm and active_mm follow tasks within a few words (pushable_tasks, pushable_dl_tasks)."""
    first = found["tasks"].value // word + 2
    for row in range(first, min(first + 16, words.shape[1] - 1)):
        mm, active = words[:, row], words[:, row + 1]
        owned = mm != 0
        plausible = owned.any() and not owned.all() and not owned[0]
        if plausible and (mm[owned] == active[owned]).all() and not (mm % np.uint64(word)).any():
            text = f"{int(owned.sum())} of {len(mm)} tasks have it, each a second time behind it"
            found["mm"] = certain(row * word, text)
            found["active_mm"] = certain((row + 1) * word, text)
            return


def _ended(found: dict[str, Finding[int]], halves: NDArray[np.uint32], word: int) -> None:
    """exit_state, exit_code and exit_signal follow each other behind the mm; the last is SIGCHLD.

    A leader's that is; init_task has none.
    """
    first = found["active_mm"].value // 4 + word // 4
    for at in range(first, min(first + _NEAR_MM, halves.shape[1] - 2)):
        state, signal = halves[:, at], halves[:, at + 2]
        if signal[0] == 0 and (signal[1:] == SIGCHLD).all() and np.isin(state, _EXIT_STATES).all():
            text = f"two words before the signal that {len(signal) - 1} leaders end with"
            found["exit_state"] = likely(4 * at, text)
            return


def _cred(found: dict[str, Finding[int]], words: NDArray[np.uint64], word: int) -> None:
    """real_cred and cred, mostly the same, before comm; with keys a word lies between."""
    comm = found["comm"].value // word
    for at in (comm - 1, comm - 2):
        own, real = words[:, at], words[:, at - 1]
        if (own != 0).all() and (own == real).all():
            text = f"{len(own)} tasks have it twice before their name"
            found["cred"] = certain(at * word, text)
            return


def _threads(
    kernel: VirtualMemory,
    found: dict[str, Finding[int]],
    words: NDArray[np.uint64],
    leaders: NDArray[np.uint64],
) -> Recovered:
    """thread_node, whose list has its head in what ``signal`` points to."""
    word = kernel.word
    step = np.uint64(word)
    first = found["group_leader"].value // word + 1
    for row in range(first, words.shape[1] - 1):
        node = leaders + np.uint64(row) * step
        # The list of a group with one thread has two places, each before and behind the other.
        head = words[:, row]
        if (head == node).any() or (head == 0).any():
            continue
        single = words[:, row + 1] == head
        back, there = kernel.words(head, 2, word)
        if not there.all() or not (back[single] == node[single, None]).all() or not single.any():
            continue
        near = (words < head[:, None]) & (words + np.uint64(64) > head[:, None])
        distance = head[:, None] - words
        for column in np.flatnonzero(near.all(axis=0)).tolist():
            if column > row + 1 and (distance[:, column] == distance[0, column]).all():
                text = f"{len(head)} groups whose list has its head in what signal points to"
                found["thread_node"] = certain(row * word, text)
                found["signal"] = certain(column * word, text)
                return {"thread_head": certain(int(distance[0, column]), text)}
    return {}
