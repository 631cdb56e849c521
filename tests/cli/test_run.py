"""``ttbr run``: scenarios and the shell, as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ttbr.cli.run import run_command
from ttbr.run.scenario.shipped import shipped_names

STORY = """\
# a story
p = spawn
a = mmap p 64K
store p a "hello"
c = fork p
store c a "world"   # copies
show status c
v = vmalloc 16K
"""


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.scenario"
    path.write_text(STORY)
    return path


def shell(*arguments: object, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ttbr", "run", "-i", *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_and_event_is_printed(ttbr, examples, story) -> None:
    done = ttbr("run", story, examples / "qemu-virt-arm64.dtb", "--memory", "512M")
    assert done.code == 0 and done.err == ""
    for word in (
        '4: store p a "hello"',
        "do_anonymous_page",
        "wp_page_copy",
        "VmPTE:",
        "[vmalloc]",
    ):
        assert word in done.out


def test_json_has_the_same(ttbr, examples, story) -> None:
    found = ttbr("run", story, examples / "qemu-virt-arm32.dtb", "--json").json
    assert [step["line"] for step in found["steps"]] == [2, 3, 4, 5, 6, 7, 8]
    kinds = {event["kind"] for step in found["steps"] for event in step["events"]}
    assert {"fault", "fork", "mmap", "switch", "vmalloc"} <= kinds
    assert found["violations"] == []


def test_what_is_saved_is_an_image_like_any_other(ttbr, examples, story, tmp_path) -> None:
    early, late = tmp_path / "early.elf", tmp_path / "late.elf"
    board = examples / "qemu-virt-arm64.dtb"
    assert ttbr("run", story, board, "--save", early, "--at", "3").code == 0
    assert ttbr("run", story, board, "--save", late).code == 0
    info = ttbr("info", late, "--json")
    assert info.code == 0 and info.json["arch"] == "arm64"
    assert "el0:rw-" in ttbr("dump", late, "--root", "user:pid2").out
    difference = ttbr("diff", early, late)
    assert difference.code == 1 and "vmalloc" in difference.out
    text = STORY + f"save {tmp_path / 'inside.elf'}\nsay done\n"
    story.write_text(text)
    assert "saved: " in ttbr("run", story, board).out
    assert ttbr("diff", late, tmp_path / "inside.elf").code == 0


def test_a_bad_scenario_is_one_line_with_its_place(ttbr, examples, tmp_path) -> None:
    path, board = tmp_path / "bad.scenario", examples / "qemu-virt-arm64.dtb"
    path.write_text("p = spawn\nmunmapp p 1 2")
    ttbr("run", path, board).refused("bad.scenario:2:1: unknown command 'munmapp'")
    path.write_text("say before\nvfree 4096\nsay never")
    done = ttbr("run", path, board)
    assert done.code == 2 and "before" in done.out and "never" not in done.out
    assert "bad.scenario:2: Trying to vfree() nonexistent vm area" in done.err
    ttbr("run", tmp_path / "none", board).refused("those that ship are")
    path.write_text("expect free() == 0")
    ttbr("run", path).refused("no board")
    assert ttbr("run", path, board).code == 1


def test_what_is_found_wrong_ends_with_exit_code_1(ttbr, examples, tmp_path) -> None:
    path = tmp_path / "wrong.scenario"
    path.write_text("v = ioremap 0x4000000000 4M\nsplit v at_once\n")
    done = ttbr("run", path, examples / "qemu-virt-arm64.dtb")
    assert done.code == 1
    assert "a block becomes a table" in done.err and "[violation] break-before-make" in done.out


def test_the_shell_goes_on_after_an_error(examples) -> None:
    board = examples / "qemu-virt-arm32.dtb"
    done = shell(
        board, text="p = spawn\nnonsense\nvfree 1\na = mmap p 4K\nstore p a 1\nexit\nsay no\n"
    )
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: shell:") == 2
    assert "do_anonymous_page" in done.stdout and "say no" not in done.stdout
    assert shell(board, text="say hello\n").returncode == 0


@pytest.mark.parametrize("name", shipped_names())
def test_scenarios_that_ship_run_clean(name) -> None:
    done = CliRunner().invoke(run_command, [name])
    assert done.exit_code == 0, done.output[-2000:]
    assert "violation]" not in done.output
    assert done.output.count("expect ") > 4


PLANTED = {
    "break-before-make": """
        boot board-arm64.dtb --memory 0x40000000:512M
        p = spawn
        a = mmap p 4K
        store p a 1
        b = alloc_pages gfp=highuser
        entry table(p,a) index(p,a) entry(p,a)-pa(p,a)+b*4K
    """,
    "stale violation": """
        boot board-arm64.dtb --memory 0x40000000:512M
        p = spawn
        a = mmap p 4K
        store p a 1
        entry table(p,a) index(p,a) 0
        load p a
    """,
    "missing vmalloc sync": """
        boot board-arm32.dtb
        p = spawn run
        q = spawn run
        v = vmalloc 4M
        switch p
        entry pgd(p) v/1M 0
    """,
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_reported(what, tmp_path, examples) -> None:
    path = tmp_path / "planted.scenario"
    for kind in ("arm64", "arm32"):
        board = (examples / f"qemu-virt-{kind}.dtb").read_bytes()
        (tmp_path / f"board-{kind}.dtb").write_bytes(board)
    path.write_text(PLANTED[what])
    done = CliRunner().invoke(run_command, [str(path)])
    assert done.exit_code == 1, done.output
    assert what in done.output and "[violation]" in done.output


def test_scenarios_that_ship_are_listed(ttbr) -> None:
    done = ttbr("run", "--list")
    assert done.code == 0
    for name, title in shipped_names().items():
        assert name in done.out and title in done.out
    assert json.loads(ttbr("run", "--list", "--json").out) == shipped_names()
