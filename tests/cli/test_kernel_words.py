"""``ttbr boot --dmesg`` and ``--iomem``, as a user runs them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Run = Callable[..., Result]
BOARDS = ["qemu-virt-arm64", "qemu-virt-arm32", "board-2g-at-60000000"]


@pytest.mark.parametrize("board", BOARDS)
def test_the_log_ends_with_the_line_about_memory(ttbr: Run, examples: Path, board: str) -> None:
    done = ttbr("boot", examples / f"{board}.dtb", "--dmesg")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    found = [n for n, line in enumerate(lines) if line.startswith("Memory: ")]
    assert len(found) == 1
    for before, after in (("Zone ranges:", "Early memory node ranges"), ("percpu:", "Memory: ")):
        order = [
            next(n for n, line in enumerate(lines) if line.startswith(w)) for w in (before, after)
        ]
        assert order == sorted(order)
    # Debian's 6.1 prints it when nothing has been allocated: every figure is known.
    assert "?" not in lines[found[0]]


def test_what_is_not_determined_is_named(ttbr: Run, examples: Path) -> None:
    arguments = ("boot", examples / "qemu-virt-arm64.dtb", "--dmesg", "--json")
    lines = ttbr(*arguments, "--bootargs", "memblock=debug").json["dmesg"]
    assert all(("?" in line["text"]) == ("unknown" in line) for line in lines)
    calls = [line["text"] for line in lines if line["text"].startswith("memblock_reserve: ")]
    assert calls and all(text.endswith("+?/?") for text in calls)
    quiet = ttbr(*arguments).json["dmesg"]
    assert not any(line["text"].startswith("memblock") for line in quiet)


def test_strings_of_the_tree_cannot_write_to_the_terminal(ttbr: Run, examples: Path) -> None:
    done = ttbr("boot", examples / "qemu-virt-arm64.dtb", "--dmesg", "--bootargs", "a\x1b[31m")
    assert done.code == 0
    assert "\x1b" not in done.out and "Kernel command line: a\\x1b[31m" in done.out


def test_iomem_nests_the_image(ttbr: Run, examples: Path) -> None:
    done = ttbr("boot", examples / "board-2g-at-60000000.dtb", "--iomem")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0].endswith(" : System RAM")
    assert any(line.startswith("  ") and line.endswith("Kernel code") for line in lines)
    (nomap,) = [line for line in lines if line.startswith("70000000")]
    assert nomap == "70000000-701fffff : reserved"
    top = ttbr("boot", examples / "board-2g-at-60000000.dtb", "--iomem", "--json").json["iomem"]
    assert {entry["name"] for entry in top} == {"System RAM", "reserved"}
    assert all(int(entry["start"], 16) <= int(entry["end"], 16) for entry in top)


def test_arm_enters_no_reservations(ttbr: Run, examples: Path) -> None:
    lines = ttbr("boot", examples / "qemu-virt-arm32.dtb", "--iomem").out.splitlines()
    assert [line.partition(" : ")[2] for line in lines] == [
        "System RAM",
        "Kernel code",
        "Kernel data",
    ]


def test_both_and_neither_with_a_comparison(ttbr: Run, examples: Path) -> None:
    board = examples / "qemu-virt-arm64.dtb"
    both = ttbr("boot", board, "--dmesg", "--iomem", "--json").json
    assert set(both) == {"dmesg", "iomem"}
    ttbr("boot", board, "--dmesg", "--against", "--memory 1G").refused("--dmesg")
