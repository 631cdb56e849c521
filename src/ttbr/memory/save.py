"""Write memory as an ELF64 core, which ttbr and everything else that knows ELF can read."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ttbr.errors import InputError
from ttbr.memory.notes import Note, encode_notes
from ttbr.memory.physical import Bank, PhysicalMemory

# Tool Interface Standard ELF 1.2 and the ELF-64 object file format 1.5.
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bit, little-endian, version 1
ET_CORE = 4
MACHINES = {"arm": 40, "arm64": 183}
PT_LOAD, PT_NOTE = 1, 4
READ_WRITE = 6
MANY = 0xFFFF  # PN_XNUM: the number of program headers stands in sh_info of section 0
ALIGN = 0x1000
STEP = 1 << 20


def save_core(
    path: str | Path, memory: PhysicalMemory, notes: Sequence[Note] = (), arch: str = "arm64"
) -> None:
    """Write a core: what was written of the memory as bytes, the rest as zeros without bytes.

    ``arch`` is ``arm`` or ``arm64``. p_vaddr equals p_paddr, as in what QEMU writes without
    paging. `InputError` if the file cannot be written.
    """
    data = encode_notes(list(notes))
    loads = list(_loads(memory))
    count = len(loads) + 1
    headers_at = HEADER.size + (SECTION_HEADER.size if count >= MANY else 0)
    notes_at = headers_at + count * PROGRAM_HEADER.size
    headers = [PROGRAM_HEADER.pack(PT_NOTE, 0, notes_at, 0, 0, len(data), 0, 4)]
    at = notes_at + len(data)
    places: list[tuple[int, Bank]] = []
    for bank, has_bytes in loads:
        # A loader needs the offset and the address to agree modulo the alignment.
        offset = at + (bank.base - at) % ALIGN if has_bytes else 0
        stored, align = (bank.size, ALIGN) if has_bytes else (0, 1)
        headers.append(
            PROGRAM_HEADER.pack(
                PT_LOAD, READ_WRITE, offset, bank.base, bank.base, stored, bank.size, align
            )
        )
        if has_bytes:
            places.append((offset, bank))
            at = offset + stored
    try:
        with Path(path).open("wb") as file:
            file.write(_header(MACHINES[arch], headers_at, count))
            file.write(b"".join(headers))
            file.write(data)
            for offset, bank in places:
                file.seek(offset)
                _copy(memory, bank, file)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _loads(memory: PhysicalMemory) -> Iterator[tuple[Bank, bool]]:
    """All of the memory in runs, and whether a run has bytes."""
    written = memory.written()
    for bank in memory.banks:
        at = bank.base
        for run in written:
            start, end = max(run.base, bank.base), min(run.end, bank.end)
            if start < end:
                if at < start:
                    yield Bank(at, start - at), False
                yield Bank(start, end - start), True
                at = end
        if at < bank.end:
            yield Bank(at, bank.end - at), False


def _header(machine: int, headers_at: int, count: int) -> bytes:
    """The ELF header, and behind it section 0 where there are too many program headers for it."""
    many = count >= MANY
    header = HEADER.pack(
        IDENT,
        ET_CORE,
        machine,
        1,
        0,
        headers_at,
        HEADER.size if many else 0,
        0,
        HEADER.size,
        PROGRAM_HEADER.size,
        MANY if many else count,
        SECTION_HEADER.size if many else 0,
        1 if many else 0,
        0,
    )
    return header + (SECTION_HEADER.pack(0, 0, 0, 0, 0, 0, 0, count, 0, 0) if many else b"")


def _copy(memory: PhysicalMemory, bank: Bank, file: BinaryIO) -> None:
    for start in range(bank.base, bank.end, STEP):
        file.write(memory.read(start, min(STEP, bank.end - start)))
