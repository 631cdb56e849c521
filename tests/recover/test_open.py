"""ttbr.open: memory and registers together, and saved predictions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttbr
from ttbr.errors import InputError
from ttbr.memory.notes import Note
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.memory.save import save_core
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.note import image_note, read_note
from ttbr.recover.registers import read_registers

REGISTERS = {
    "TTBR0_EL1": 0x40DFF000,
    "TTBR1_EL1": 0x2000040596000,
    "TCR_EL1": 0x400034B5503510,
    "pc": 0xFFFF80008029DB18,
    "x0": 1,
    "cpsr": 0x400000C5,
}
HEX = {name: hex(value) for name, value in REGISTERS.items()}
FACTS = ImageFacts(
    arch="arm64",
    release="6.1.0-50-arm64",
    stage="paging_init",
    page_offset=0xFFFF000000000000,
    markers=((0xFFFF000000000000, "Linear Mapping start"), (0, "x")),
    symbols={"_text": 0xFFFF800080000000},
    roots={"swapper_pg_dir": 0x40596000},
    source="prediction",
)


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "ram"
    path.write_bytes(bytes(4096))
    return f"{path}@0x40000000"


@pytest.fixture
def written(tmp_path):
    def write(value) -> str:
        path = tmp_path / "registers.json"
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return str(path)

    return write


def test_without_registers(raw):
    image = ttbr.open(raw)
    assert isinstance(image, Image)
    assert image.registers == {}
    assert image.memory.banks == (Bank(0x40000000, 4096),)
    assert image.facts.source.endswith("ram: raw memory at 0x40000000")


@pytest.mark.parametrize(
    "value",
    [
        {"cpu0": HEX},
        {"cpu0": HEX, "cpu1": {"TTBR0_EL1": "0x1"}, "bank": "secure"},
        {"stage": "head-done", "function": "start_kernel", "pages": 5, "registers": HEX},
        {"version": 1, "registers": {"cpu0": HEX}},
        HEX,
        REGISTERS,
        {name: str(number) for name, number in REGISTERS.items()},
    ],
    ids=["recording", "cpus", "stage", "note", "plain", "numbers", "decimal"],
)
def test_files_of_registers(raw, written, value):
    assert ttbr.open(raw, written(value)).registers == REGISTERS


def test_lists_of_registers():
    assert read_registers("TTBR1_EL1=0x41853000, TCR_EL1=5,x7=0XfF") == {
        "TTBR1_EL1": 0x41853000,
        "TCR_EL1": 5,
        "x7": 255,
    }
    # Names as debuggers spell them.
    assert read_registers("TTBR0_EL1_S=0x60004059,ttbcr=0") == {"TTBR0": 0x60004059, "TTBCR": 0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "No such file|not a regular file"),
        ("gone.json", "gone.json: No such file or directory"),
        ("TTBR0_EL1=", "register TTBR0_EL1: '' is not a number of 64 bits"),
        ("TTBR0_EL1=12z", "register TTBR0_EL1: '12z' is not a number"),
        ("TTBR0_EL1=-1", "register TTBR0_EL1: '-1' is not a number"),
        ("TTBR0_EL1=0x10000000000000000", "register TTBR0_EL1: '0x10000000000000000' is not"),
        ("x0=99999999999999999999", "register x0: 99999999999999999999 is not a number of 64"),
        ("x0=1,x0=2", "registers: x0 is given twice"),
        ("x0=1,,", "registers: '' is not NAME=VALUE"),
        ("x0=1,x1", "registers: 'x1' is not NAME=VALUE"),
        ("=5", "registers: '=5' is not NAME=VALUE"),
        ("TTBCR=0x100000000", "registers: register TTBCR cannot hold 0x100000000"),
    ],
)
def test_bad_registers(raw, text, words):
    with pytest.raises(InputError, match=words):
        ttbr.open(raw, text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "registers.json: not JSON"),
        (b"\xff\xfe", "registers.json: not JSON"),
        (b"[" * 100_000, "registers.json: not JSON"),
        (b'{"x0": ' + b"9" * 5000 + b"}", "registers.json: not JSON|register x0"),
        ([HEX], "registers.json: no registers in it"),
        ({"cpu0": 5}, "registers.json: no registers in it"),
        ({"registers": None}, "registers.json: no registers in it"),
        ({"cpu0": {"TTBR0_EL1": "zz"}}, "register TTBR0_EL1: 'zz' is not a number"),
        ({"TTBR0_EL1": True}, "register TTBR0_EL1: True is not a number"),
        ({"TTBR0_EL1": 1.5}, "register TTBR0_EL1: 1.5 is not a number"),
        ({"x\n0": None}, r"register 'x\\n0': None is not a number"),
        ({"TTBR0_EL1": None}, "register TTBR0_EL1: None is not a number"),
        ({"TTBCR": "0x1ffffffff"}, "registers.json: register TTBCR cannot hold 0x1ffffffff"),
    ],
)
def test_bad_files_of_registers(raw, written, value, words):
    with pytest.raises(InputError, match=words) as caught:
        ttbr.open(raw, written(value))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_far_too_large(raw, tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="huge: more than 16777216 bytes"):
        ttbr.open(raw, str(path))


@given(st.text(st.sampled_from("TBR0_EL1=,x 9zß\n")))
def test_any_list(text):
    try:
        values = read_registers("x=1," + text)
    except InputError:
        return
    assert all(0 <= value < 1 << 64 for value in values.values())


def test_a_saved_prediction(tmp_path):
    ram = Ram([Bank(0x40000000, 1 << 20)])
    ram.write(0x40001000, b"tables")
    before = Image(ram, REGISTERS, FACTS)
    path = tmp_path / "prediction.elf"
    save_core(path, ram, [image_note(before)], FACTS.arch)
    after = ttbr.open(str(path))
    assert (after.registers, after.facts) == (REGISTERS, FACTS)
    assert after.memory.read(0x40000FFE, 8) == b"\0\0tables"
    # What the user says wins, whatever the spelling; the rest stays.
    changed = ttbr.open(str(path), "ttbr0_el1=0x40000000,x1=2")
    assert changed.registers == {**REGISTERS, "TTBR0_EL1": 0x40000000, "x1": 2}
    assert changed.facts == FACTS


def test_a_note_without_facts():
    registers, facts = read_note([image_note(Image(Ram([]), {}, ImageFacts()))])
    assert (registers, facts) == ({}, ImageFacts())
    assert read_note([]) == ({}, ImageFacts())
    assert read_note([Note("CORE", 1, b"x"), Note("ttbr", 2, b"x")]) == ({}, ImageFacts())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "the core's note 'ttbr' is not of version 1"),
        ({"registers": 5}, "no registers"),
        ({"registers": {"cpu0": {"TTBR0_EL1": "x"}}}, "register TTBR0_EL1"),
        ({"arch": "x86"}, "arch 'x86' is not one of arm64, arm"),
        ({"release": 5}, "release is no text"),
        ({"page_offset": "x"}, "page_offset: 'x' is not a number"),
        ({"markers": 5}, "markers is no list"),
        ({"markers": [["0x1"]]}, "a marker is not"),
        ({"markers": [["zz", "n"]]}, "marker 'n': 'zz' is not a number"),
        ({"roots": []}, "roots is no object"),
        ({"roots": {"swapper_pg_dir": "x"}}, "roots: 'swapper_pg_dir': 'x' is not a number"),
    ],
)
def test_damaged_notes(change, words):
    good = json.loads(image_note(Image(Ram([]), REGISTERS, FACTS)).data)
    with pytest.raises(InputError, match=words):
        read_note([Note("ttbr", 1, json.dumps({**good, **change}).encode())])


@given(st.binary(max_size=60))
def test_notes_of_anything(data):
    try:
        read_note([Note("ttbr", 1, data)])
    except InputError as error:
        assert "note 'ttbr'" in str(error)


def test_what_the_package_offers():
    assert ttbr.__all__ == ["AddressSpace", "Image", "TtbrError", "__version__", "open"]
    assert all(hasattr(ttbr, name) for name in ttbr.__all__)
    assert issubclass(InputError, ttbr.TtbrError)
