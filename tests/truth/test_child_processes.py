"""The recorded processes, replayed by the model: the same pages with the same bits, and tables.

Frame numbers may differ; everything else of an entry may not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import process_views
import pytest
from child_processes import (
    CHILDREN,
    INIT,
    Child,
    areas,
    filled,
    init,
    own_areas,
    prepared,
    processes,
    resident,
)
from forward import predicted
from process_pages import pages
from recorded import Recorded

from ttbr.run import run
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.process import Process

Rows = dict[int, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Compared:
    """One process: its rows as recorded and as replayed, areas, and bytes of tables of both.

    ``views``: how many figures of its files in /proc were compared, and those that differ.
    """

    name: str
    recorded: Rows
    replayed: Rows
    areas: tuple[list[tuple[int, int]], list[tuple[int, int]]]
    tables: tuple[int, int]
    views: tuple[int, list[str]]


@pytest.fixture(scope="module")
def replayed(machine: Recorded, truth: ModuleType) -> list[Compared]:
    """All children of a recording, one after the other on one running kernel."""
    kernel = run(predicted(truth, machine.case))
    prepared(machine, kernel)
    filled(machine, kernel)
    numbers = processes(machine)
    found = []
    for name, work in CHILDREN.items():
        parent = init(machine, kernel)
        inherited(machine, parent, numbers[name])
        me = Child(machine, parent.fork(pid=numbers[name]), remarks(machine, numbers[name]))
        work(me)
        for whose, process in {name: me.process, **me.others}.items():
            # The program's own pages are not the story's: they are only where the tables must be.
            for va in resident(machine, numbers[whose]):
                area = process.mm.vmas.at(va)
                if area is not None and area.file is not None and area.file.name == "/init":
                    process.load(va)
            found.append(compared(machine, kernel, whose, numbers[whose], process))
        for process in (me.process, *me.others.values(), parent):
            process.exit()
    return found


def inherited(machine: Recorded, parent: Process, pid: int) -> None:
    """Write the parent's pages that the child was to inherit or to write in the same place.

    The parent had read its vDSO, too: what fork copies next to it has its tables from there.
    """
    for va in resident(machine, INIT):
        mine = parent.mm.vmas.at(va)
        if mine is not None and mine.special is not None:
            parent.load(va)
    for va in resident(machine, pid):
        area = next(a for a in areas(machine, pid) if a.start <= va < a.end)
        mine = parent.mm.vmas.at(va)
        if mine is not None and "w" in area.permissions and mine.special is None:
            parent.store(va, b"\1")


def remarks(machine: Recorded, pid: int) -> list[str]:
    said = machine.expected["remarks_of_children"]
    return [line for line in said if line.startswith(f"{pid} ")]


def compared(
    machine: Recorded, kernel: RunningKernel, name: str, pid: int, process: Process
) -> Compared:
    mine = own_areas(machine, pid)
    there = machine.image.address_space(f"user:{root(machine, pid):#x}")
    here = kernel.image().address_space(f"user:{process.mm.pgd:#x}")
    release = kernel.kernel.release
    recorded: Rows = {}
    replayed: Rows = {}
    for area in mine:
        recorded |= pages(there, release, area.start, area.end).rows()
        replayed |= pages(here, release, area.start, area.end).rows()
    model = [(a.start, a.end) for a in process.mm.vmas if a.start != process.mm.start_brk]
    kept = {(a.start, a.end) for a in areas(machine, pid)} - {(a.start, a.end) for a in mine}
    said = re.search(r"VmPTE:\s+(\d+) kB", machine.text(f"pid/{pid}/status.txt"))
    assert said is not None
    return Compared(
        name,
        recorded,
        replayed,
        ([(a.start, a.end) for a in mine], [bounds for bounds in model if bounds not in kept]),
        (int(said[1]) << 10, process.mm.tables.bytes),
        process_views.compared(machine, kernel, pid, process),
    )


def root(machine: Recorded, pid: int) -> int:
    return next(int(t["pgd_pa"], 16) for t in machine.expected["tasks"] if t["pid"] == pid)


def test_the_same_pages(
    machine: Recorded, replayed: list[Compared], say: Callable[[str], None]
) -> None:
    equal: Counter[str] = Counter()
    total: Counter[str] = Counter()
    wrong = []
    for one in replayed:
        total[one.name] = len(one.recorded.keys() | one.replayed.keys())
        for va in sorted(one.recorded.keys() | one.replayed.keys()):
            if one.recorded.get(va) == one.replayed.get(va):
                equal[one.name] += 1
            else:
                both = f"{told(one.recorded, va)}, not {told(one.replayed, va)}"
                wrong.append(f"{one.name} {va:#x}: {both}")
    for name in total:
        say(f"{machine.case} {name}: {total[name]} pages compared, {equal[name]} equal")
    assert not wrong, f"{len(wrong)} pages: " + "\n".join(wrong[:20])
    assert sum(total.values()) > 500


def told(found: Rows, va: int) -> str:
    return " ".join(map(hex, found[va])) if va in found else "none"


def test_the_same_tables(
    machine: Recorded, replayed: list[Compared], say: Callable[[str], None]
) -> None:
    wrong = [(one.name, *one.tables) for one in replayed if one.tables[0] != one.tables[1]]
    count = len(replayed)
    say(f"{machine.case} VmPTE: {count} processes compared, {count - len(wrong)} equal")
    assert not wrong


def test_the_same_areas(
    machine: Recorded, replayed: list[Compared], say: Callable[[str], None]
) -> None:
    """Where mappings go, and what stays one area of them."""
    recorded = [(one.name, *bounds) for one in replayed for bounds in one.areas[0]]
    model = [(one.name, *bounds) for one in replayed for bounds in one.areas[1]]
    equal = len(set(recorded) & set(model))
    say(f"{machine.case} areas: {len(recorded)} compared, {equal} equal")
    assert model == recorded


def test_the_same_files_in_proc(
    machine: Recorded, replayed: list[Compared], say: Callable[[str], None]
) -> None:
    """smaps and pagemap of the children's own areas, and what status says but for the program."""
    count = sum(one.views[0] for one in replayed)
    wrong = [f"{one.name} {line}" for one in replayed for line in one.views[1]]
    say(f"{machine.case} smaps, pagemap, status: {count} compared, {count - len(wrong)} equal")
    assert not wrong, "\n".join(wrong[:20])
    assert count > 1000
