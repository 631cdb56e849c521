"""Processes and their areas from RAM alone, held against what the kernel said of itself."""

from collections import Counter
from dataclasses import replace

import pytest
from figures import hold

from ttbr.errors import InputError
from ttbr.recover.finding import Confidence
from ttbr.recover.table_cost import table_bytes


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


def source(finding):
    """How an offset is known, as the table in the docs has it."""
    if finding is None:
        return "unknown"
    if finding.evidence.startswith("BTF at") or finding.evidence == "vmcoreinfo":
        return finding.evidence.split()[0]
    return "data" if finding.confidence is Confidence.CERTAIN else "likely"


def test_layouts_that_were_recovered(machine, linux, figure):
    """Every offset that is found is right; those that are not found are counted."""
    wanted = machine.expected["struct_offsets"]
    findings = {name: linux.layouts.finding(*name.split(".", 1)) for name in wanted}
    found = {name: finding.value for name, finding in findings.items() if finding is not None}
    assert found == {name: wanted[name] for name in found}
    unknown = [name for name in wanted if name not in found]
    figure("layouts", len(found), len(found), len(unknown), ", ".join(unknown))
    sources = {name: source(finding) for name, finding in findings.items()}
    hold({(name, machine.case): text for name, text in sources.items()})
    counts = Counter(sources.values())
    parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    hold({(machine.case, "layouts by"): parts})
    assert linux.tasks.mm.any() and len(linux.vmas)
    used = {finding.evidence for finding in linux.layouts.used.values() if finding is not None}
    if linux.btf is not None:
        assert used == {linux.btf.source}
        assert not unknown


def test_tasks_equal_the_kernels(machine, linux, figure):
    """All tasks, with their numbers, names and roots; ASIDs where they are known."""
    wanted = expected_tasks(machine)
    assert wanted
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
    figure("processes", len(wanted), len(found), unknown, "what is unknown are ASIDs")


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


def test_areas_equal_maps(machine, linux, figure):
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
    assert compared
    figure("areas", compared, equal)


def test_tables_of_processes(machine, linux, figure):
    """Table pages as the kernel counts them: VmPTE."""
    compared = unknown = 0
    for line in machine.text("processes.txt").splitlines():
        pid = int(line.split()[0])
        status = machine.text(f"pid/{pid}/status.txt").splitlines()
        (kib,) = (int(row.split()[1]) for row in status if row.startswith("VmPTE:"))
        found = table_bytes(linux, linux.process(pid))
        assert found in (None, kib * 1024), pid
        compared += found is not None
        unknown += found is None
    assert compared
    figure("table pages", compared, compared, unknown)


def test_tables_in_store_are_not_invented(machine, linux, monkeypatch):
    """Of processes with huge pages, where nothing tells areas with a file from others."""
    areas = replace(linux.vmas, unknown=("vm_area_struct.vm_file",))
    monkeypatch.setitem(vars(linux), "vmas", areas)
    last = linux.image.user_regime.levels[-1].number
    found = {}
    for line in machine.text("processes.txt").splitlines():
        row = linux.process(int(line.split()[0]))
        view = linux.processes.of(int(linux.tasks.pgd[row])).view
        found[row] = (table_bytes(linux, row) is None, bool((view.level < last).any()))
    assert all(unknown == huge for unknown, huge in found.values())


def test_no_root_is_hidden(machine, linux):
    assert linux.unlisted_roots() == ()


def test_a_number_that_no_task_has(linux):
    with pytest.raises(InputError, match="no task has the number 999999"):
        linux.process(999999)
