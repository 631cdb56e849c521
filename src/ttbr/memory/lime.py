"""LiME: ranges of physical memory, each behind a header of 32 bytes (LiME's doc, version 1).

AVML without compression writes the same. LiME's other two formats have no header: ``padded`` is
raw memory from address 0 on, ``raw`` needs a list of banks (`ttbr.memory.sidecar`).
"""

from dataclasses import dataclass
from struct import Struct

from ttbr.errors import InputError
from ttbr.memory.banked import Piece
from ttbr.memory.raw import Content

HEADER = Struct("<4sIQQQ")  # magic, version, first and last address, zeros
MAGIC = b"EMiL"  # 0x4c694d45
VERSION = 1
# AVML cuts its ranges into blocks of 16 MiB: these are 4 TiB.
MOST_RANGES = 1 << 18


@dataclass(frozen=True, slots=True)
class Range:
    """A header: the memory that follows, and the offset in the file at which it does."""

    base: int
    size: int
    offset: int


def read_lime(content: Content) -> list[Piece]:
    """The ranges of a file. `InputError` if one is truncated or there are over `MOST_RANGES`."""
    pieces: list[Piece] = []
    at = 0
    while at < content.size:
        found = read_range(content, at, MAGIC, VERSION)
        end = found.offset + found.size
        if end > content.size:
            raise InputError(
                f"{content.name}: truncated: the range at physical {found.base:#x} lacks "
                f"{end - content.size:#x} of its {found.size:#x} bytes"
            )
        if len(pieces) == MOST_RANGES:
            raise InputError(f"{content.name}: more than {MOST_RANGES} ranges of memory")
        pieces.append(Piece(found.base, found.size, content.data[found.offset : end]))
        at = end
    return pieces


def read_range(content: Content, at: int, magic: bytes, version: int) -> Range:
    """The header at the offset ``at``; `InputError` if it is none of this magic and version."""
    if at + HEADER.size > content.size:
        raise InputError(f"{content.name}: truncated: a header at {at:#x} sticks out of the file")
    found, stated, first, last, _ = HEADER.unpack_from(content.stream, at)
    if found != magic:
        raise InputError(f"{content.name}: damaged: no header of a range at {at:#x}")
    if stated != version:
        raise InputError(f"{content.name}: version {stated} of the format is not known")
    if last < first:
        raise InputError(f"{content.name}: damaged: the range at {at:#x} is {first:#x}-{last:#x}")
    return Range(first, last - first + 1, at + HEADER.size)
