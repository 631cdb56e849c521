"""Cores that cannot be mapped, as /proc/kcore: the same as mapped ones."""

import mmap

import numpy as np
import pytest
from cores import PT_NOTE, Load, core, note

from ttbr.errors import InputError
from ttbr.memory.open import open_memory
from ttbr.memory.packed import PackedMemory

BIG = bytes(range(256)) * 1000
CORE = core(
    [
        Load(0, note(b"CORE", 1, b"registers"), kind=PT_NOTE),
        Load(0x2000, b"K" * 0x1000),
        Load(0x1000, b"R" * 0x3000, 0x4000),
        Load((1 << 64) - 1, b"vmalloc"),
        Load(0x100000, BIG),
    ]
)


@pytest.fixture
def unmappable(monkeypatch):
    def refuse(*_args, **_kinds):
        raise OSError(19, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)


def test_the_same_as_mapped(tmp_path, monkeypatch, request):
    path = tmp_path / "kcore"
    path.write_bytes(CORE)
    plain = open_memory(str(path))
    request.getfixturevalue("unmappable")
    live = open_memory(str(path))
    assert isinstance(live.memory, PackedMemory)
    assert live.notes == plain.notes
    assert live.description == plain.description
    assert live.memory.banks == plain.memory.banks
    assert live.memory.written() == plain.memory.written()
    for bank in live.memory.banks:
        assert live.memory.read(bank.base, bank.size) == plain.memory.read(bank.base, bank.size)
    pa = np.array([0x1FFC, 0x2000, 0x4FF8, 0x10FFFC, 0x100001, 0, 0x13E7F8], np.uint64)
    for got, expected in zip(
        live.memory.read_words(pa, 2, 4), plain.memory.read_words(pa, 2, 4), strict=True
    ):
        assert (got == expected).all()


@pytest.mark.usefixtures("unmappable")
def test_what_is_no_core(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"raw memory")
    with pytest.raises(InputError, match="x: cannot be mapped: No such device"):
        open_memory(f"{path}@0")
    path.write_bytes(CORE)
    with pytest.raises(InputError, match="an ELF file has its own addresses"):
        open_memory(f"{path}@0")


@pytest.mark.usefixtures("unmappable")
def test_a_file_that_shrinks(tmp_path):
    path = tmp_path / "kcore"
    path.write_bytes(CORE)
    memory = open_memory(str(path)).memory
    path.write_bytes(CORE[:-1])
    assert memory.read(0x100000, 5) == BIG[:5]
    with pytest.raises(InputError, match="physical 0x130000 cannot be read: the file ends"):
        memory.read(0x130000, 1)
