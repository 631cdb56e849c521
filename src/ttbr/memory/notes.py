"""The notes of ELF files: named and typed pieces of data beside the memory."""

import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("<III")  # sizes of name and data, type: the same for ELF32 and ELF64
ALIGN = 4


@dataclass(frozen=True, slots=True)
class Note:
    """A note: who defines it, its type, its data."""

    name: str
    type: int
    data: bytes = field(repr=False)


def parse_notes(segment: bytes) -> list[Note]:
    """The notes of a PT_NOTE segment, up to the first that does not fit into it."""
    notes: list[Note] = []
    at = 0
    while at + HEADER.size <= len(segment):
        name_size, data_size, kind = HEADER.unpack_from(segment, at)
        name_at = at + HEADER.size
        data_at = name_at + _aligned(name_size)
        if data_at + data_size > len(segment):
            break
        name = segment[name_at : name_at + name_size].rstrip(b"\0")
        data = segment[data_at : data_at + data_size]
        notes.append(Note(name.decode("ascii", "backslashreplace"), kind, data))
        at = data_at + _aligned(data_size)
    return notes


def encode_notes(notes: list[Note]) -> bytes:
    """The notes as a PT_NOTE segment has them."""
    return b"".join(_encode(note) for note in notes)


def _encode(note: Note) -> bytes:
    name = note.name.encode() + b"\0"
    header = HEADER.pack(len(name), len(note.data), note.type)
    return header + name.ljust(_aligned(len(name)), b"\0") + _padded(note.data)


def _padded(data: bytes) -> bytes:
    return data.ljust(_aligned(len(data)), b"\0")


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
