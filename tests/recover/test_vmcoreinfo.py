"""VMCOREINFO: what its lines say, and finding it in memory."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.memory.notes import Note
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.recover.vmcoreinfo import VmcoreInfo, find_all, from_notes, parse

ARM64 = b"""\
OSRELEASE=6.12.117
BUILD-ID=cf76bf1707fc54507128169
PAGESIZE=16384
SYMBOL(swapper_pg_dir)=ffffae3c42a0b000
SIZE(page)=64
OFFSET(page.flags)=0
LENGTH(free_area.free_list)=6
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(VA_BITS)=47
NUMBER(TCR_EL1_T1SZ)=0x11
NUMBER(kimage_voffset)=0xffffae3c01e00000
NUMBER(PHYS_OFFSET)=0xffffe89bc0000000
KERNELOFFSET=2e3bc1e00000
NUMBER(KERNELPACMASK)=0x7f800000000000
"""
ARM = b"OSRELEASE=6.12.117\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=c0003000\nCONFIG_ARM_LPAE=y\n"


def test_arm64():
    info = parse(ARM64)
    assert info.release == "6.12.117"
    assert info.arch == "arm64"
    assert info.page_size == 16384
    assert (info.va_bits, info.t1sz) == (47, 17)
    assert info.phys_offset == 0xFFFFE89BC0000000
    assert info.kimage_voffset == 0xFFFFAE3C01E00000
    assert info.kaslr_offset == 0x2E3BC1E00000
    assert info.pac_mask == 0x7F800000000000
    assert info.symbols == {"swapper_pg_dir": 0xFFFFAE3C42A0B000}
    assert info.sizes == {"page": 64}
    assert info.offsets == {"page.flags": 0}
    assert info.lengths == {"free_area.free_list": 6}
    assert info.number("PAGE_BUDDY_MAPCOUNT_VALUE") == (1 << 64) - 129
    assert not info.lpae


def test_arm():
    info = parse(ARM)
    assert (info.arch, info.lpae, info.page_size) == ("arm", True, 4096)
    assert parse(ARM.replace(b"CONFIG_ARM_LPAE=y\n", b"")).arch == "arm"
    assert info.va_bits is info.phys_offset is info.kaslr_offset is info.kimage_voffset is None


def test_nothing_at_all():
    info = VmcoreInfo()
    assert info.arch is info.release is info.page_size is None
    assert info.symbols == {}


def test_lines_that_are_none():
    info = parse(
        b"A\n=1\nB=\nPAGESIZE=x\nSYMBOL(y)=zz\nNUMBER(n)=1e3\nC=1\nC=2\n\xff=1\nD=\x80\n\0E=1"
    )
    assert info.entries == {
        "B": "", "PAGESIZE": "x", "SYMBOL(y)": "zz", "NUMBER(n)": "1e3", "C": "2",
    }  # fmt: skip
    assert (info.page_size, info.symbols, info.numbers) == (None, {}, {})


def test_a_note():
    notes = [Note("CORE", 1, b"x"), Note("VMCOREINFO", 0, ARM), Note("VMCOREINFO", 0, ARM64)]
    found = from_notes(notes)
    assert found is not None and found.arch == "arm"
    assert from_notes([Note("VMCOREINFO", 0, b"")]) is None
    assert from_notes([]) is None


@pytest.fixture
def ram():
    return Ram([Bank(0x40000000, 0x3000), Bank(0x80000000, 0x1000)])


def test_found_in_memory(ram):
    """A text by itself, the note in RAM, one at the end of a bank; and what only looks like one."""
    ram.write(0x40000000, b"OSRELEASE=%s\n\0")
    ram.write(0x40000100, b"OSRELEASE=6.1\n")
    ram.write(0x40000200, ARM64 + b"\0")
    header = struct.pack("<III12s", 11, len(ARM), 0, b"VMCOREINFO")
    ram.write(0x40002000, header + ARM + b"SIZE(page)=32\n")
    ram.write(0x80001000 - len(ARM), ARM)
    assert [(at, info.page_size) for at, info in find_all(ram)] == [
        (0x40000200, 16384),
        (0x40002018, 4096),
        (0x80001000 - len(ARM), 4096),
    ]
    # The note says how long it is.
    assert all(info.sizes.get("page") != 32 for _, info in find_all(ram))


def test_not_found(ram):
    assert list(find_all(ram)) == []


@given(st.binary(max_size=200))
def test_any_bytes(data):
    info = parse(b"OSRELEASE=6.1\n" + data)
    for name in dir(info):
        getattr(info, name)


@given(st.text(st.sampled_from("SYMBOLNUER()=x09af-\n"), max_size=80))
def test_any_lines(text):
    info = parse(text.encode())
    assert all(0 <= value < 1 << 64 for value in {**info.symbols, **info.numbers}.values())
