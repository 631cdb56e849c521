"""How memory is named: FILE, FILE@BASE, banks joined by commas."""

import os

import pytest
from cores import Load, core
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.memory.open import open_memory
from ttbr.memory.physical import Bank, OutsideMemory


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"A" * 0x1000)
    (tmp_path / "b").write_bytes(b"B" * 0x1800)
    (tmp_path / "core").write_bytes(core([Load(0x100000, b"core")]))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("base", ["0x40000000", "0X40000000", "1073741824"])
def test_a_raw_file(files, base):
    opened = open_memory(f"a@{base}")
    assert opened.memory.banks == (Bank(0x40000000, 0x1000),)
    assert opened.memory.read(0x40000FFF, 1) == b"A"
    assert opened.notes == ()
    assert opened.description == "a: raw memory at 0x40000000"


def test_banks_with_holes(files):
    memory = open_memory("b@0x40001000,core,a@0x40000000,a@0x80000000").memory
    assert memory.banks == (
        Bank(0x100000, 4), Bank(0x40000000, 0x2800), Bank(0x80000000, 0x1000),
    )  # fmt: skip
    assert memory.read(0x40000FFE, 4) == b"AABB"
    for outside in (0, 0x100004, 0x40002800, 0x7FFFFFFF, 0x80001000):
        with pytest.raises(OutsideMemory) as caught:
            memory.read(outside, 1)
        assert caught.value.address == outside
    with pytest.raises(OutsideMemory, match="0x40002800"):
        memory.read(0x400027FF, 2)


def test_the_file_is_mapped_and_not_read(files):
    path = files / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 38)
        file.seek(1 << 37)
        file.write(b"here")
    memory = open_memory("huge@0").memory
    assert memory.read(1 << 37, 5) == b"here\0"


def test_names_that_look_like_specs(files):
    for name in ("x,y", "x@0x10", "a@zz"):
        (files / name).write_bytes((files / "core").read_bytes())
        assert open_memory(name).memory.read(0x100000, 4) == b"core"
    assert open_memory("x@0x10,a@0x0").memory.banks == (Bank(0, 0x1000), Bank(0x100000, 4))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "image '': the name of a file is missing"),
        ("@0x1000", "image '@0x1000': the name of a file is missing"),
        ("a@0,", "image '': the name of a file is missing"),
        ("gone", "gone: No such file or directory"),
        ("gone@0", "gone: No such file or directory"),
        ("folder@0", "folder: not a regular file"),
        ("pipe@0", "pipe: not a regular file"),
        ("empty@0", "empty: the file is empty"),
        ("nul\0@0", "nul"),
        ("a", "(it begins with 41414141); for raw memory say where it starts: a@"),
        ("a@", "'' is not an address"),
        ("a@0x", "'0x' is not an address"),
        ("a@4000000g", "'4000000g' is not an address"),
        ("a@-1", "'-1' is not an address"),
        ("a@0x1_0", "'0x1_0' is not an address"),
        ("a@0xfffffffffffff001", "0x1000 bytes at 0xfffffffffffff001 end behind 64 bits"),
        ("a@99999999999999999999999", "end behind 64 bits"),
        ("core@0x1000", "core: an ELF file has its own addresses: leave out '@0x1000'"),
        (
            "a@0,b@0xfff",
            "0x0-0xfff of a: raw memory at 0x0 and 0xfff-0x27fe of b",
        ),
        ("a@0,a@0", "overlapping banks: 0x0-0xfff of a: raw memory at 0x0 and 0x0-0xfff of a"),
        ("core,a@0x100003", "overlapping banks: 0x100000-0x100003 of core"),
    ],
)
def test_bad_specs(files, spec, words):
    with pytest.raises(InputError) as caught:
        open_memory(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(st.sampled_from("ab@,0x1f .-é\0"), max_size=12))
def test_any_spec(tmp_path_factory, spec):
    folder = tmp_path_factory.getbasetemp() / "specs"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_bytes(b"A" * 16)
    before = os.getcwd()  # noqa: PTH109 – Path.cwd() would resolve it
    os.chdir(folder)
    try:
        assert open_memory(spec).memory.banks
    except InputError as error:
        assert str(error)
    finally:
        os.chdir(before)
