"""``ttbr boot --against`` and ``--sweep``, as a user runs them."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Result
from ttbr.cli.variants import parse_sweep, with_parameter
from ttbr.errors import InputError

Run = Callable[..., Result]
ARM64, ARM32 = "qemu-virt-arm64.dtb", "board32-1g-at-80000000.dtb"
M = 1 << 20


def test_against_itself(ttbr: Run, examples: Path) -> None:
    done = ttbr("boot", examples / ARM64, "--against", examples / ARM64)
    assert (done.code, done.out) == (0, "identical\n")


def test_against_another_memory_and_command_line(ttbr: Run, examples: Path) -> None:
    board = ("boot", examples / ARM64, "--stage", "paging_init")
    other = "--memory 512M --bootargs 'nokaslr rodata=on'"
    text = ttbr(*board, "--against", other)
    assert text.code == 1
    lines = text.out.splitlines()
    assert lines[lines.index("COMMAND LINE") + 2] == "+ nokaslr rodata=on"
    at = lines.index("MEMORY")
    assert lines[at + 1 : at + 3] == ["- ram_bytes: 1 GiB", "+ ram_bytes: 512 MiB"]
    assert not any("swapper_pg_dir" in line for line in lines)  # it stays where it was

    done = ttbr(*board, "--against", other, "--json")
    assert done.code == 1
    sections = done.json["sections"]
    assert not done.json["identical"]
    assert sections["memory"][0] == {"key": "ram_bytes", "a": 1024 * M, "b": 512 * M}
    tables = next(c for c in sections["physical"] if c["key"] == "translation tables")
    assert tables["a"]["last"] == "0x7fffffff"
    assert tables["b"]["last"] == "0x5fffffff"
    assert "roots" not in sections
    # The same from the other side: A's rows become B's.
    turned = ttbr(
        *(*board, "--memory", "512M", "--bootargs", "nokaslr rodata=on"),
        *("--against", "--memory 1G --bootargs ''", "--json"),
    ).json["sections"]

    def rows(changes: list[dict[str, Any]], *sides: str) -> list[str]:
        return sorted(json.dumps([change[side] for side in sides]) for change in changes)

    assert turned.keys() == sections.keys()
    for name, changes in sections.items():
        assert rows(turned[name], "b", "a") == rows(changes, "a", "b")


def test_against_other_permissions(ttbr: Run, examples: Path) -> None:
    """What no list of regions shows: rodata=off leaves code writable."""
    done = ttbr(
        *("boot", examples / ARM64, "--stage", "paging_init", "--bootargs", "rodata=on"),
        *("--against", "--bootargs rodata=off", "--json"),
    )
    changes = done.json["sections"]["kernel_mappings"]
    assert len(changes) > 1
    for change in changes:
        assert "el1_write" in change["a"] or "el1_write" in change["b"]
        assert change["a"]["pa"] == change["b"]["pa"]


def test_against_what_does_not_boot(ttbr: Run, examples: Path) -> None:
    board = ("boot", examples / ARM64, "--stage", "paging_init")
    ttbr(*board, "--against", "--memory 1M").refused("--against: ")


def test_the_order_of_bases_and_sizes(ttbr: Run, examples: Path) -> None:
    """SIZE@BASE, BASE:SIZE and SIZE alone are one."""
    done = ttbr(
        *("boot", examples / ARM32, "--stage", "memblock", "--memory", "512M@0x80000000"),
        *("--memory", "256M@0xb0000000"),
        *("--against", "--memory 0x80000000:512M --memory 0xb0000000:0x10000000"),
    )
    assert (done.code, done.out) == (0, "identical\n")
    done = ttbr(
        *("boot", examples / ARM32, "--stage", "memblock", "--memory", "1G"),
        *("--against", "--memory 1G@0x80000000"),
    )
    assert (done.code, done.out) == (0, "identical\n")


def test_a_matrix(ttbr: Run, examples: Path) -> None:
    """The errors of a variant are its row's; the others go on."""
    sweep = ("--sweep", "memory=512M,2G,8G", "--sweep", "vmalloc=240M,512M")
    board = ("boot", examples / ARM32, "--stage", "paging_init", *sweep)
    done = ttbr(*board, "--json")
    assert done.code == 1
    rows = done.json
    assert [tuple(row["variant"].values()) for row in rows] == [
        (memory, vmalloc) for memory in ("512M", "2G", "8G") for vmalloc in ("240M", "512M")
    ]
    assert [row["lowmem_bytes"] // M for row in rows[:4]] == [512, 496, 768, 496]
    assert [row["error"] is None for row in rows] == [True] * 4 + [False] * 2
    assert "does not fit the 1 cells" in rows[4]["error"]
    text = ttbr(*board).out.splitlines()
    assert len(text) == 7
    assert text[0].split()[:4] == ["memory", "vmalloc", "usable", "lowmem"]
    assert "error: " in text[-1]
    table = list(csv.DictReader(io.StringIO(ttbr(*board, "--csv").out)))
    assert [int(row["highmem_bytes"] or 0) for row in table] == [
        row.get("highmem_bytes", 0) for row in rows
    ]
    assert [row["linear_map"] for row in table[2:4]] == ["768×1MiB", "496×1MiB"]


def test_what_cannot_be_asked(ttbr: Run, examples: Path) -> None:
    board = ("boot", examples / ARM64)
    ttbr(*board, "--against", "--memory").refused("--against '--memory'", "requires an argument")
    ttbr(*board, "--against", "absent.dtb").refused("absent.dtb")
    ttbr(*board, "--against", "'").refused("quotation")
    ttbr(*board, "--against", "", "--sweep", "cpus=1").refused("one of them")
    ttbr(*board, "--csv").refused("--sweep")
    ttbr(*board, "--sweep", "memory").refused("KEY=VALUE")


@pytest.mark.parametrize(
    ("line", "name", "value", "expected"),
    [
        ("", "mem", "1G", "mem=1G"),
        ("quiet mem=2G", "mem", "1G", "quiet mem=1G"),
        ("mem=2G quiet mem", "mem", "", "quiet"),
        ("memtest=1", "mem", "1G", "memtest=1 mem=1G"),
        ("log-buf-len=1M", "log_buf_len", "4M", "log_buf_len=4M"),
        ("a -- mem=3", "mem", "1G", "a mem=1G -- mem=3"),
    ],
)
def test_a_parameter_of_the_command_line(line: str, name: str, value: str, expected: str) -> None:
    assert with_parameter(line, name, value) == expected


def test_values_of_a_sweep() -> None:
    assert parse_sweep("memory=1G,2G") == ("memory", ["1G", "2G"])
    assert parse_sweep("crashkernel=;256M,high") == ("crashkernel", ["", "256M,high"])
    with pytest.raises(InputError, match="KEY=VALUE"):
        parse_sweep("=1")


def test_a_kernel_without_an_option(ttbr: Run, examples: Path) -> None:
    done = ttbr(
        *("boot", examples / ARM32, "--stage", "memblock", "--sweep", "set=HIGHMEM=y,HIGHMEM=n"),
        *("--sweep", "memory=512M@0x80000000+512M@0xa0000000", "--json"),
    )
    assert done.code == 0
    with_it, without = done.json
    assert with_it["highmem_bytes"] > 0
    assert without["highmem_bytes"] == 0
    assert with_it["lowmem_bytes"] == without["lowmem_bytes"] == 768 * M
