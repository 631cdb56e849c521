"""ttbr audit as a user runs it, over a prediction."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Run = Callable[..., Result]
CODE = "kuser-helpers"


@pytest.fixture(scope="module")
def image(predictions: dict[str, Path]) -> Path:
    """A 32-bit machine at the end of paging_init: its text is writable yet."""
    return predictions["qemu-virt-arm32"]


@pytest.fixture(scope="module")
def found(ttbr: Run, image: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    file = tmp_path_factory.mktemp("audit") / "audit.sarif"
    return ttbr("audit", image, "--sarif", file), file


def test_text(found: tuple[Result, Path]) -> None:
    done, _ = found
    assert done.code == 1
    assert "error    kernel-image-writable-executable: " in done.out
    assert "mapped:  kernel: 0xffff0000-0xffff0fff -> " in done.out
    assert f"note     {CODE}: " in done.out
    assert "ttbr audit --explain CODE" in done.out
    assert "not decided:\n- processes: no task" in done.out
    assert "\x1b" not in done.out


def test_sarif_and_json_agree(ttbr: Run, image: Path, found: tuple[Result, Path]) -> None:
    (run,) = json.loads(found[1].read_text())["runs"]
    document = ttbr("audit", image, "--json").json
    assert document["arch"] == "arm"
    assert [result["ruleId"] for result in run["results"]] == [
        finding["code"] for finding in document["findings"]
    ]
    (finding,) = [finding for finding in document["findings"] if finding["code"] == CODE]
    (one,) = finding["mapped"]
    assert (one["va"], one["last"]) == ("0xffff0000", "0xffff0fff")
    assert (one["owner"], one["descriptors"]) == ("kernel", 1)
    assert one["attributes"]["el0_execute"] is True
    assert finding["why"] and finding["fix"]


def test_baseline(ttbr: Run, image: Path, tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    assert ttbr("audit", image, "--write-baseline", file).code == 0
    again = ttbr("audit", image, "--baseline", file, "--fail-on", "note", "--json")
    assert again.code == 0
    assert again.json["findings"] == []
    assert again.json["accepted"] > 0
    file.write_text("{}")
    ttbr("audit", image, "--baseline", file).refused("known.json", "no baseline")


def test_fail_on_and_root(ttbr: Run, image: Path) -> None:
    assert ttbr("audit", image, "--root", "kernel", "--github").code == 1
    ttbr("audit", image, "--root", "pid:x").refused("pid:N")
    ttbr("audit", image, "--root", "nothing").refused("nothing")
    ttbr("audit", image, "--json", "--github").refused("choose one")


def test_pages(ttbr: Run) -> None:
    page = ttbr("audit", "--explain", CODE)
    assert page.code == 0
    for words in ("severity: note", "CONFIG_KUSER_HELPERS", "Example"):
        assert words in page.out
    listed = ttbr("audit", "--list")
    assert any(line.split()[:2] == ["note", CODE] for line in listed.out.splitlines())
    ttbr("audit", "--explain", "nothing").refused("ttbr audit --list")
