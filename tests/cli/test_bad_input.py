"""Bad input: one clear line on stderr, exit code 2, never a traceback."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Run = Callable[..., Result]


def test_no_such_device_tree(ttbr: Run) -> None:
    ttbr("boot", "absent.dtb").refused("absent.dtb", "No such file")


def test_not_a_device_tree(ttbr: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dtb"
    wrong.write_bytes(b"#!/bin/sh\n" * 20)
    ttbr("boot", wrong).refused("wrong.dtb", "device tree")


@pytest.mark.parametrize("size", [0, 3, 39, 40, 400, 1600])
def test_truncated_device_tree(ttbr: Run, tmp_path: Path, examples: Path, size: int) -> None:
    cut = tmp_path / "cut.dtb"
    cut.write_bytes((examples / "board-2g-at-60000000.dtb").read_bytes()[:size])
    ttbr("boot", cut).refused("cut.dtb")


def test_a_folder_is_not_a_device_tree(ttbr: Run, tmp_path: Path) -> None:
    ttbr("boot", tmp_path).refused(str(tmp_path), "directory")


def test_unknown_profile_names_the_known(ttbr: Run, examples: Path) -> None:
    ttbr("boot", examples / "qemu-virt-arm64.dtb", "--kernel", "debian-2.4").refused(
        "debian-2.4", "debian-6.1-arm64", "debian-6.1-armmp"
    )


def test_kernel_of_another_architecture(ttbr: Run, examples: Path) -> None:
    ttbr("boot", examples / "board32-1g-at-80000000.dtb", "--kernel", "debian-6.1-arm64").refused()


def test_memory_that_overlaps(ttbr: Run, examples: Path) -> None:
    ttbr(
        "boot",
        examples / "qemu-virt-arm64.dtb",
        *("--memory", "0x40000000:1G", "--memory", "0x60000000:1G"),
    ).refused("overlap")


@pytest.mark.parametrize("spelling", ["1G@", ":1G", "x:1G", "0x40000000:", "0x40000000:0", "-1G"])
def test_memory_that_is_no_range(ttbr: Run, examples: Path, spelling: str) -> None:
    ttbr("boot", examples / "qemu-virt-arm64.dtb", "--memory", spelling).refused("--memory")


def test_kernel_that_does_not_fit(ttbr: Run, examples: Path) -> None:
    """The board is shown as far as it came; the answer to whether it boots is no."""
    done = ttbr("boot", examples / "qemu-virt-arm64.dtb", "--memory", "0x40000000:16M")
    assert done.code == 1
    assert "linux,dummy-virt" in done.out
    assert done.err.count("\n") == 1
    assert "the kernel needs 32.06 MiB in one bank of RAM" in done.err


def test_kernel_outside_memory(ttbr: Run, examples: Path) -> None:
    ttbr(
        "boot",
        examples / "qemu-virt-arm64.dtb",
        *("--kernel-at", "0x10000000", "--dtb-at", "0x48000000"),
    ).refused("0x10000000")


def test_device_tree_on_top_of_the_kernel(ttbr: Run, examples: Path) -> None:
    ttbr(
        "boot",
        examples / "qemu-virt-arm64.dtb",
        *("--kernel-at", "0x40200000", "--dtb-at", "0x40400000"),
    ).refused()


def test_config_without_system_map(ttbr: Run, examples: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("CONFIG_ARM64=y\n")
    ttbr("boot", examples / "qemu-virt-arm64.dtb", "--config", config).refused("--system-map")


def test_config_that_is_none(ttbr: Run, examples: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("nothing\n")
    ttbr(
        "boot",
        examples / "qemu-virt-arm64.dtb",
        *("--config", config, "--system-map", config),
    ).refused("config")


def test_unknown_stage(ttbr: Run, examples: Path) -> None:
    ttbr("boot", examples / "qemu-virt-arm64.dtb", "--stage", "lunch").refused("lunch", "handoff")


@pytest.mark.parametrize("command", ["info", "dump", "translate", "diff"])
def test_no_such_image(ttbr: Run, command: str) -> None:
    more = {"translate": ["0x1000"], "diff": ["absent2"]}.get(command, [])
    ttbr(command, "absent.elf", *more).refused("absent.elf", "No such file")


@pytest.mark.parametrize("keep", [0.0001, 0.01, 0.5, 0.99])
def test_truncated_core(
    ttbr: Run, predictions: dict[str, Path], tmp_path: Path, keep: float
) -> None:
    whole = predictions["qemu-virt-arm64"].read_bytes()
    cut = tmp_path / "cut.elf"
    cut.write_bytes(whole[: int(len(whole) * keep)])
    ttbr("info", cut).refused("cut.elf")


def test_truncated_gzip(ttbr: Run, predictions: dict[str, Path], tmp_path: Path) -> None:
    packed = gzip.compress(predictions["qemu-virt-arm32"].read_bytes())
    cut = tmp_path / "cut.elf.gz"
    cut.write_bytes(packed[: len(packed) // 2])
    ttbr("info", cut).refused("cut.elf.gz")


def test_raw_memory_without_registers(ttbr: Run, tmp_path: Path) -> None:
    raw = tmp_path / "ram.raw"
    raw.write_bytes(bytes(1 << 16))
    ttbr("dump", f"{raw}@0x40000000").refused("--registers")


def test_banks_that_overlap(ttbr: Run, tmp_path: Path) -> None:
    raw = tmp_path / "ram.raw"
    raw.write_bytes(bytes(1 << 16))
    ttbr("info", f"{raw}@0x40000000,{raw}@0x40008000").refused("overlap")


@pytest.mark.parametrize("registers", ["TTBR1_EL1=zero", "TTBR1_EL1", "absent.json", "=1"])
def test_registers_that_are_none(ttbr: Run, tmp_path: Path, registers: str) -> None:
    raw = tmp_path / "ram.raw"
    raw.write_bytes(bytes(1 << 16))
    ttbr("dump", f"{raw}@0x40000000", "--registers", registers).refused()


@pytest.mark.parametrize("root", ["kernels", "user:", "user:x", "0x1001", "-1"])
def test_root_that_is_none(ttbr: Run, predictions: dict[str, Path], root: str) -> None:
    ttbr("dump", predictions["qemu-virt-arm64"], "--root", root).refused("root")


@pytest.mark.parametrize("where", ["w and", "__import__('os')", "w + x", "colour", "level == y"])
def test_where_that_is_no_expression(ttbr: Run, predictions: dict[str, Path], where: str) -> None:
    ttbr("dump", predictions["qemu-virt-arm64"], "--where", where).refused()


@pytest.mark.parametrize("span", ["1", "5-5", "9-3", "a-b"])
def test_range_that_is_none(ttbr: Run, predictions: dict[str, Path], span: str) -> None:
    ttbr("dump", predictions["qemu-virt-arm64"], "--range", span).refused("--range")


@pytest.mark.parametrize(
    "arguments",
    [
        ["zzz", "--format", "arm64-4k"],
        ["0x1"],
        ["0x100000000", "--format", "short"],
        ["0x3", "--format", "arm64-4k", "--level", "9"],
        ["NOSUCH=1"],
        ["TCR_EL1=x"],
        ["0x3", "--format", "sparc"],
    ],
)
def test_explain_refuses(ttbr: Run, arguments: list[str]) -> None:
    ttbr("explain", *arguments).refused()


def test_unknown_command_and_option(ttbr: Run) -> None:
    ttbr("bote").refused("bote")
    ttbr("boot", "--lunch").refused("--lunch")


def test_nothing_to_translate(ttbr: Run, predictions: dict[str, Path]) -> None:
    ttbr("translate", predictions["qemu-virt-arm64"]).refused("VA")
    ttbr("translate", predictions["qemu-virt-arm64"], "zz").refused("zz")


@pytest.mark.parametrize(
    ("name", "words"), [("TTBR9_EL1", "'TTBR9_EL1' is no register"), ("TTBR0_EL1", "ID registers")]
)
def test_a_register_that_says_nothing(ttbr: Run, examples: Path, name: str, words: str) -> None:
    """A slip must not pass for a register that was given: nothing else would tell."""
    board = examples / "qemu-virt-arm64.dtb"
    ttbr("boot", board, "--registers", f"{name}=1").refused(words)


@pytest.mark.parametrize("other", ["--dmesg", "--iomem"])
def test_two_answers_at_once(ttbr: Run, examples: Path, other: str) -> None:
    ttbr("boot", examples / "qemu-virt-arm64.dtb", "--events", other).refused("--events", other)


def test_names_of_a_tree_cannot_move_the_cursor(ttbr: Run, examples: Path, tmp_path: Path) -> None:
    """Model and command line are the tree's author's; an error's file name may be, too."""
    board = tmp_path / "odd.dtb"
    blob = (examples / "qemu-virt-arm64.dtb").read_bytes()
    board.write_bytes(blob.replace(b"linux,dummy-virt", b"\x1b[31m[bold]virt\x07"))
    answer = ttbr("boot", board, "--bootargs", "[red]\x1b[2J", "--stage", "memblock")
    assert answer.code == 0
    assert not any(ord(char) < 32 for char in answer.out.replace("\n", ""))
    assert answer.out.startswith("\\x1b[31m[bold]virt\\x07: Linux ")
    assert "command line: [red]\\x1b[2J\n" in answer.out
    ttbr("boot", tmp_path / "\x1b[31m").refused("/\\x1b[31m: No such file")


def test_no_standard_output(examples: Path) -> None:
    """``ttbr … >&-``"""
    done = subprocess.run(
        [
            "sh",
            "-c",
            '"$0" -m ttbr boot "$1" >&-',
            sys.executable,
            examples / "qemu-virt-arm64.dtb",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "ttbr: error: there is no standard output to write to\n"
