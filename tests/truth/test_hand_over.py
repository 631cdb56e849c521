"""Loaders, profiles and memblock's beginnings against the recordings."""

import dataclasses
import pathlib
import re
import struct

import pytest

from ttbr.boot.board import Board
from ttbr.boot.boot import boot, default_kernel
from ttbr.boot.events import Message
from ttbr.boot.loader import Placement, check, qemu
from ttbr.kernel.cpu import find_cpu
from ttbr.kernel.kernel import Kernel

STOCK = {"debian-6.1-arm64": "arm64-stock-6.1", "debian-6.1-armmp": "arm32-stock-6.1"}
LOGGED = re.compile(r"(memblock_\w+): \[0x(\w+)-0x(\w+)\] (\w+)\+")
REQUEST = re.compile(r"(memblock_\w*alloc\w*: \d+ bytes .*) (\w+)\+0x")


def staged(truth) -> list[str]:
    root = pathlib.Path(truth.__file__).parent
    return [case for case in truth.cases() if (root / case / "stages").is_dir()]


def kernel(truth, case: str) -> Kernel:
    folder = pathlib.Path(truth.__file__).parent / case
    image = folder / "image_header.bin"
    return Kernel.from_files(
        folder / "config.gz", folder / "System.map.zst", image if image.exists() else None
    )


def handed_over(truth, case: str) -> tuple[dict[str, int], bytes]:
    """Registers at the kernel's first instruction, and the device tree as it lay in RAM."""
    registers = {n: int(v, 16) for n, v in truth.stages(case)[0]["registers"].items()}
    at = dtb_register(registers)
    banks = truth.stage(case, "head-entry")
    base = max(bank for bank in banks if bank <= at)
    memory = banks[base][at - base :]
    return registers, memory[: struct.unpack(">I", memory[4:8].tobytes())[0]].tobytes()


def dtb_register(registers: dict[str, int]) -> int:
    return registers["x0"] if "TCR_EL1" in registers else registers["r2"]


def test_qemu_puts_things_where_they_were(truth, say) -> None:
    cases = staged(truth)
    for case in cases:
        registers, blob = handed_over(truth, case)
        board, made = Board.from_dtb(blob), kernel(truth, case)
        placement = qemu(board, made)
        assert (placement.kernel, placement.dtb) == (registers["pc"], dtb_register(registers)), case
        assert board.initrd is not None
        # The same out of nothing but the initrd's size.
        assert qemu(board, made, board.initrd[1]) == placement, case
        check(board, made, placement, board.tree.totalsize)
    say(f"hand-over: {len(cases)} recordings, kernel, device tree and initrd placed as recorded")
    assert cases


def test_one_cpu_in_a_vexpress_that_qemu_made(truth) -> None:
    board = Board.from_dtb(handed_over(truth, "arm32-vexpress-a9")[1])
    assert board.cpus == 1 and any("QEMU" in said for said in board.unknowns)
    assert Board.from_dtb(handed_over(truth, "board-raspi2b")[1]).cpus == 4


@pytest.mark.parametrize("name", STOCK)
def test_profiles_are_what_the_packages_files_say(truth, name: str) -> None:
    shipped, made = Kernel.from_profile(name).describe(), kernel(truth, STOCK[name]).describe()
    for key in ("name", "source"):
        del shipped[key], made[key]
    assert shipped == made


@pytest.mark.parametrize(
    "case", ["arm64-stock-6.1", "board-raspi3b", "arm32-stock-6.1", "board-raspi2b"]
)
def test_a_profile_is_as_good_as_the_files(truth, case: str) -> None:
    board = Board.from_dtb(handed_over(truth, case)[1])
    shipped, made = default_kernel(board), kernel(truth, case)
    ours, theirs = (boot(board, k, qemu(board, k)) for k in (shipped, made))
    assert list(ours.events) == list(theirs.events)
    for stage, image in ours.images.items():
        other = theirs.images[stage]
        assert image.registers == other.registers
        assert image.memory.written() == other.memory.written()
        for run in image.memory.written():
            assert image.memory.read(run.base, run.size) == other.memory.read(run.base, run.size)


def test_custom_and_qemu_agree_where_the_addresses_do(truth) -> None:
    board = Board.from_dtb(handed_over(truth, "arm64-stock-6.1")[1])
    made = default_kernel(board)
    there = qemu(board, made)
    same = Placement(there.kernel, there.dtb, there.initrd, "custom")
    assert list(boot(board, made, same).events) == list(boot(board, made, there).events)


def test_memblock_lines_in_order(truth, say) -> None:
    """Every memblock=debug line to the end of setup_arch, in every recording that has stages."""
    lines, cases = 0, staged(truth)
    for case in cases:
        board, made = Board.from_dtb(handed_over(truth, case)[1]), kernel(truth, case)
        cpu = recorded_cpu(board, made, truth.stages(case)[0]["registers"])
        done = boot(board, made, qemu(board, made), cpu=cpu)
        ours: list[object] = []
        for event in done.events.in_order():
            if event.stage == "mm_init":
                break
            if isinstance(event, Message):  # a request that was in vain
                ours += [plain(event.text)] if event.text.startswith("memblock_") else []
            elif event.logged:
                ours += [plain(event.detail)] if event.detail else []
                ours.append((event.kind, event.start, event.end, event.function))
        said = recorded_lines(truth.text(case, "dmesg.txt"))
        assert ours == said[: len(ours)], case
        lines += len(ours)
    say(f"memblock=debug: {lines} lines of {len(cases)} recordings equal, in order")
    assert lines


def recorded_lines(log: str) -> list[object]:
    """Requests as text, everything else as (kind, start, end, function), in the log's order."""
    lines: list[object] = []
    for line in log.splitlines():
        if found := LOGGED.search(line):
            kind, start, end, function = found.groups()
            lines.append((kind, int(start, 16), int(end, 16), function))
        elif found := REQUEST.search(line):
            lines.append(plain(" ".join(found.groups())))
    return lines


def plain(request: str) -> str:
    """Numbers without leading zeros."""
    return re.sub(r"0x0*(\w)", r"0x\1", request)


def recorded_cpu(board: Board, made: Kernel, registers: dict[str, str]):
    """The CPU that the tree names, with the ID registers that the recording shows."""
    core = find_cpu(board.cpu_compatible, made.arch)[0]
    ids = {name: int(value, 16) for name, value in registers.items() if name.startswith("ID_")}
    return dataclasses.replace(core, registers=core.registers | ids)
