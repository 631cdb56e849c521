"""What is fuzzed: each target takes any bytes, and may raise nothing.

A reader answers or says in one line why it does not (`TtbrError`); everything else is a finding.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import linux_targets
import ttbr
from ttbr.boot.efi import read_firmware
from ttbr.errors import TtbrError
from ttbr.memory.notes import Note, parse_notes
from ttbr.memory.physical import Bank, PhysicalMemory
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image
from ttbr.recover.note import read_note
from ttbr.recover.prstatus import read_prstatus
from ttbr.recover.registers import read_registers
from ttbr.recover.vmcoreinfo import find_all, from_notes, parse

READ = 2 << 20  # bytes of an image that are read: what is behind them is not different
MOST_RUNS = 1000
BASE = 0x40000000

REGISTERS: dict[str, Mapping[str, int]] = {
    "arm64-4k-39": {"TTBR1_EL1": BASE, "TCR_EL1": 0x200035B5593519, "MAIR_EL1": 0x40044FFFF},
    "arm64-4k-52-lpa2": {
        "TTBR1_EL1": BASE,
        "TCR_EL1": 1 << 59 | 6 << 32 | 2 << 30 | 0xC << 16 | 0xC,
        "MAIR_EL1": 0x40044FFFF,
        "ID_AA64MMFR0_EL1": 0x6,
    },
    "arm64-64k-48": {
        "TTBR1_EL1": BASE,
        "TCR_EL1": 5 << 32 | 3 << 30 | 1 << 14 | 0x10 << 16 | 0x10,
        "MAIR_EL1": 0x40044FFFF,
    },
    "arm-lpae": {
        "TTBR0": BASE,
        "TTBR1": BASE,
        "TTBCR": 1 << 31,
        "MAIR0": 0xEEAA4400,
        "MAIR1": 0xFF000004,
        "SCTLR": 0x30C5387D,
    },
    "arm-short": {
        "TTBR0": BASE,
        "TTBR1": BASE,
        "TTBCR": 0,
        "DACR": 0x51,
        "PRRR": 0xFF0A81A8,
        "NMRR": 0x40E040E0,
        "SCTLR": 0x10C5387D,
    },
}


def read_image(spec: str) -> None:
    """Open an image and read what it holds, by bytes and by tables."""
    try:
        image = ttbr.open(spec)
        read_memory(image.memory)
    except TtbrError as error:
        _one_line(error)


def read_memory(memory: PhysicalMemory) -> None:
    """The first `READ` bytes of what was written, and a table at the start and end of each run."""
    left = READ
    runs = memory.written()[:MOST_RUNS]
    for run in runs:
        left -= len(memory.read(run.base, min(run.size, left)))
    edges = [run.base for run in runs] + [max(0, bank.end - 4096) for bank in memory.banks]
    pa = np.array(edges[:MOST_RUNS], np.uint64)
    for word, count in ((8, 512), (4, 3)):
        memory.read_words(pa, count, word)
        memory.read_words(pa + np.uint64(4090), count, word)


def image(data: bytes) -> None:
    """A file of any format, by its magic; raw memory if it has none."""
    with tempfile.NamedTemporaryFile(dir=_folder()) as file:
        file.write(data)
        file.flush()
        read_image(file.name)
        read_image(f"{file.name}@{BASE:#x}")


def banks(data: bytes) -> None:
    """A list of banks beside a raw file of 64 KiB."""
    with tempfile.TemporaryDirectory(dir=_folder()) as name:
        (Path(name) / "raw").write_bytes(bytes(1 << 16))
        (Path(name) / "banks.json").write_bytes(data)
        read_image(f"{name}/raw@{name}/banks.json")


def notes(data: bytes) -> None:
    """The notes of a core, and everything that reads them."""
    found = parse_notes(data)
    read_prstatus(found)
    _use(from_notes(found))
    try:
        read_note(found)
        read_note([Note("ttbr", 1, data)])
    except TtbrError as error:
        _one_line(error)


def vmcoreinfo(data: bytes) -> None:
    """vmcoreinfo as a note, and in memory."""
    _use(parse(data))
    ram = Ram([Bank(BASE, max(1, len(data)))])
    ram.write(BASE, data)
    for _, found in find_all(ram):
        _use(found)


def registers(data: bytes) -> None:
    """A registers file, and a list of them."""
    with tempfile.NamedTemporaryFile(dir=_folder()) as file:
        file.write(data)
        file.flush()
        for text in (file.name, "x=1," + data.decode("latin-1")):
            try:
                Image(Ram([]), read_registers(text)).regimes  # noqa: B018 – what it raises counts
            except TtbrError as error:
                _one_line(error)


def efi_map(data: bytes) -> None:
    """A firmware's memory map: JSON, a log, or the descriptors as they are."""
    with tempfile.NamedTemporaryFile(dir=_folder()) as file:
        for content in (data, b"{" + data, b"[ 0.0] efi:   0x" + data):
            file.seek(0)
            file.truncate()
            file.write(content)
            file.flush()
            try:
                found = read_firmware(file.name)
                _use(found)
            except TtbrError as error:
                _one_line(error)


def walker(name: str) -> Callable[[bytes], None]:
    """Walks tables of any content through the registers of that name."""

    def walk(data: bytes) -> None:
        size = -(-max(1, len(data)) // 4096) * 4096
        ram = Ram([Bank(BASE, size)])
        ram.write(BASE, data)
        try:
            space = Image(ram, REGISTERS[name]).address_space("kernel")
            found = space.mappings()
            space.tables()
            for va in found.va[:8].tolist():
                space.translate(va)
            space.translate_many(found.va[:1000])
        except TtbrError as error:
            _one_line(error)

    return walk


TARGETS: dict[str, Callable[[bytes], None]] = {
    "image": image,
    "banks": banks,
    "notes": notes,
    "vmcoreinfo": vmcoreinfo,
    "registers": registers,
    "efi-map": efi_map,
    **{f"walk-{name}": walker(name) for name in REGISTERS},
    **linux_targets.TARGETS,
}


def _use(info: object) -> None:
    """Every property of what was found."""
    for name in dir(info):
        getattr(info, name)


def _one_line(error: TtbrError) -> None:
    text = str(error)
    assert text and "\n" not in text, repr(text)


def _folder() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
