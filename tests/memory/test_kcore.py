"""A file of the shape of /proc/kcore: kernel addresses as file offsets, hundreds of GiB of holes.

Linux (fs/proc/kcore.c) gives each range of kernel addresses a segment; only those of RAM and of the
image have a physical address, and where their bytes are in the file is their virtual address less
PAGE_OFFSET. Here for 4K pages, 39 bits and two banks.
"""

import mmap
import struct
import time
from pathlib import Path

import guest_memory
import pytest
from cores import note

import ttbr
from ttbr.errors import InputError
from ttbr.memory.open import open_memory
from ttbr.memory.packed import PackedMemory
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image

G = 1 << 30
PAGE_OFFSET = 0xFFFFFF8000000000
NOWHERE = (1 << 64) - 1
DATA = 0x1000  # file offset of PAGE_OFFSET
BANKS = (Bank(guest_memory.BASE, 2 * G), Bank(0x2_0000_0000, 3 * G))
# (virtual address, physical address or NOWHERE, bytes)
RANGES = [
    (0xFFFFFFC008000000, NOWHERE, 246 * G),  # vmalloc
    (0xFFFFFFC000000000, NOWHERE, 128 << 20),  # modules
    (0xFFFFFFFE00000000, NOWHERE, 32 << 20),  # vmemmap
    *((PAGE_OFFSET + bank.base - guest_memory.BASE, bank.base, bank.size) for bank in BANKS),
]


def kcore(path: Path) -> Path:
    """Writes what the file system stores of it: headers, notes and the guest's 2 MiB."""
    notes = note(b"CORE", 1, bytes(392))
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    count = 1 + len(RANGES)
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 4, 183, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 4, 0, 64 + 56 * count, 0, 0, len(notes), len(notes), 4)
    for va, pa, size in RANGES:
        head += struct.pack("<IIQQQQQQ", 1, 7, va - PAGE_OFFSET + DATA, va, pa, size, size, 0x1000)
    with path.open("wb") as file:
        file.write(head + notes)
        file.seek(DATA)
        file.write(guest_memory.memory())
        file.truncate(max(va - PAGE_OFFSET + DATA + size for va, _, size in RANGES))
    return path


@pytest.fixture(params=["mapped", "refused"])
def mapping(request, monkeypatch):
    """Whether the file can be mapped: /proc/kcore itself cannot."""

    def refuse(*_args, **_kinds):
        raise OSError(19, "No such device")

    if request.param == "refused":
        monkeypatch.setattr(mmap, "mmap", refuse)
    return request.param


def test_tables_are_walked(tmp_path, mapping, say):
    spec = kcore(tmp_path / "kcore")
    started = time.monotonic()
    opened = open_memory(str(spec))
    assert isinstance(opened.memory, PackedMemory) == (mapping == "refused")
    assert opened.memory.banks == BANKS
    assert opened.memory.read(guest_memory.BASE, guest_memory.SIZE) == guest_memory.memory()
    image = ttbr.open(str(spec), guest_memory.listed(guest_memory.ARM64))
    found = image.address_space("kernel").mappings()
    assert time.monotonic() - started < 20
    ram = Ram([Bank(guest_memory.BASE, guest_memory.SIZE)])
    ram.write(guest_memory.BASE, guest_memory.memory())
    want = Image(ram, image.registers).address_space("kernel").mappings()
    assert found.va.tolist() == want.va.tolist()
    assert found.pa.tolist() == want.pa.tolist()
    size = spec.stat().st_size >> 30
    say(f"kcore-shaped file of {size} GiB, {mapping}: {len(found)} mappings equal")


@pytest.mark.usefixtures("mapping")
def test_a_file_that_ends_before_its_segments_do(tmp_path):
    spec = kcore(tmp_path / "kcore")
    with spec.open("r+b") as file:
        file.truncate(DATA + G)
    with pytest.raises(InputError, match=r"truncated: segment \d \(PT_LOAD"):
        open_memory(str(spec))
