"""Processes and their areas from RAM alone, held against what the kernel said of itself."""

import numpy as np
import pytest

from ttbr.errors import InputError


def expected_tasks(machine):
    """By address of the task: number, group, name, mm, root and ASID."""
    mask = 0xFFFF if machine.expected["arch"] == "arm64" else 0xFF
    found = {}
    for task in machine.expected["tasks"]:
        mm = int(task["mm"], 16)
        found[int(task["task"], 16)] = (
            task["pid"],
            task["tgid"],
            task["comm"],
            mm,
            int(task["pgd_pa"], 16),
            int(task["context_id"], 16) & mask if mm else -1,
        )
    return found


def test_layouts_that_were_recovered(machine, linux, say):
    """Every offset that is found is right; those that are not found are counted."""
    right, unknown, wrong = [], [], {}
    for name, wanted in machine.expected["struct_offsets"].items():
        struct, member = name.split(".", 1)
        found = linux.layouts.finding(struct, member)
        if found is None:
            unknown.append(name)
        elif found.value == wanted:
            right.append(name)
        else:
            wrong[name] = (found.value, wanted)
    source = "BTF" if linux.btf else "vmcoreinfo and the data"
    say(
        f"{machine.case}: layouts by {source}, compared {len(right) + len(wrong)}, "
        f"equal {len(right)}, unknown {len(unknown)} ({', '.join(unknown)})"
    )
    assert not wrong
    if linux.btf:
        assert not unknown


def test_tasks_equal_the_kernels(machine, linux, say):
    wanted = expected_tasks(machine)
    if not wanted:
        say(f"{machine.case}: the recording has no list of tasks to compare with")
        return
    tasks = linux.tasks
    rows = zip(
        tasks.pid.tolist(),
        tasks.tgid.tolist(),
        tasks.comm,
        tasks.mm.tolist(),
        tasks.pgd.tolist(),
        tasks.asid.tolist(),
        strict=True,
    )
    found = dict(zip(tasks.address.tolist(), rows, strict=True))
    unknown = 0
    if "mm_struct.context.id" in tasks.unknown:
        unknown = sum(task[5] >= 0 for task in wanted.values())
        wanted = {address: (*task[:5], -1) for address, task in wanted.items()}
    assert found == wanted
    say(
        f"{machine.case}: tasks, compared {len(wanted)}, equal {len(found)}, "
        f"ASIDs unknown {unknown}"
    )


def test_states_users_and_threads(machine, linux, say):
    """As /proc/PID/status had them; the first process was awake, to write that down."""
    tasks, compared, unknown = linux.tasks, 0, 0
    for line in machine.text("processes.txt").splitlines():
        pid = int(line.split()[0])
        lines = machine.text(f"pid/{pid}/status.txt").splitlines()
        status = {key: rest.split() for key, _, rest in (row.partition(":") for row in lines)}
        row = linux.process(pid)
        figures = [
            (int(tasks.uid[row]), int(status["Uid"][0]), -1),
            (int((tasks.tgid == pid).sum()), int(status["Threads"][0]), -1),
        ]
        if pid != 1:
            figures.append((tasks.state[row], status["State"][0], "?"))
        for found, wanted, none in figures:
            unknown += found == none
            compared += found != none
            assert found in (wanted, none), pid
    say(
        f"{machine.case}: users, threads and states, compared {compared}, equal {compared}, "
        f"unknown {unknown}"
    )


def test_every_process_of_the_recording_is_listed(machine, linux):
    numbers = {int(line.split()[0]) for line in machine.text("processes.txt").splitlines()}
    mine = {
        pid for pid, mm in zip(linux.tasks.pid.tolist(), linux.tasks.mm.tolist(), strict=True) if mm
    }
    assert mine == numbers


def maps(machine, pid):
    """The lines of /proc/PID/maps as tuples."""
    for line in machine.text(f"pid/{pid}/maps.txt").splitlines():
        span, permissions, offset, device, inode, *name = line.split(None, 5)
        start, end = (int(part, 16) for part in span.split("-"))
        major, minor = (int(part, 16) for part in device.split(":"))
        text = name[0].rstrip() if name else ""
        yield start, end, permissions, int(offset, 16), major << 20 | minor, int(inode), text


def test_areas_equal_maps(machine, linux, say):
    vmas, tasks = linux.vmas, linux.tasks
    assert vmas.damaged == 0
    rows = list(
        zip(
            vmas.mm.tolist(),
            vmas.start.tolist(),
            vmas.end.tolist(),
            vmas.permissions(),
            vmas.offset.tolist(),
            vmas.device.tolist(),
            vmas.inode.tolist(),
            vmas.name,
            strict=True,
        )
    )
    compared = equal = 0
    for line in machine.text("processes.txt").splitlines():
        pid = int(line.split()[0])
        mm = int(tasks.mm[linux.process(pid)])
        wanted = list(maps(machine, pid))
        found = [row[1:] for row in rows if row[0] == mm]
        compared += len(wanted)
        equal += sum(a == b for a, b in zip(found, wanted, strict=False))
        assert found == wanted, pid
    say(f"{machine.case}: areas of processes, compared {compared}, equal {equal}")
    assert compared


def test_tables_of_processes(machine, linux, say):
    """Table pages as the kernel counts them (VmPTE), of arm64.

    It does not count roots and the second of five levels; and for each transparent huge page it
    has a table in store that is not in use.
    """
    if machine.expected["arch"] != "arm64":
        return
    compared = 0
    for line in machine.text("processes.txt").splitlines():
        pid = int(line.split()[0])
        status = machine.text(f"pid/{pid}/status.txt").splitlines()
        (kib,) = (int(row.split()[1]) for row in status if row.startswith("VmPTE:"))
        mm, root = (int(c[linux.process(pid)]) for c in (linux.tasks.mm, linux.tasks.pgd))
        process = linux.processes.of(root)
        levels = process.space.mappings(0, process.end).tables.level
        counted = int((levels > max(0, int(levels.min()))).sum())
        files = linux.vmas.file[linux.vmas.mm == mm]
        starts = linux.vmas.start[linux.vmas.mm == mm]
        blocks = process.view.va[process.view.level < 3]
        stored = int((files[np.searchsorted(starts, blocks, side="right") - 1] == 0).sum())
        assert (counted + stored) * linux.page_size // 1024 == kib, pid
        compared += 1
    say(f"{machine.case}: table pages of processes, compared {compared}, equal {compared}")


def test_no_root_is_hidden(machine, linux):
    assert linux.unlisted_roots() == ()


def test_a_number_that_no_task_has(linux):
    with pytest.raises(InputError, match="no task has the number 999999"):
        linux.process(999999)
