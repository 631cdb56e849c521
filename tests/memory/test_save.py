"""Saved cores: what was written comes back, and other programs read them without complaint."""

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.memory import save
from ttbr.memory.notes import Note
from ttbr.memory.open import open_memory
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.memory.save import save_core

NOTES = (Note("ttbr", 1, b'{"version": 1}'), Note("CORE", 7, b""), Note("odd", 0, b"12345"))


def example() -> Ram:
    ram = Ram([Bank(0x40000000, 0x10000), Bank(0x80000080, 0x3000), Bank(1 << 40, 1 << 30)])
    ram.write(0x40003FF0, b"x" * 0x20)
    ram.write(0x80000080, b"first")
    ram.write(0x80003000, b"y" * 0x80)
    ram.write((1 << 40) + (1 << 30) - 1, b"z")
    return ram


def same(a, b) -> None:
    assert a.banks == b.banks
    assert a.written() == b.written()
    for run in a.written():
        assert a.read(run.base, run.size) == b.read(run.base, run.size)


@pytest.mark.parametrize("arch", ["arm64", "arm"])
def test_it_comes_back(tmp_path, arch):
    ram = example()
    save_core(tmp_path / "core", ram, NOTES, arch)
    opened = open_memory(str(tmp_path / "core"))
    same(opened.memory, ram)
    assert opened.notes == NOTES
    assert (tmp_path / "core").stat().st_size < 0x10000
    # Saved once more, from the core instead of the Ram, it is the same file.
    save_core(tmp_path / "again", opened.memory, opened.notes, arch)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "core").read_bytes()


def test_nothing_written(tmp_path):
    ram = Ram([Bank(0, 1 << 44)])
    save_core(tmp_path / "core", ram)
    opened = open_memory(str(tmp_path / "core"))
    assert (opened.memory.banks, opened.memory.written(), opened.notes) == (ram.banks, [], ())


def test_more_runs_than_a_header_counts(tmp_path, monkeypatch):
    """With the real limit it is 65,535 runs: the format is the same from a smaller one on."""
    monkeypatch.setattr(save, "MANY", 4)
    ram = Ram([Bank(0, 1 << 20)])
    for n in range(8):
        ram.write(n * 0x4000, b"x")
    save_core(tmp_path / "core", ram)
    data = bytearray((tmp_path / "core").read_bytes())
    assert data[56:58] == b"\4\0"
    data[56:58] = b"\xff\xff"  # what MANY is otherwise
    (tmp_path / "core").write_bytes(data)
    same(open_memory(str(tmp_path / "core")).memory, ram)


@given(
    st.lists(st.tuples(st.integers(0, 0x2FFF), st.binary(min_size=1, max_size=300)), max_size=12),
    st.integers(0, 5000),
    st.binary(max_size=9),
)
def test_any_ram(tmp_path_factory, writes, base, note):
    ram = Ram([Bank(base, 0x1800), Bank(base + 0x1800, 0x1000), Bank(base + 0x5000, 0x3000)])
    for at, data in writes:
        place = np.array([base + at, base + at + len(data) - 1], np.uint64)
        if ram.contains(place).all() and base + at + len(data) <= base + 0x2800:
            ram.write(base + at, data)
    path = tmp_path_factory.getbasetemp() / "any"
    save_core(path, ram, [Note("ttbr", 1, note)])
    opened = open_memory(str(path))
    assert opened.notes == (Note("ttbr", 1, note),)
    assert opened.memory.written() == ram.written()
    for start, size in ((base, 0x2800), (base + 0x5000, 0x3000)):
        assert opened.memory.read(start, size) == ram.read(start, size)


def test_readelf_has_no_complaint(tmp_path):
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is absent (Debian: binutils)")
    for arch, named in (("arm64", "AArch64"), ("arm", "ARM")):
        save_core(tmp_path / "core", example(), NOTES, arch)
        done = subprocess.run(
            [readelf, "-aW", tmp_path / "core"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # Its -u (part of -a) exits with 1 for any ARM core, for want of unwinding sections.
        assert done.returncode == (0 if arch == "arm64" else 1)
        assert done.stderr == ""
        for bad in ("Warning", "Error", "corrupt", "<unknown>"):
            assert bad not in done.stdout
        assert named in done.stdout
        assert "CORE (Core file)" in done.stdout
        # The cut between runs with and without bytes is where the pages are.
        assert done.stdout.count("LOAD ") == 3 + 3 + 2


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="/gone/core: cannot be written: No such file"):
        save_core(tmp_path / "gone" / "core", example())
