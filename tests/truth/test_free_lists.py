"""The hand-over to the page allocator, block by block, in every recording that has both sides.

Twice: from memblock as it lies in the recording's RAM when mem_init() begins, and from the model's
own prediction of the whole boot. Both against the free lists in RAM when mem_init() has ended.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

import pytest
from forward import predicted, run
from free_lists import BEFORE, STAGE, KernelMemory, Lists, Region, kernel_memory
from recorded import cases

from conftest import load_truth
from ttbr.boot import mm_init
from ttbr.boot import regions as model
from ttbr.boot.boot import STAGES
from ttbr.boot.free_area import MIGRATE_TYPES
from ttbr.boot.machine import Machine
from ttbr.kernel.structs import max_numnodes

FIGURES = ("zone_start_pfn", "spanned_pages", "present_pages", "managed_pages")
Figures = dict[str, int]
SYMBOLS = ("contig_page_data", "node_data", "mem_map", "memblock")


def both(truth: ModuleType | None) -> list[str]:
    """The recordings that have RAM before and after."""
    staged = cases(truth, "stages/stages.json")
    return [c for c in staged if truth and {BEFORE, STAGE} <= {s["stage"] for s in truth.stages(c)}]


CASES = both(load_truth())


def at(truth: ModuleType, machine: Machine, case: str, stage: str) -> KernelMemory:
    symbols = {
        name: machine.kernel.symbols[name] + machine.kaslr_offset
        for name in SYMBOLS
        if name in machine.kernel.symbols
    }
    return kernel_memory(truth, case, symbols, stage)


@functools.cache
def recorded_memblock(truth: ModuleType, case: str) -> dict[str, list[Region]]:
    machine = predicted(truth, case).machine
    kernel = machine.kernel
    memory = at(truth, machine, case, BEFORE)
    return memory.memblock(kernel.phys_bits // 8, kernel.config.enabled("NUMA"))


@functools.cache
def recorded_lists(truth: ModuleType, case: str) -> tuple[Lists, dict[tuple[int, str], Figures]]:
    """The free lists, and bounds and pages of every zone."""
    memory = at(truth, predicted(truth, case).machine, case, STAGE)
    zones = {
        (number, name): {figure: memory.figure(address, figure) for figure in FIGURES}
        for number, name, address in memory.zones()
    }
    return memory.free_lists(), zones


def with_memblock(
    truth: ModuleType,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[Machine], None],
) -> Machine:
    """The model's boot, in which ``before`` comes right before mem_init()."""
    machine = run(truth, case, "bootmem_init").machine
    real = mm_init.mem_init

    def mem_init(machine: Machine, reach: mm_init.Reach, *, cpus: int) -> None:
        before(machine)
        real(machine, reach, cpus=cpus)

    with monkeypatch.context() as patch:
        patch.setattr(mm_init, "mem_init", mem_init)
        machine.enter("mm_init")
        dict(STAGES[machine.kernel.arch])["mm_init"](machine)
    return machine


def plain(of: model.Regions) -> list[Region]:
    return [(r.base, r.size, int(r.flags), r.nid) for r in of.list]


def node(machine: Machine, nid: int) -> int:
    """A recorded node number as the model has it."""
    if not machine.kernel.config.enabled("NUMA"):
        return model.UNSET_NODE
    if nid == max_numnodes(machine.kernel):
        return model.UNSET_NODE
    return model.NO_NODE if nid == (1 << 32) - 1 else nid


@pytest.mark.parametrize("case", CASES)
def test_memblock_before_the_hand_over(
    truth: ModuleType,
    case: str,
    say: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the model predicts of memblock is what lies in RAM, flags and nodes included."""
    real = recorded_memblock(truth, case)
    mine: dict[str, list[Region]] = {}

    def note(machine: Machine) -> None:
        mine["memory"] = plain(machine.memblock.memory)
        mine["reserved"] = plain(machine.memblock.reserved)

    machine = with_memblock(truth, case, monkeypatch, note)
    for name, regions in real.items():
        theirs = [(base, size, flags, node(machine, nid)) for base, size, flags, nid in regions]
        equal = len(set(theirs) & set(mine[name]))
        say(f"{case} memblock.{name}: {len(theirs)} regions compared, {equal} equal")
        assert mine[name] == theirs


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("start", ["memblock as recorded", "the model's own"])
def test_free_lists_after_the_hand_over(
    truth: ModuleType,
    case: str,
    start: str,
    say: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every list of every zone, order and type, block by block, from head to tail."""
    recorded = recorded_memblock(truth, case)

    def put(machine: Machine) -> None:
        for name, regions in recorded.items():
            getattr(machine.memblock, name).list[:] = [
                model.Region(base, base + size, model.Flags(flags), node(machine, nid))
                for base, size, flags, nid in regions
            ]

    if start == "memblock as recorded":
        machine = with_memblock(truth, case, monkeypatch, put)
    else:
        machine = predicted(truth, case).machine
    real, real_zones = recorded_lists(truth, case)
    got = machine.handed_over
    assert got is not None
    mine: Lists = {}
    for index, (number, zone) in enumerate(got.free.zones):
        for order, kind, blocks in got.free.lists(index):
            mine[number, zone, order, kind] = blocks.tolist()
    for line in account(real, mine):
        say(f"{case} from {start}: {line}")
    missing, added = pages(real) - pages(mine), pages(mine) - pages(real)
    listed = "; ".join(machine.unknowns) or "nothing"
    say(
        f"{case} from {start}: {len(missing)} pages are free only in the recording, {len(added)} "
        f"only in the model; the boot lists as unknown: {listed}"
    )
    # None of what any of these boots lists as unknown is an allocation: nothing may differ.
    assert not missing and not added
    assert mine == real
    zones = {
        (node.number, zone.name): dict(
            zip(FIGURES, (zone.start_pfn, zone.spanned, zone.present, zone.managed), strict=True)
        )
        for node in machine.nodes
        for zone in node.zones
    }
    figures = sum(map(len, real_zones.values()))
    equal = sum(zones[z].get(k) == v for z, row in real_zones.items() for k, v in row.items())
    say(f"{case} zones from {start}: {figures} figures compared, {equal} equal")
    assert zones == real_zones


def account(real: Lists, mine: Lists) -> list[str]:
    """By zone and type: blocks of each order that are equal, of those that there are."""
    lines = []
    zones = dict.fromkeys((number, zone, kind) for number, zone, _, kind in (*real, *mine))
    for number, zone, kind in zones:
        orders = sorted({o for n, z, o, k in (*real, *mine) if (n, z, k) == (number, zone, kind)})
        words = []
        for order in orders:
            theirs = set(real.get((number, zone, order, kind), ()))
            equal = len(theirs & set(mine.get((number, zone, order, kind), ())))
            words.append(f"{order}: {equal}/{len(theirs)}")
        lines.append(f"node {number} {zone} {MIGRATE_TYPES[kind]}, by order {', '.join(words)}")
    blocks = sum(map(len, real.values()))
    equal = sum(len(set(mine.get(key, ())) & set(found)) for key, found in real.items())
    in_order = sum(mine.get(key) == found for key, found in real.items())
    lines.append(
        f"{blocks} free blocks compared, {equal} equal, {sum(map(len, mine.values()))} predicted; "
        f"{len(real)} lists, {in_order} in the same order"
    )
    return lines


def pages(lists: Lists) -> set[int]:
    """All free page frames."""
    return {
        pfn + page
        for (_, _, order, _), blocks in lists.items()
        for pfn in blocks
        for page in range(1 << order)
    }
