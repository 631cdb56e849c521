"""``dump``, ``translate`` and ``explain`` on small images made by hand: what the hardware does not
say by itself, and tables that are not the kernel's."""

import csv
import io
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Run = Callable[..., Result]

BASE, PAGE = 0x4000_0000, 0x1000
REGISTERS = {
    "TCR_EL1": 0x34B5503510,  # 4K, 48 bits, both halves
    "TTBR0_EL1": BASE,
    "TTBR1_EL1": BASE,
    "MAIR_EL1": 0x40044FFFF,
    "SCTLR_EL1": 0x34F4D91D,
}
USER_PAGE = 0x0020_0000_0000_0FC3 | 1 << 54  # Normal, young, nG, EL0 may read
TABLE = 3


class Machine:
    """A raw image of a few pages, and the arguments with which it is opened."""

    def __init__(self, folder: Path, pages: int = 16, **registers: int) -> None:
        self.file = folder / "machine.raw"
        self.words = bytearray(pages * PAGE)
        self.registers = REGISTERS | registers

    def put(self, page: int, index: int, *words: int) -> "Machine":
        struct.pack_into(f"<{len(words)}Q", self.words, page * PAGE + 8 * index, *words)
        return self

    def text(self, page: int, text: bytes) -> "Machine":
        self.words[page * PAGE : page * PAGE + len(text)] = text
        return self

    def spec(self) -> tuple[str, ...]:
        self.file.write_bytes(self.words)
        listed = ",".join(f"{name}={value:#x}" for name, value in self.registers.items())
        return f"{self.file}@{BASE:#x}", "--registers", listed


@pytest.fixture
def process(tmp_path: Path) -> Machine:
    """A process with pages, PROT_NONE, swap, migration, in a kernel that says what it is."""
    machine = Machine(tmp_path)
    for level in range(3):
        machine.put(level, 0, BASE + (level + 1) * PAGE | TABLE)
    machine.put(3, 0, *(BASE + 4 * PAGE + at * PAGE | USER_PAGE for at in range(3)))
    machine.put(3, 3, (BASE + 7 * PAGE | USER_PAGE) & ~0x41)  # neither valid nor for the user
    machine.put(3, 4, *((0x50 + at) << 12 | 1 << 6 for at in range(4)))
    machine.put(3, 8, (BASE >> 12) + 9 << 12 | 30 << 6)
    return machine.text(15, b"Linux version 6.12.117 (someone@somewhere)\n\0")


def test_linuxs_view(ttbr: Run, process: Machine) -> None:
    arguments = ("dump", *process.spec(), "--root", "user", "--linux")
    found = ttbr(*arguments, "--json").json
    assert found["release"].startswith("6.12.117")
    assert found["kinds"] == {"present": 3, "PROT_NONE": 1, "swap": 4, "migration-write": 1}
    rows = [
        (row["va"], row["size"], row["kind"], row["pa"], row["swap_type"], row["swap_offset"])
        for row in found["linux"]
    ]
    assert rows == [
        ("0x0", 3 * PAGE, "present", hex(BASE + 4 * PAGE), None, None),
        ("0x3000", PAGE, "PROT_NONE", hex(BASE + 7 * PAGE), None, None),
        ("0x4000", 4 * PAGE, "swap", None, 1, 0x50),
        ("0x8000", PAGE, "migration-write", hex(BASE + 9 * PAGE), 30, (BASE >> 12) + 9),
    ]
    assert any("CONFIG_DEVICE_PRIVATE" in note for note in found["notes"])
    text = ttbr(*arguments).out
    assert "swap type 1, offset 0x50" in text
    assert "9 entries of tables from 0x40000000: 3 present, 1 PROT_NONE, 4 swap" in text
    table = list(csv.DictReader(io.StringIO(ttbr(*arguments, "--format", "csv").out)))
    assert [row["kind"] for row in table] == [row[2] for row in rows]
    assert table[2]["swap_offset"] == "0x50"
    part = ttbr(*arguments, "--json", "--range", "0x5000-0x6000").json
    assert [(row["va"], row["swap_offset"]) for row in part["linux"]] == [("0x5000", 0x51)]


def test_the_hardwares_view_is_as_it_was(ttbr: Run, process: Machine) -> None:
    found = ttbr("dump", *process.spec(), "--root", "user", "--json").json
    assert [(row["va"], row["size"]) for row in found["mappings"]] == [("0x0", 3 * PAGE)]


def test_one_address_in_linuxs_words(ttbr: Run, process: Machine) -> None:
    arguments = ("translate", *process.spec(), "--root", "user")
    done = ttbr(*arguments, "0x3010", "0x4000", "0x8010", "0x9000")
    assert done.code == 1
    assert f"present for Linux only (PROT_NONE): {BASE + 7 * PAGE + 0x10:#x}" in done.out
    assert "swapped out: type 1, offset 0x50" in done.out
    assert f"migration-write entry for Linux: {BASE + 9 * PAGE + 0x10:#x}" in done.out
    found = ttbr(*arguments, "0x3010", "0x4000", "0x9000", "--json").json
    assert [item["pa"] for item in found] == [hex(BASE + 7 * PAGE + 0x10), None, None]
    assert found[1]["linux"]["swap_offset"] == 0x50
    assert found[2]["linux"] is None


def test_linux_needs_its_release(ttbr: Run, process: Machine) -> None:
    process.text(15, bytes(64))
    ttbr("dump", *process.spec(), "--root", "user", "--linux").refused("release is not known")


def test_what_does_not_go_with_linux(ttbr: Run, process: Machine) -> None:
    arguments = ("dump", *process.spec(), "--linux")
    ttbr(*arguments, "--where", "w").refused("--where")
    ttbr(*arguments, "--format", "ptdump").refused("--linux")


def test_pan(ttbr: Run, process: Machine) -> None:
    arguments = ("translate", *process.spec(), "0x0", "--access", "el1-read")
    assert ttbr(*arguments).code == 0
    refused = ttbr(*arguments, "--pan")
    assert refused.code == 1
    assert "PSTATE.PAN keeps el1-read out" in refused.out
    ttbr("translate", *process.spec(), "0x0", "--pan").refused("--access")


def test_contiguous_entries_that_disagree(ttbr: Run, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for level in range(3):
        machine.put(level, 0, BASE + (level + 1) * PAGE | TABLE)
    machine.put(3, 0, *(at * PAGE | USER_PAGE | 1 << 52 for at in range(16)))
    machine.put(3, 16, *(at * PAGE | USER_PAGE | 1 << 52 for at in range(16)))
    machine.put(3, 20, 0)
    arguments = ("dump", *machine.spec(), "--root", "user")
    text = "1 of 2 contiguous groups are wrong at level 3, the first at va 0x10000"
    assert text in ttbr(*arguments).out
    found = ttbr(*arguments, "--json").json
    assert any(text in note for note in found["notes"])
    assert found["contiguous_groups"] == {
        "groups": 2,
        "wrong": 1,
        "first_wrong": [
            {"va": "0x10000", "size": 0x10000, "level": 3, "reason": "entries are missing"}
        ],
    }
    # A condition selects rows; the groups are those of the whole.
    assert ttbr(*arguments, "--json", "--where", "w").json["contiguous_groups"]["wrong"] == 1


MEASURE = """
import json, resource, sys
from ttbr.cli.main import main
sys.argv = json.loads(sys.argv[1])
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss: that begins with the memory of the process that started this one.
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    kib = int(status["VmHWM"].split()[0])
    print(json.dumps([used.ru_utime + used.ru_stime, kib]), file=sys.stderr)
"""


@pytest.mark.parametrize("entries", [1, 30, 100, 511, 512])
@pytest.mark.parametrize("how", [("dump",), ("dump", "--json"), ("info",)])
def test_one_table_that_points_to_itself_at_every_level(
    tmp_path: Path, entries: int, how: tuple[str, ...]
) -> None:
    machine = Machine(tmp_path, 1).put(0, 0, *[BASE | TABLE] * entries)
    command, *options = how
    arguments = ["ttbr", command, *machine.spec(), *options]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, kib = json.loads(done.stderr.splitlines()[-1])
    assert seconds < 1
    assert kib < 200 << 10
    if entries > 1:
        assert f"{BASE:#x} in {entries**3} places" in " ".join(done.stdout.split())


def test_shared_tables_are_named(ttbr: Run, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for level in range(2):
        machine.put(level, 0, BASE + (level + 1) * PAGE | TABLE)
    machine.put(2, 0, *[BASE + 3 * PAGE | TABLE] * 3)
    machine.put(3, 0, BASE | USER_PAGE)
    found = ttbr("dump", *machine.spec(), "--root", "user", "--json").json
    assert found["descriptors"] == 3
    assert found["shared_tables"] == [
        {"table": hex(BASE + 3 * PAGE), "level": 3, "places": 3, "listed": 3}
    ]
    assert found["notes"] == [
        "tables used in more than one place: 1, most often 0x40003000, at level 3 in 3 places"
    ]


def test_a_guests_memory(ttbr: Run, tmp_path: Path) -> None:
    machine = Machine(tmp_path, VTCR_EL2=0x80023558, VTTBR_EL2=BASE + 2 * PAGE, HCR_EL2=1)
    machine.put(2, 513, 0x8000_0000 | 0x7FD | 1 << 54)  # in the second of two tables
    for root in ("stage2", f"stage2:{BASE + 2 * PAGE:#x}"):
        found = ttbr("dump", *machine.spec(), "--root", root, "--json").json
        assert found["format"] == "vmsav8-64-stage2"
        (row,) = found["mappings"]
        assert (row["va"], row["pa"], row["size"]) == (hex(513 << 30), "0x80000000", 1 << 30)
    at = hex(513 << 30)
    (answer,) = ttbr("translate", *machine.spec(), at, "--root", "stage2", "--json").json
    assert answer["attributes"]["el1_write"] is True
    ttbr("dump", *machine.spec(), "--root", "el3").refused("TCR_EL3")
    ttbr("dump", *machine.spec(), "--root", "el4:0x1000").refused("el4", "kernel, user, el2")


def test_explaining_other_exception_levels(ttbr: Run) -> None:
    done = ttbr("explain", "0x00400000400007ff", "--format", "arm64-4k-stage2", "--level", "3")
    assert "S2AP" in done.out
    assert "stage 2 4K level 3 page" in done.out
    (vtcr,) = ttbr("explain", "VTCR_EL2=0x80023558", "--json").json
    assert {"bits": "[5:0]", "name": "T0SZ"}.items() <= vtcr["fields"][-1].items()
