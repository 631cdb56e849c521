"""ELF cores: memory and notes of good ones, one clear line for others."""

import struct

import pytest
from cores import AARCH64, ARM, PT_DYNAMIC, PT_NOTE, X86_64, Load, core, note
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.memory.notes import Note
from ttbr.memory.open import open_memory
from ttbr.memory.physical import Bank

NOTES = note(b"VMCOREINFO", 0, b"OSRELEASE=6.1\n") + note(b"CORE", 1, b"12345")
GOOD = [
    Load(0, NOTES, 0, PT_NOTE),
    Load(0x40000000, b"low " * 1024),
    Load(0x80000000, b"high", 0x2000),
    Load(0x90000000, b"", 0x1000),
]


@pytest.fixture
def opened(tmp_path):
    def open_bytes(data: bytes):
        path = tmp_path / "core"
        path.write_bytes(data)
        return open_memory(str(path))

    return open_bytes


@pytest.mark.parametrize(("bits", "machine"), [(64, AARCH64), (32, ARM), (64, ARM)])
def test_memory_and_notes(opened, bits, machine):
    image = opened(core(GOOD, bits=bits, machine=machine))
    assert image.memory.banks == (
        Bank(0x40000000, 0x1000), Bank(0x80000000, 0x2000), Bank(0x90000000, 0x1000),
    )  # fmt: skip
    assert image.memory.written() == [Bank(0x40000000, 0x1000), Bank(0x80000000, 4)]
    assert image.memory.read(0x40000FFC, 4) == b"low "
    assert image.memory.read(0x80000000, 6) == b"high\0\0"
    assert image.memory.read(0x90000FFF, 1) == b"\0"
    assert image.notes == (
        Note("VMCOREINFO", 0, b"OSRELEASE=6.1\n"),
        Note("CORE", 1, b"12345"),
    )
    assert "ELF core of A" in image.description


def test_overlapping_segments(opened):
    """As kdump writes them: the kernel's own segment, then all of RAM with the kernel in it."""
    image = opened(
        core(
            [
                Load(0x2000, b"K" * 0x1000),
                Load(0x1000, b"R" * 0x3000),
                Load(0x0, b"", 0x6000),
                Load(0x3800, b"X" * 0x1000),
                Load(0x2800, b"Y" * 0x10),
            ]
        )
    )
    assert image.memory.banks == (Bank(0, 0x6000),)
    assert image.memory.read(0, 0x6000) == (
        bytes(0x1000)
        + b"R" * 0x1000 + b"K" * 0x1000 + b"R" * 0x1000
        + b"X" * 0x800 + bytes(0x1800)
    )  # fmt: skip


def test_segments_without_a_physical_address(opened):
    image = opened(core([Load((1 << 64) - 1, b"vmalloc"), Load(0x1000, b"ram")]))
    assert image.memory.banks == (Bank(0x1000, 3),)


def test_other_segments_do_not_matter(opened):
    image = opened(core([Load(0, b"junk", kind=PT_DYNAMIC), Load(0x1000, b"ram")]))
    assert image.memory.read(0x1000, 3) == b"ram"


def test_more_segments_than_the_header_can_count(opened):
    """PN_XNUM: the number is in sh_info of section 0."""
    data = core([Load(0x1000 * n, b"x") for n in range(3)])
    section_at = len(data)
    data += struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, 3, 0, 0)
    data = (
        data[:40] + struct.pack("<Q", section_at) + data[48:56]
        + struct.pack("<HHHH", 0xFFFF, 64, 1, 0) + data[64:]
    )  # fmt: skip
    assert len(opened(data).memory.banks) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            core(GOOD)[:-2],
            "segment 2 (PT_LOAD at physical 0x80000000) lacks 0x2 of its 0x4",
        ),
        (
            core(GOOD)[:-4100],
            "segment 1 (PT_LOAD at physical 0x40000000) lacks 0x1000 of its",
        ),
        (core(GOOD)[:290], "segment 0 (PT_NOTE at physical 0x0) lacks"),
        (core(GOOD)[:200], "truncated: 4 program headers at 0x40 end 0x58 bytes behind the file"),
        (core(GOOD)[:40], "damaged ELF header"),
        (core(GOOD)[:5], "damaged ELF header"),
        (core(GOOD, kind=2), "an ELF file of type ET_EXEC, not a core"),
        (core(GOOD, machine=X86_64), "an ELF core of EM_X86_64, not of an Arm machine"),
        (core(GOOD, order=">"), "a big-endian ELF core"),
        (core(GOOD[:1]), "the core holds no memory"),
        (core([]), "the core holds no memory"),
        (core([Load(0, b"a"), Load(0, b"b")]), "no physical addresses; is it of a process?"),
        (core([Load((1 << 64) - 4096, b"a", 8192)]), "segment 0 of 0x2000 bytes at physical"),
    ],
)
def test_bad_cores(opened, data, words):
    with pytest.raises(InputError) as caught:
        opened(data)
    text = str(caught.value)
    assert words in text
    assert "/core: " in text and "\n" not in text


def test_damaged_notes_end_the_list(opened):
    notes = NOTES + struct.pack("<III", 0xFFFFFFF0, 4, 1) + b"abcd"
    image = opened(core([Load(0, notes, 0, PT_NOTE), GOOD[1]]))
    assert [found.name for found in image.notes] == ["VMCOREINFO", "CORE"]


SMALL = core([Load(0, NOTES, 0, PT_NOTE), Load(0x1000, b"x" * 64), Load(0x5000, b"y", 300)])
SMALL32 = core(
    [Load(0, NOTES, 0, PT_NOTE), Load(0x1000, b"x" * 64), Load(0x5000, b"y", 300)],
    bits=32,
    machine=ARM,
)


@given(
    st.sampled_from([SMALL, SMALL32]),
    st.lists(
        st.tuples(
            st.integers(4, 330),
            st.one_of(
                st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8), b"\1"])
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    st.one_of(st.none(), st.integers(4, 500)),
)
def test_mutated_cores(tmp_path_factory, data, changes, cut):
    mutated = bytearray(data)
    for at, new in changes:
        mutated[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(mutated[:cut])
    try:
        memory = open_memory(str(path)).memory
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    for bank in memory.banks:
        assert len(memory.read(bank.base, min(bank.size, 64))) == min(bank.size, 64)
