"""The commands on predictions of the example boards: what they print, and their exit codes."""

import csv
import gzip
import io
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from tests.cli.conftest import Result

Run = Callable[..., Result]
Saved = dict[str, Path]

ARM64 = "qemu-virt-arm64"
ARM32 = "qemu-virt-arm32"


def test_boot_says_where_everything_is(ttbr: Run, examples: Path) -> None:
    done = ttbr("boot", examples / f"{ARM64}.dtb")
    assert done.code == 0
    assert done.err == ""
    for word in ("swapper_pg_dir", "kernel text", "device tree", "vmalloc", "Linear Mapping"):
        assert word in done.out
    assert "\x1b" not in done.out  # colours are for terminals


def test_boot_json_has_the_same_facts(ttbr: Run, examples: Path) -> None:
    facts = ttbr("boot", examples / "board-2g-at-60000000.dtb", "--json").json
    assert facts["stage"] == facts["stages"][-1]
    assert facts["kernel"]["arch"] == "arm64"
    assert {"start": "0x60200000", "last": "0x6020ffff"}.items() <= facts["physical"][0].items()
    assert facts["ttbr"]["TTBR1_EL1"] == facts["roots"]["swapper_pg_dir"]
    nomap = [row for row in facts["memblock"] if row["flags"] == "NOMAP"]
    assert nomap == [
        {"list": "memory", "start": "0x70000000", "last": "0x701fffff", "flags": "NOMAP"}
    ]
    linear = sum(kind["bytes"] for kind in facts["linear_map"])
    assert linear == (2 << 30) - (2 << 20)


@pytest.mark.parametrize("more", [[], ["--events", "--json"]])
def test_a_reader_that_goes_away_is_no_error(examples: Path, more: list[str]) -> None:
    command = [sys.executable, "-m", "ttbr", "boot", str(examples / f"{ARM64}.dtb"), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.parametrize("board", [ARM64, ARM32, "board-2g-at-60000000"])
def test_events_are_in_order_and_typed(ttbr: Run, examples: Path, board: str) -> None:
    facts = ttbr(
        *("boot", examples / f"{board}.dtb", "--events", "--json"),
        *("--bootargs", "memblock=debug"),
    ).json
    events = facts["events"]
    stages = [event["stage"] for event in events]
    assert stages == sorted(stages, key=facts["stages"].index)
    logged = [event for event in events if event["logged"]]
    assert logged
    assert {event["kind"] for event in logged} <= {
        "memblock_add",
        "memblock_remove",
        "memblock_reserve",
        "memblock_phys_free",
    }
    assert any(event["kind"] == "map" for event in events)


def test_a_stage_ends_the_boot(ttbr: Run, examples: Path) -> None:
    facts = ttbr("boot", examples / f"{ARM64}.dtb", "--stage", "memblock", "--json").json
    assert facts["stage"] == "memblock"
    assert facts["stages"][-1] == "memblock"
    assert not any("translation tables" in place["what"] for place in facts["physical"])


def test_a_boot_that_cannot_go_on_is_shown_as_far_as_it_came(ttbr: Run, examples: Path) -> None:
    small = ("boot", examples / f"{ARM64}.dtb", "--memory", "24M@0x40000000")
    done = ttbr(*small)
    assert done.code == 1
    assert "kernel text" in done.out and "stage handoff" in done.out
    assert done.err.count("\n") == 1
    assert done.err.startswith("ttbr: the boot ends here, after handoff: the kernel needs ")
    facts = ttbr(*small, "--json").json
    assert facts["stages"] == ["handoff"] and "the kernel needs" in facts["failure"]
    # What the user places is refused where it cannot work.
    ttbr(*small[:2], "--kernel-at", "0", "--dtb-at", "0x48000000").refused("does not fit into RAM")


def test_loaders_place_the_kernel(ttbr: Run, examples: Path) -> None:
    board = examples / f"{ARM64}.dtb"
    by_qemu = ttbr("boot", board, "--json", "--initrd", "1M").json["physical"]
    starts = {place["what"]: place["start"] for place in by_qemu}
    assert starts["kernel head"] == "0x40200000"
    assert starts["initrd"] == "0x48000000"
    assert starts["device tree"] == "0x48200000"
    own = ttbr(
        *("boot", board, "--json", "--kernel-at", "0x50000000", "--dtb-at", "0x4f000000"),
    ).json["physical"]
    starts = {place["what"]: place["start"] for place in own}
    assert starts["kernel head"] == "0x50000000"
    assert starts["device tree"] == "0x4f000000"
    assert ttbr("boot", board, "--loader", "u-boot").code == 0


def test_kaslr_offset_moves_the_kernel(ttbr: Run, examples: Path, tmp_path: Path) -> None:
    saved = tmp_path / "slid.elf"
    board = examples / f"{ARM64}.dtb"
    done = ttbr("boot", board, "--kaslr-offset", "0x200000000000", "--save", saved)
    assert done.code == 0, done.err
    at = 0xFFFF800008000000 + 0x200000000000 + 0x10000
    assert ttbr("translate", saved, hex(at), "--json").json[0]["pa"] == "0x40210000"
    assert ttbr("translate", saved, "0xffff800008010000").code == 1


def test_layout_draws_top_down(ttbr: Run, examples: Path) -> None:
    lines = ttbr("layout", examples / f"{ARM32}.dtb").out.splitlines()
    assert lines[0].startswith("0xffffffff")
    assert lines[-1].startswith("0x00000000")
    regions = ttbr("layout", examples / f"{ARM32}.dtb", "--json").json
    starts = [int(region["start"], 16) for region in regions]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert int(regions[-1]["last"], 16) == 0xFFFFFFFF


@pytest.mark.parametrize("board", [ARM64, ARM32])
def test_layout_of_an_image_is_that_of_its_boot(
    ttbr: Run, examples: Path, predictions: Saved, board: str
) -> None:
    of_image = ttbr("layout", predictions[board])
    of_board = ttbr("layout", examples / f"{board}.dtb")
    assert (of_image.code, of_image.out) == (0, of_board.out)


@pytest.mark.parametrize("board", [ARM64, ARM32])
def test_layout_of_physical_memory(ttbr: Run, examples: Path, board: str) -> None:
    boxes = ttbr("layout", examples / f"{board}.dtb", "--physical", "--json").json
    document = ttbr("boot", examples / f"{board}.dtb", "--json").json
    extents = [(int(box["start"], 16), int(box["last"], 16)) for box in boxes]
    assert all(a[1] + 1 == b[0] for a, b in pairwise(extents))
    memory = [row for row in document["memblock"] if row["list"] == "memory"]
    assert hex(extents[0][0]) == memory[0]["start"]
    assert hex(extents[-1][1]) == memory[-1]["last"]
    named = {box["what"] for box in boxes}
    assert {"kernel text", "device tree", "translation tables", "RAM"} <= named
    picture = ttbr("layout", examples / f"{board}.dtb", "--physical").out
    assert "kernel text" in picture and "free" in picture


def test_layout_refuses_a_board_option_for_an_image(ttbr: Run, predictions: Saved) -> None:
    ttbr("layout", predictions[ARM64], "--bootargs", "mem=1G").refused("--bootargs", "board")
    ttbr("layout", "no-such-file").refused("no-such-file")


@pytest.mark.parametrize("board", [ARM64, ARM32])
def test_info_of_a_prediction(ttbr: Run, predictions: Saved, board: str) -> None:
    info = ttbr("info", predictions[board], "--json").json
    assert info["stage"] in ("paging_init", "mm_init")
    assert info["release"].startswith("6.1")
    assert [root["root"] for root in info["roots"]] == ["kernel", "user"]
    text = ttbr("info", predictions[board])
    assert text.code == 0
    assert info["stage"] in text.out


def test_info_of_bare_memory_says_what_is_unknown(ttbr: Run, tmp_path: Path) -> None:
    raw = tmp_path / "ram.raw"
    raw.write_bytes(bytes(1 << 16))
    done = ttbr("info", f"{raw}@0x80000000")
    assert done.code == 0
    assert "0x80000000" in done.out
    assert "unknown" in done.out
    assert "--registers" in done.out


@pytest.mark.parametrize("board", [ARM64, ARM32])
def test_dump_forms_agree(ttbr: Run, predictions: Saved, board: str) -> None:
    image = predictions[board]
    as_json = ttbr("dump", image, "--json").json
    rows = list(csv.DictReader(io.StringIO(ttbr("dump", image, "--format", "csv").out)))
    text = ttbr("dump", image).out
    assert len(rows) == len(as_json["mappings"]) >= 5
    for row, mapping in zip(rows, as_json["mappings"], strict=True):
        assert (row["va"], row["pa"], int(row["size"])) == (
            mapping["va"],
            mapping["pa"],
            mapping["size"],
        )
        assert mapping["va"][2:] in text


def test_dump_where_and_range(ttbr: Run, predictions: Saved) -> None:
    image = predictions[ARM64]
    assert ttbr("dump", image, "--where", "w and x", "--json").json["mappings"] == []
    found = ttbr("dump", image, "--where", "x and not w", "--json").json
    assert found["mappings"]
    values = found["attribute_values"]
    assert all(values[m["attributes"]]["el1_execute"] for m in found["mappings"])
    low = ttbr("dump", image, "--range", "0xffff000000000000-0xffff000000200000", "--json").json
    assert [m["va"] for m in low["mappings"]] == ["0xffff000000000000"]


def test_dump_user_root_and_named_root(ttbr: Run, predictions: Saved) -> None:
    image = predictions[ARM64]
    info = ttbr("info", image, "--json").json
    swapper = info["symbols_of_roots"]["swapper_pg_dir"]
    by_address = ttbr("dump", image, "--root", swapper, "--json").json
    assert by_address == ttbr("dump", image, "--root", "swapper_pg_dir", "--json").json
    assert by_address == ttbr("dump", image, "--json").json
    idmap = info["symbols_of_roots"]["idmap_pg_dir"]
    mappings = ttbr("dump", image, "--root", f"user:{idmap}", "--json").json["mappings"]
    assert mappings
    assert all(m["va"] == m["pa"] for m in mappings)


@pytest.mark.parametrize("board", [ARM64, ARM32])
def test_ptdump_has_markers(ttbr: Run, predictions: Saved, board: str) -> None:
    done = ttbr("dump", predictions[board], "--format", "ptdump")
    assert done.code == 0, done.err
    assert done.out.startswith("---[ ")
    assert "vmalloc() " in done.out


def test_translate_steps_and_faults(ttbr: Run, predictions: Saved) -> None:
    image = predictions[ARM64]
    done = ttbr("translate", image, "0xffff800008010000", "--steps")
    assert done.code == 0
    assert "0x40210000" in done.out
    assert [f"level {n}:" in done.out for n in range(4)] == [True] * 4
    (answer,) = ttbr("translate", image, "0xffff800008010000", "--json").json
    assert answer["pa"] == "0x40210000"
    assert answer["fault"] is None
    assert [step["level"] for step in answer["steps"]] == [0, 1, 2, 3]

    fault = ttbr("translate", image, "0xffff900000000000")
    assert fault.code == 1
    assert "translation fault" in fault.out
    assert "level 0" in fault.out
    (answer,) = ttbr("translate", image, "0xffff900000000000", "--json").json
    assert (answer["pa"], answer["fault"], answer["level"]) == (None, "translation", 0)

    between = ttbr("translate", image, "0x0123000000000000", "--json")
    assert between.code == 1
    assert between.json[0]["fault"] == "translation"


def test_translate_checks_an_access(ttbr: Run, predictions: Saved) -> None:
    image = predictions[ARM64]
    text = "0xffff800008010000"
    assert ttbr("translate", image, text, "--access", "el1-execute").code == 0
    refused = ttbr("translate", image, text, "--access", "el1-write", "--json")
    assert refused.code == 1
    assert (refused.json[0]["fault"], refused.json[0]["level"]) == ("permission", 3)


def test_translate_reverse(ttbr: Run, predictions: Saved) -> None:
    image = predictions[ARM64]
    found = ttbr("translate", image, "--reverse", "0x40210010", "--json").json
    assert [answer["va"] for answer in found] == ["0xffff000000210010", "0xffff800008010010"]
    assert {answer["pa"] for answer in found} == {"0x40210010"}
    assert ttbr("translate", image, "--reverse", "0x10").code == 1


def test_explain_descriptor_and_register(ttbr: Run) -> None:
    done = ttbr(
        *("explain", "0x00e8000040200703", "--format", "arm64-4k"),
        *("--level", "3", "--mair", "0x40044ffff"),
    )
    assert done.code == 0
    for word in ("0x40200000", "4 KiB", "Normal", "rw-"):
        assert word in done.out
    (explained,) = ttbr("explain", "TCR_EL1=0x400034b5503510", "--json").json
    fields = {field["name"]: field["value"] for field in explained["fields"]}
    assert fields["T1SZ"] == "0x10"
    section = ttbr("explain", "0x4021140e", "--format", "short", "--level", "1")
    assert "section" in section.out.lower()


def test_diff_of_an_image_with_itself(ttbr: Run, predictions: Saved) -> None:
    for image in predictions.values():
        done = ttbr("diff", image, image)
        assert done.code == 0
        assert done.out.splitlines()[-1] == "identical"


def test_diff_names_the_region_of_one_changed_descriptor(
    ttbr: Run, predictions: Saved, tmp_path: Path
) -> None:
    image = predictions[ARM64]
    (answer,) = ttbr("translate", image, "0xffff800008010000", "--json").json
    leaf = answer["steps"][-1]
    changed = tmp_path / "changed.elf"
    data = bytearray(image.read_bytes())
    at = _file_offset(bytes(data), int(leaf["address"], 16))
    old = struct.unpack_from("<Q", data, at)[0]
    assert old == int(leaf["descriptor"], 16)
    struct.pack_into("<Q", data, at, old ^ (1 << 7))  # AP[2]: read-only text becomes writable
    changed.write_bytes(data)
    done = ttbr("diff", image, changed, "--json")
    assert done.code == 1
    (row,) = [r for root in done.json["roots"] for r in root["differences"]]
    assert row["va"] == "0xffff800008010000"
    assert row["size"] == 4096
    assert row["change"] == "attributes"
    assert row["region"] == "vmalloc() area"
    assert (row["a"]["attributes"]["el1_write"], row["b"]["attributes"]["el1_write"]) == (
        False,
        True,
    )
    text = ttbr("diff", image, changed)
    assert text.code == 1
    assert "vmalloc() area" in text.out


def test_diff_lends_registers_to_an_image_without(
    ttbr: Run, predictions: Saved, tmp_path: Path
) -> None:
    image = predictions[ARM32]
    info = ttbr("info", image, "--json").json
    raw = tmp_path / "ram.raw"
    base, size = int(info["banks"][0]["base"], 16), info["banks"][0]["size"]
    data = image.read_bytes()
    with raw.open("wb") as file:
        for pa, offset, length in _loads(data):
            file.seek(pa - base)
            file.write(data[offset : offset + length])
        file.truncate(size)
    done = ttbr("diff", image, f"{raw}@{base:#x}")
    assert done.code == 0, done.out
    assert "holds no registers" in done.out
    assert done.out.splitlines()[-1] == "identical"
    registers = tmp_path / "registers.json"
    registers.write_text(json.dumps({"cpu0": info["registers"]}))
    done = ttbr("dump", f"{raw}@{base:#x}", "--registers", registers, "--json")
    assert done.json == ttbr("dump", image, "--json").json


def test_compressed_images_read_the_same(ttbr: Run, predictions: Saved, tmp_path: Path) -> None:
    image = predictions[ARM32]
    packed = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}
    for name, compress in packed.items():
        file = tmp_path / f"image.{name}"
        file.write_bytes(compress(image.read_bytes()))
        assert ttbr("dump", file, "--json").json == ttbr("dump", image, "--json").json


def test_kernel_describe_makes_a_profile_that_boots(
    ttbr: Run, examples: Path, tmp_path: Path
) -> None:
    listed = ttbr("kernel", "list", "--json").json
    assert {row["name"] for row in listed} >= {"debian-6.1-arm64", "debian-6.1-armmp"}
    assert "debian-6.1-arm64" in ttbr("kernel", "list").out


@pytest.mark.parametrize(
    "command",
    [
        (),
        *(
            (name,)
            for name in ("boot", "layout", "info", "dump", "translate", "explain", "diff", "tui")
        ),
        ("kernel",),
        ("kernel", "describe"),
    ],
)
def test_help_has_an_example(ttbr: Run, command: tuple[str, ...]) -> None:
    done = ttbr(*command, "--help")
    assert done.code == 0
    if command != ("kernel",):
        assert "Example" in done.out
        assert f"ttbr {' '.join(command)}".strip() in done.out


def _loads(core: bytes) -> list[tuple[int, int, int]]:
    """(physical address, file offset, bytes) of each PT_LOAD of a little-endian ELF64."""
    table, count = struct.unpack_from("<Q", core, 32)[0], struct.unpack_from("<H", core, 56)[0]
    loads = []
    for i in range(count):
        kind, _, offset, _, pa, filesz = struct.unpack_from("<IIQQQQ", core, table + i * 56)
        if kind == 1:
            loads.append((pa, offset, filesz))
    return loads


def _file_offset(core: bytes, address: int) -> int:
    return next(o + address - pa for pa, o, n in _loads(core) if pa <= address < pa + n)


def test_another_option_of_the_kernel_is_tried_and_named(ttbr: Run, examples: Path) -> None:
    board = examples / "arm32-2g-at-60000000.dtb"
    usual, split = ttbr("boot", board).out, ttbr("boot", board, "--set", "VMSPLIT_2G=y").out
    assert "  HighMem  [mem 0x0000000090000000-0x00000000dfffffff]" in usual
    assert "  HighMem  [mem 0x00000000d0000000-0x00000000dfffffff]" in split
    assert "VMSPLIT_2G=y is assumed" in split and "is assumed" not in usual
    wrong = ttbr("boot", board, "--set", "VMSPLIT_2G")
    assert wrong.code == 2 and "no setting" in wrong.err


def test_the_help_is_there_at_once() -> None:
    """What names the commands does not load them, nor NumPy."""
    loaded = "import sys, ttbr.cli.main; sys.exit('numpy' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_two_forms_at_once(ttbr: Run, predictions: Saved) -> None:
    ttbr("dump", predictions[ARM64], "--json", "--format", "csv").refused("--json", "csv")
