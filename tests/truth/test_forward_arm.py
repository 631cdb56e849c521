"""The forward model of 32-bit ARM against recordings: every table page, register and memblock call.

The device tree is taken from the recording's RAM at the kernel's entry, as the loader left it.
"""

import functools
import re

import numpy as np
import pytest
import recorded

from conftest import load_truth
from ttbr.boot.board import Board
from ttbr.boot.boot import boot
from ttbr.boot.loader import custom
from ttbr.kernel.kernel import Kernel

DUMP = "kernel_page_tables.txt"


def arm_cases(truth):
    """The recordings of 32-bit kernels that have stages."""
    if truth is None:
        return ["absent"]
    found = []
    for case in recorded.cases(truth, "stages/stages.json"):
        entry = [s for s in truth.stages(case) if s["stage"] == "head-entry"]
        if entry and "r2" in entry[0]["registers"]:
            found.append(case)
    return found


CASES = arm_cases(load_truth())
DUMPED = [case for case in CASES if case in recorded.cases(load_truth(), DUMP)]
STAGES = {
    "head-mmu-off": "head",
    "head-done": "head",
    "memblock-begin": "fixmap",
    "paging_init-begin": "memblock",
    "bootmem_init-begin": "paging_init",
    "paging_init-end": "bootmem_init",
    "setup_arch-end": "bootmem_init",
}
ZONE_LINE = (
    r"Zone ranges|Movable zone|Early memory|Initmem|On node|  (DMA|Normal|HighMem|node|Node) "
)
PAGE = 4096
# What start_kernel finds; at the stop before it the MMU is off and SCTLR still the loader's.
REGISTERS = ("TTBR0", "TTBR1", "TTBCR", "DACR", "PRRR", "NMRR", "MAIR0", "MAIR1", "SCTLR")
REGISTERS += ("ID_MMFR0", "ID_MMFR3")
LINE = re.compile(r"(memblock_\w+): \[0x([0-9a-f]+)-0x([0-9a-f]+)\] (\S+?)\+0x")


@functools.lru_cache
def predicted(truth, case):
    entry = next(s for s in truth.stages(case) if s["stage"] == "head-entry")
    registers = entry["registers"]
    tree_at = int(registers["r2"], 16)
    memory = truth.stage(case, "head-entry")
    size = int.from_bytes(read(memory, tree_at + 4, 4), "big")
    folder = truth.HERE / case
    kernel = Kernel.from_files(folder / "config.gz", folder / "System.map.zst")
    board = Board.from_dtb(bytes(read(memory, tree_at, size)))
    placement = custom(board, int(registers["pc"], 16), tree_at)
    return boot(board, kernel, placement)


def read(memory, address, size):
    for base, data in memory.items():
        if base <= address < base + len(data):
            return data[address - base : address - base + size].tobytes()
    raise KeyError(f"{address:#x} is in no bank")


def table_pages(reader, root, lpae):
    """Physical addresses of all pages of tables below the root, itself included."""
    if lpae:
        pages = [root]
        entries = np.frombuffer(reader(root, 32), "<u8")
        pages += [int(entry) & 0xFF_FFFF_F000 for entry in entries]
        for middle in pages[1:5]:
            words = np.frombuffer(reader(middle, PAGE), "<u8")
            tables = words[(words & 3) == 3] & np.uint64(0xFF_FFFF_F000)
            pages += sorted({int(table) for table in tables})
        return pages
    words = np.frombuffer(reader(root, 4 * PAGE), "<u4")
    tables = words[(words & 3) == 1] & np.uint32(0xFFFF_F000)
    return [root + step * PAGE for step in range(4)] + sorted({int(table) for table in tables})


@pytest.mark.parametrize("case", CASES)
def test_table_pages_are_equal(truth, case, say):
    made = predicted(truth, case)
    lpae = made.machine.kernel.config.enabled("ARM_LPAE")
    recorded_registers = {s["stage"]: s["registers"] for s in truth.stages(case)}
    wrong = []
    for recorded_stage, stage in STAGES.items():
        memory = truth.stage(case, recorded_stage)
        image = made.images[stage]
        mask = ~0xFFF if lpae else ~0x3FFF
        root = int(recorded_registers[recorded_stage]["TTBR0"], 16) & mask
        assert root == image.facts.roots["swapper_pg_dir"]
        pages = set(table_pages(lambda at, size, m=memory: read(m, at, size), root, lpae))
        pages |= set(table_pages(image.memory.read, root, lpae))
        equal = {
            page for page in pages if read(memory, page, PAGE) == image.memory.read(page, PAGE)
        }
        say(f"{case} {recorded_stage}: {len(pages)} pages compared, {len(equal)} equal")
        wrong += [f"{recorded_stage} {page:#x}" for page in sorted(pages - equal)]
    assert not wrong


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("recorded_stage", ["head-done", "paging_init-end"])
def test_registers_are_equal(truth, case, recorded_stage):
    image = predicted(truth, case).images[STAGES[recorded_stage]]
    entry = next(s for s in truth.stages(case) if s["stage"] == recorded_stage)
    there = {
        name: int(entry["registers"][name], 16) for name in REGISTERS if name in entry["registers"]
    }
    compared = {name: image.registers.get(name) for name in there}
    assert compared == there
    assert len(there) >= 7


@pytest.mark.parametrize("case", DUMPED)
def test_markers_are_those_of_the_kernels_own_dump(truth, case):
    there = re.findall(r"---\[ (.*) \]---", truth.text(case, DUMP))
    assert [name for _, name in predicted(truth, case).images["paging_init"].facts.markers] == there


def log(truth, case):
    try:
        return truth.text(case, "console_boot.txt")
    except FileNotFoundError:
        return truth.text(case, "dmesg.txt")


@pytest.mark.parametrize("case", CASES)
def test_memblock_log_is_equal(truth, case, say):
    text = log(truth, case)
    # what follows belongs to start_kernel
    text = text[: re.search(r"\[[^\n]* start_kernel\+", text).start()]
    there = [(kind, int(a, 16), int(b, 16), name) for kind, a, b, name in LINE.findall(text)]
    made = predicted(truth, case)
    ours = [
        (e.kind, e.start, e.end, e.function)
        for e in made.events
        if e.logged and e.stage != "mm_init"
    ]
    say(f"{case}: {len(there)} memblock lines of the log, {len(ours)} predicted")
    assert ours == there
    assert len(there) >= 9


@pytest.mark.parametrize("case", CASES)
def test_zone_lines_are_equal(truth, case, say):
    there = re.findall(r"^(?:<6>)?\[ .*?\] (.*)$", log(truth, case), re.MULTILINE)
    first = there.index("Zone ranges:")
    there = [
        line for line in there[first : first + 40] if re.match(ZONE_LINE, line)
    ]  # a console log and what was read later may follow each other
    there = there[: there.index("Zone ranges:", 1)] if "Zone ranges:" in there[1:] else there
    ours = [
        m.text for m in predicted(truth, case).machine.log.messages if m.stage == "bootmem_init"
    ]
    ours = [line for line in ours if re.match(ZONE_LINE, line)]
    say(f"{case}: {len(there)} lines about zones and nodes, {len(ours)} predicted")
    assert ours == there
    assert len(there) >= 7


@pytest.mark.parametrize("case", CASES)
def test_zones_are_equal(truth, case, say):
    try:
        text = truth.text(case, "zoneinfo.txt")
    except FileNotFoundError:
        pytest.skip("this board was recorded without user space")
    there = []
    for zone in re.split(r"^Node ", text, flags=re.MULTILINE)[1:]:
        node, name = re.match(r"(\d+), zone +(\w+)", zone).groups()
        if name == "Device":
            continue
        shown = dict(re.findall(r"^ +(start_pfn|spanned|present):? +(\d+)$", zone, re.MULTILINE))
        # an empty zone is shown without its start
        figures = [int(shown.get(key, 0)) for key in ("start_pfn", "spanned", "present")]
        there.append((int(node), name, *figures))
    ours = [
        (node.number, zone.name, zone.start_pfn, zone.spanned, zone.present)
        for node in predicted(truth, case).machine.nodes
        for zone in node.zones
    ]
    say(f"{case}: {len(there)} zones compared, {sum(z in ours for z in there)} equal")
    assert ours == there


@pytest.mark.parametrize("case", CASES)
def test_memblock_configuration_is_equal(truth, case, say):
    there = re.findall(r"^(?:<\d>)?\[ .*?\] (.*)$", log(truth, case), re.MULTILINE)
    first = there.index("MEMBLOCK configuration:")
    there = [line.replace("\\x09", "\t") for line in there[first:]]
    length = next(at for at, line in enumerate(there) if at and not line.startswith(" "))
    ours = [m.text for m in predicted(truth, case).machine.log.messages]
    ours = ours[ours.index("MEMBLOCK configuration:") :]
    equal = sum(a == b for a, b in zip(ours, there[:length], strict=False))
    say(f"{case}: {length} lines of MEMBLOCK configuration, {equal} equal")
    assert ours[:length] == there[:length]
