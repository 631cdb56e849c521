"""The commands about Linux's structures, as a user runs them on a recording's RAM."""

import json
import subprocess
import sys

import pytest
import unpacked

CASES = ("arm64-4k-48", "arm32-virt-lpae")


@pytest.fixture(scope="module", params=CASES)
def recording(request, truth):
    """(case, IMAGE): the RAM unpacked, so that each command only maps it."""
    return request.param, unpacked.spec(truth, request.param)


def ttbr(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ttbr", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_processes_and_one_of_their_spaces(recording, truth):
    case, image = recording
    listed = json.loads(ttbr("ps", image, "--json").stdout)
    assert {task["pid"] for task in listed["tasks"]} == {
        task["pid"] for task in truth.expected(case)["tasks"]
    }
    text = ttbr("ps", image, "--users", "--hidden")
    assert text.returncode == 0
    assert "every root table that was found is a listed task's" in text.stdout
    first = next(task for task in listed["tasks"] if task["pid"] == 1)
    assert f"VmPTE:\t{first['table_bytes'] // 1024:8} kB" in truth.text(case, "pid/1/status.txt")
    by_number = ttbr("dump", image, "--root", "pid:1", "--json")
    by_root = ttbr("dump", image, "--root", f"user:{first['root']}", "--json")
    assert by_number.stdout == by_root.stdout
    assert json.loads(by_number.stdout)["root"] == first["root"]


def test_maps_as_the_kernel_prints_them(recording, truth):
    case, image = recording
    wanted = truth.text(case, "pid/1/maps.txt").splitlines()
    lines = ttbr("maps", image, 1).stdout.splitlines()
    assert [line.split()[:5] for line in lines] == [line.split()[:5] for line in wanted]
    areas = json.loads(ttbr("maps", image, 1, "--json").stdout)["areas"]
    assert [area["name"] for area in areas] == [
        line.split(None, 5)[5].rstrip() if len(line.split()) > 5 else "" for line in wanted
    ]


def test_two_processes_of_one_image(recording, truth):
    case, image = recording
    samples = [line.split() for line in truth.text(case, "samples.txt").splitlines()]
    pids = [next(row[0] for row in samples if row[1:2] == [name]) for name in ("cow-a", "cow-b")]
    roots = [word for pid in pids for word in ("--root", f"pid:{pid}")]
    done = ttbr("diff", image, image, *roots, "--json")
    assert done.returncode == 1
    (root,) = json.loads(done.stdout)["roots"]
    assert all(f"({pid})" in root["root"] for pid in pids)
    assert any(g["change"] == "remapped" and g["region"] == "anonymous" for g in root["groups"])
    assert ttbr("diff", image, image, *roots, "--root", "kernel").returncode == 2


@pytest.mark.parametrize("pid", ["2", "999999"])
def test_no_areas(recording, pid):
    done = ttbr("maps", recording[1], pid)
    assert (done.returncode, done.stdout) == (2, "")
    assert pid in done.stderr.splitlines()[-1]


def test_symbols_and_configuration(recording, truth):
    case, image = recording
    own = truth.text(case, "kallsyms.txt").splitlines()
    assert ttbr("symbols", image).stdout.splitlines() == own
    text = ttbr("config", image)
    assert text.returncode == 0
    assert "CONFIG_IKCONFIG=y" in text.stdout.splitlines()


@pytest.mark.parametrize("command", ["memblock", "zones", "buddy", "vmalloc", "meminfo"])
def test_the_kernels_account_of_memory(recording, command):
    image = recording[1]
    rows = json.loads(ttbr(command, image, "--json").stdout)
    lines = ttbr(command, image).stdout.splitlines()
    assert rows
    assert len(lines) == len(rows) + 1
    assert lines[0].lower().split() == list(rows[0])


def test_who_maps_a_copied_page(recording, truth):
    case, image = recording
    samples = [line.split() for line in truth.text(case, "samples.txt").splitlines()]
    pid, va, word = next((row[0], row[3], row[5]) for row in samples if row[1:2] == ["cow-b"])
    done = ttbr("page", image, va, "--pid", pid, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(user["pid"], user["va"]) for user in found["processes"]] == [(int(pid), va)]
    assert found["page"]["mapped_as"] == "anonymous"
    assert (found["page"]["mapcount"], found["free"]) == (1, None)
    again = json.loads(ttbr("page", image, found["pfn"], "--as", "pfn", "--json").stdout)
    assert again == found
    text = ttbr("page", image, found["pa"]).stdout
    assert f"pid {pid} " in text

    read = ttbr("read", image, "--pid", pid, va, "8", "--json")
    value = int.from_bytes(bytes.fromhex(json.loads(read.stdout)["bytes"]), "little")
    assert value == int(word, 16)
    where = ttbr("search", image, "--pid", pid, "--hex", value.to_bytes(8, "little").hex())
    assert va in where.stdout.splitlines()


def test_kernel_memory_by_address(recording, truth):
    case, image = recording
    banner = truth.expected(case)["symbols"]["linux_banner"]["va"]
    lines = ttbr("read", image, banner, "13").stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("Linux version")
    raw = subprocess.run(
        [sys.executable, "-m", "ttbr", "read", image, banner, "13", "--raw"],
        capture_output=True,
        check=True,
    )
    assert raw.stdout == b"Linux version"
    found = ttbr("search", image, "Linux version 6.12.117 (", "--json")
    assert banner in json.loads(found.stdout)["found"]
    assert ttbr("search", image, "no such text anywhere in this machine").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["read", "IMAGE", "0x10", "8"], "is not mapped"),
        (["read", "IMAGE", "--pid", "1", "0x10", "8"], "is not in memory"),
        (["read", "IMAGE", "0", "2G"], "more than"),
        (["search", "IMAGE", "--hex", "zz"], "not bytes in hexadecimal"),
        (["search", "IMAGE", ""], "nothing to search for"),
        (["page", "IMAGE", "0x7fffffffffff"], "neither mapped"),
        (["page", "IMAGE", "0x10", "--pid", "1"], "has no page at"),
        (["dump", "IMAGE", "--root", "pid:2"], "has no tables"),
        (["dump", "IMAGE", "--root", "pid:x"], "pid:N"),
    ],
)
def test_what_cannot_be_answered(recording, arguments, words):
    done = ttbr(*(recording[1] if word == "IMAGE" else word for word in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]
