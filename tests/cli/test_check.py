"""ttbr check as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from console_cases import CMA, FREE, Case, G, M, region

from device_trees import blob
from tests.cli.conftest import Result

Run = Callable[..., Result]
BAD = Case("bad", "", reserved=[region("pool", FREE + M, 16 * M, **CMA)])
CODE = "cma-misaligned"
WORDS = "Reserved memory: incorrect alignment of CMA region"


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a board that has an error, its source beside it, and one without memory."""
    folder = tmp_path_factory.mktemp("boards")
    name, properties, children = BAD.tree
    (folder / "bad.dtb").write_bytes(blob((name, properties, children)))
    (folder / "bad.dts").write_text("/dts-v1/;\n")
    kept = [child for child in children if child[0] != "memory"]
    (folder / "bare, 100%.dtb").write_bytes(blob((name, properties, kept)))
    return folder


@pytest.fixture(scope="module")
def found(ttbr: Run, boards: Path) -> Result:
    return ttbr("check", boards / "bad.dtb", "--sarif", boards / "check.sarif")


def test_text(found: Result) -> None:
    assert found.code == 1
    assert f"error    {CODE}: /reserved-memory/pool@60100000" in found.out
    assert f"kernel:  {WORDS}\n" in found.out
    assert "numbers: page block 2 MiB" in found.out
    assert "change:  /reserved-memory/pool@60100000: reg" in found.out
    assert "fix:     align its base and size to 2 MiB" in found.out
    assert "\x1b" not in found.out
    assert "1 error, " in found.out


def test_sarif(found: Result, boards: Path) -> None:
    log = json.loads((boards / "check.sarif").read_text())
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    result = next(result for result in run["results"] if result["ruleId"] == CODE)
    assert rules[result["ruleIndex"]]["id"] == CODE
    assert result["level"] == "error"
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"].endswith("/bad.dts")
    assert location["logicalLocations"][0]["fullyQualifiedName"].endswith("pool@60100000: reg")
    assert result["properties"]["kernel"][0] == WORDS
    assert {result["level"] for result in run["results"]} <= {"error", "warning", "note"}


def test_json_and_severities(ttbr: Run, examples: Path, boards: Path) -> None:
    board = examples / "qemu-virt-arm64.dtb"
    fine = ttbr("check", board, "--json", "--fail-on", "warning")
    assert fine.code == 0
    assert set(fine.json["counts"]) == {"note"}
    assert all(finding["severity"] == "note" for finding in fine.json["findings"])
    assert ttbr("check", board, "--fail-on", "note").code == 1
    bad = ttbr("check", boards / "bad.dtb", "--json")
    assert bad.code == 1
    first = bad.json["findings"][0]
    assert first["code"] == CODE
    assert first["kernel"][0] == WORDS
    assert first["numbers"] == {"page block": 2 * M}
    assert first["change"] == [{"node": "/reserved-memory/pool@60100000", "property": "reg"}]


def test_annotations_are_escaped(ttbr: Run, boards: Path) -> None:
    done = ttbr("check", boards / "bare, 100%.dtb", "--github")
    assert done.code == 1
    (line,) = done.out.splitlines()
    assert line.startswith("::error file=")
    assert "/bare%2C 100%25.dtb,title=no-memory::" in line
    assert "%0A" in line and "--memory SIZE@BASE" in line


def test_what_to_pass_for_a_board_without_memory(ttbr: Run, boards: Path) -> None:
    board = boards / "bare, 100%.dtb"
    assert "--memory SIZE@BASE" in ttbr("check", board).out
    told = ttbr("check", board, "--memory", f"{G}@0x40000000", "--json")
    codes = [finding["code"] for finding in told.json["findings"]]
    assert CODE in codes and "no-memory" not in codes


def test_a_boot_that_cannot_begin_is_a_finding(ttbr: Run, examples: Path) -> None:
    board = examples / "qemu-virt-arm64.dtb"
    done = ttbr("check", board, "--dtb-at", "0x40400000", "--json")
    assert done.code == 1
    assert done.json["findings"][0]["code"] == "loader-overlap"
    assert done.json["stages"] == []


def test_pages(ttbr: Run) -> None:
    page = ttbr("check", "--explain", CODE)
    assert page.code == 0
    for words in ("severity: error", WORDS, "kernel/dma/contiguous.c", "Example"):
        assert words in page.out
    listed = ttbr("check", "--list")
    assert listed.code == 0
    assert any(line.split()[:2] == ["error", CODE] for line in listed.out.splitlines())


def test_bad_input(ttbr: Run, examples: Path, boards: Path) -> None:
    ttbr("check", "--explain", "nothing").refused("no finding 'nothing'", "--list")
    ttbr("check", boards / "bad.dts").refused("device tree")
    ttbr("check", boards / "none.dtb").refused("none.dtb")
    board = examples / "qemu-virt-arm64.dtb"
    ttbr("check", board, "--json", "--github").refused("choose one")
    ttbr("check", board, "--kernel", "no-such").refused("no-such")
    ttbr("check", board, "--registers", "ID_X").refused("ID_X")


def test_strings_of_the_tree_are_shown_safely(ttbr: Run, tmp_path: Path) -> None:
    odd = Case("odd", "", bootargs="cma=64M@0x60100000\x1b[31m%0A::error::x\n")
    (tmp_path / "odd.dtb").write_bytes(blob(odd.tree))
    text = ttbr("check", tmp_path / "odd.dtb")
    assert text.code == 1 and "\x1b" not in text.out
    lines = ttbr("check", tmp_path / "odd.dtb", "--github").out.splitlines()
    assert all(line.startswith(("::error file=", "::notice file=")) for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_the_rules_as_json(ttbr: Run) -> None:
    """--json holds for every answer, wherever it stands."""
    rules = ttbr("check", "--list", "--json").json
    assert [rule["code"] for rule in rules] == [
        line.split()[1] for line in ttbr("check", "--list").out.splitlines()
    ]
    code = rules[0]["code"]
    assert ttbr("check", "--json", "--explain", code).json == rules[0]
