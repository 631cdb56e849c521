"""Forward on arm64: every page of every table, registers and memblock's words, as recorded."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import ModuleType

import pytest
from forward_arm64 import (
    PAGE,
    REGISTERS,
    STAGES,
    Format,
    Recording,
    after_boot,
    predicted_words,
    tables,
)

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot
from ttbr.boot.loader import custom

CASES = [
    "arm64-stock-6.1",
    "arm64-4k-48",
    "arm64-4k-39",
    "board-raspi3b",
    "arm64-4k-48-numa",
    "arm64-4k-52",
    "arm64-4k-52-on-48",
    "arm64-16k-47",
    "arm64-64k-42",
]
UNFLATTENED = "early_init_dt_alloc_memory_arch"
ROOTS = ("init_pg_dir", "swapper_pg_dir", "reserved_pg_dir", "tramp_pg_dir")


@functools.lru_cache(maxsize=2)
def predicted(truth: ModuleType, case: str) -> Boot:
    return Recording(truth, case).predict()


def roots_of(recording: Recording, boot: Boot, stage: str) -> list[tuple[int, int, int]]:
    """(address, level, entries) of the roots whose tables exist at a stage."""
    kernel, layout = recording.kernel, boot.machine.arch_state.layout
    geometry, symbols = layout.geometry, recording.kernel.symbols

    def pa(name: str) -> int:
        return recording.kernel_at + symbols[name] - symbols["_text"]

    early_c = kernel.release.has("arm64_early_map_in_c")
    whole = geometry.entries
    idmap = geometry.root_level(48) if early_c else layout.root_level
    found = [(pa("init_idmap_pg_dir"), idmap, whole)]
    if stage == "head-mmu-off":
        return found
    late = stage in ("paging_init-end", "setup_arch-end")
    if late:
        found.append((pa("idmap_pg_dir"), idmap, whole))
    names = [n for n in ROOTS if not (n == "init_pg_dir" and late)]
    if early_c:
        names.append("init_pg_dir")
    return found + [(pa(name), layout.root_level, whole) for name in dict.fromkeys(names)]


@pytest.mark.parametrize("case", CASES)
def test_every_table_page_and_register(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    recording = Recording(truth, case)
    boot = predicted(truth, case)
    early_c = recording.kernel.release.has("arm64_early_map_in_c")
    page_shift = boot.machine.arch_state.layout.geometry.page_shift
    for recorded_stage, recorded in recording.memory():
        if recorded_stage not in STAGES:
            continue
        image = boot.images[STAGES[recorded_stage]]
        model = image.memory.read
        registers = recording.registers(recorded_stage)
        form = Format.of(registers["TCR_EL1"], page_shift)
        real: dict[int, int] = {}
        mine: dict[int, int] = {}
        for root in roots_of(recording, boot, recorded_stage):
            real |= tables(recorded, form, *root)
            mine |= tables(model, form, *root)
        pages = sorted(
            page
            for table, size in (real | mine).items()
            for page in range(table, table + size, PAGE)
        )
        wrong = [f"{p:#x}" for p in pages if recorded(p, PAGE) != model(p, PAGE)]
        equal = len(pages) - len(wrong)
        say(f"{case} {recorded_stage}: {len(pages)} table pages compared, {equal} equal")
        assert not wrong, wrong[:10]
        assert real == mine
        assert pages
        if recorded_stage == "head-mmu-off" and not early_c:
            continue  # the model's head stage ends with the MMU on there
        predicted_registers = {n: image.registers[n] for n in REGISTERS if n in image.registers}
        if recorded_stage != "head-mmu-off":
            assert set(REGISTERS) == set(predicted_registers)
        for name, value in predicted_registers.items():
            assert f"{value:#x}" == f"{registers[name]:#x}", (recorded_stage, name)


@pytest.mark.parametrize("case", CASES)
def test_memblock_lines_are_the_kernels_words(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    """Every request and its result, to the end of setup_arch."""
    spoken = Recording(truth, case).spoken(), predicted_words(predicted(truth, case))
    real, mine = ([line for line in lines if line.startswith("memblock_")] for lines in spoken)
    same = sum(a == b for a, b in zip(real, mine, strict=False))
    say(f"{case}: {len(real)} memblock lines compared, {same} equal, {len(mine)} predicted")
    assert real
    assert mine == real


@pytest.mark.parametrize("case", CASES)
def test_every_line_from_the_tree_to_the_end(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    """Nodes, zones, areas, memblock's configuration: all that is printed after paging_init."""
    spoken = Recording(truth, case).spoken(), predicted_words(predicted(truth, case))
    real, mine = (
        lines[next(n for n, line in enumerate(lines) if UNFLATTENED in line) :] for lines in spoken
    )
    same = sum(a == b for a, b in zip(real, mine, strict=False))
    say(f"{case}: {len(real)} lines after paging_init compared, {same} equal")
    assert "MEMBLOCK configuration:" in real
    assert mine == real


CONSTANTS = {
    "PAGE_OFFSET": "page_offset",
    "PAGE_END": "page_end",
    "KIMAGE_VADDR": "kimage_vaddr",
    "MODULES_VADDR": "modules_vaddr",
    "MODULES_END": "modules_end",
    "VMALLOC_START": "vmalloc_start",
    "VMALLOC_END": "vmalloc_end",
    "VMEMMAP_START": "vmemmap_start",
    "VMEMMAP_END": "vmemmap_end",
    "PCI_IO_START": "pci_io_start",
    "PCI_IO_END": "pci_io_end",
    "FIXADDR_START": "fixaddr_start",
    "FIXADDR_TOP": "fixaddr_top",
    "VA_BITS_MIN": "va_bits_min",
    "vabits_actual": "va_bits_actual",
}


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("board-")])
def test_the_layout_is_the_kernels(truth: ModuleType, case: str) -> None:
    state = predicted(truth, case).machine.arch_state
    said = truth.expected(case)["constants"]
    compared = {name: field for name, field in CONSTANTS.items() if name in said}
    assert {name: hex(getattr(state.layout, field)) for name, field in compared.items()} == {
        name: said[name] for name in compared
    }
    assert len(compared) >= 10
    assert hex(state.memstart) == said["memstart_addr"]
    try:
        dump = truth.text(case, "kernel_page_tables.txt")
    except FileNotFoundError:
        return
    names = re.findall(r"---\[ (.*) \]---", dump)
    assert [name for _, name in state.machine.markers] == names


def seed_for(offset: int, memstart: int, state: Arm64) -> int:
    """A kaslr-seed from which a 6.12 kernel makes an observed offset and memstart_addr."""
    layout = state.layout
    room = (layout.vmalloc_end - layout.kimage_vaddr) // 2
    align = layout.geometry.memstart_align
    steps = (layout.linear_size - (1 << state.machine.cpu.pa_bits)) // align
    moved = (-memstart & (1 << 64) - 1) // align + 1  # RAM begins at 1 GiB
    low = next(s for s in range(1 << 16) if (steps * s) >> 16 == moved)
    high = ((offset - room // 2) << 64) // room
    return next(
        seed
        for seed in (((high >> 16) + n) << 16 | low for n in range(4))
        if (room // 2 + (room * seed >> 64)) >> 21 == offset >> 21
    )


def test_a_randomised_kernel(truth: ModuleType, say: Callable[[str], None]) -> None:
    """After boot its tables are the predicted ones, but for what the kernel changes later."""
    case = "arm64-4k-48-kaslr"
    recording, said = Recording(truth, case), truth.expected(case)
    offset, memstart = int(said["kaslr_offset"], 16), int(said["memstart_addr"], 16)
    blob = bytearray(truth.data(case, "fdt.dtb"))
    board = Board.from_dtb(bytes(blob))
    placement = custom(board, recording.kernel_at, 0x4820_0000)
    first = boot(board, recording.kernel, placement, kaslr_offset=offset)
    seed = board.tree.root.child("chosen").prop("kaslr-seed").offset
    assert blob[seed : seed + 8] == bytes(8)  # the recorded kernel has consumed it
    blob[seed : seed + 8] = seed_for(offset, memstart, first.machine.arch_state).to_bytes(8, "big")
    made = boot(Board.from_dtb(bytes(blob)), recording.kernel, placement)
    assert made.machine.kaslr_offset == offset
    state = made.machine.arch_state
    assert state.memstart == memstart

    kept, changed = after_boot(made.images["paging_init"], truth.ram(case))
    say(f"{case}: {kept} entries as predicted, {changed} changed after paging_init")
    assert kept > 50 * changed
