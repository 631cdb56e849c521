"""ELF cores, 32 and 64 bit: physical memory by the p_paddr of their PT_LOAD segments.

Written by QEMU's dump-guest-memory, by kdump (/proc/vmcore) and by `ttbr.memory.save`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, cast

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile

from ttbr.errors import InputError
from ttbr.memory.banked import Piece
from ttbr.memory.notes import Note, parse_notes
from ttbr.memory.raw import Content

ELF_MAGIC = b"\x7fELF"
MACHINES = ("EM_ARM", "EM_AARCH64")
NO_ADDRESS = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # p_paddr in /proc/kcore of what is not linear map


@dataclass(frozen=True, slots=True)
class Segment:
    """What a program header says of memory or notes."""

    number: int
    kind: str
    offset: int
    address: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class Extent:
    """Memory and where its bytes are in the file: at ``offset``, or nowhere (None: zeros)."""

    base: int
    size: int
    offset: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """What the headers of a core say: ``extents`` without overlaps, ascending."""

    extents: list[Extent]
    notes: list[Note]
    machine: str


@dataclass(frozen=True, slots=True)
class Core:
    """The memory and the notes of a core."""

    pieces: list[Piece]
    notes: list[Note]
    machine: str


def read_core(content: Content) -> Core:
    """Read the core in a file. `InputError` if it is truncated or is no core of an Arm machine.

    Bytes that a segment has in memory but not in the file are zeros. Where segments overlap, as
    the kernel's own does with the RAM it lies in when kdump wrote the core, the first one counts.
    """
    # A map reads and seeks like a file.
    layout = read_layout(content.name, content.size, cast("IO[bytes]", content.stream))
    pieces = [
        Piece(
            extent.base,
            extent.size,
            None
            if extent.offset is None
            else content.data[extent.offset : extent.offset + extent.size],
        )
        for extent in layout.extents
    ]
    return Core(pieces, layout.notes, layout.machine)


def read_layout(name: str, size: int, stream: IO[bytes]) -> Layout:
    """The headers and notes of a core of ``size`` bytes; `InputError` as `read_core`."""
    try:
        elf = ELFFile(stream)
        machine, kind = elf["e_machine"], elf["e_type"]
        little = elf.little_endian
        segments = list(_segments(name, size, elf))
    except (ELFError, ValueError, OverflowError, AssertionError) as error:
        raise InputError(f"{name}: damaged ELF header: {error or type(error).__name__}") from error
    if kind != "ET_CORE":
        raise InputError(f"{name}: an ELF file of type {kind}, not a core (ET_CORE)")
    if machine not in MACHINES:
        raise InputError(f"{name}: an ELF core of {machine}, not of an Arm machine")
    if not little:
        raise InputError(f"{name}: a big-endian ELF core, which ttbr cannot read")
    loads = [segment for segment in segments if segment.kind == "PT_LOAD"]
    if len(loads) > 1 and not any(segment.address for segment in loads):
        raise InputError(f"{name}: the core gives no physical addresses; is it of a process?")
    notes: list[Note] = []
    for segment in segments:
        if segment.kind == "PT_NOTE":
            stream.seek(segment.offset)
            notes += parse_notes(stream.read(segment.file_size))
    extents = _disjoint(_extents(name, loads))
    if not extents:
        raise InputError(f"{name}: the core holds no memory (no PT_LOAD segment)")
    return Layout(extents, notes, machine)


def _segments(name: str, size: int, elf: ELFFile) -> Iterator[Segment]:
    """The program headers, each checked against the size of the file."""
    count, start, step = elf.num_segments(), elf["e_phoff"], elf["e_phentsize"]
    layout = elf.structs.Elf_Phdr
    if start + count * step > size:
        raise InputError(
            f"{name}: truncated: {count} program headers at {start:#x} end "
            f"{start + count * step - size:#x} bytes behind the file"
        )
    if count and step < layout.sizeof():
        raise InputError(f"{name}: program headers of {step} bytes are too small")
    for number in range(count):
        header = struct_parse(layout, elf.stream, start + number * step)
        segment = Segment(
            number,
            header["p_type"],
            header["p_offset"],
            header["p_paddr"],
            header["p_filesz"],
            header["p_memsz"],
        )
        end = segment.offset + segment.file_size
        if segment.kind in ("PT_LOAD", "PT_NOTE") and segment.file_size and end > size:
            raise InputError(
                f"{name}: truncated: segment {number} ({segment.kind} at physical "
                f"{segment.address:#x}) lacks {end - max(size, segment.offset):#x} of its "
                f"{segment.file_size:#x} bytes"
            )
        yield segment


def _extents(name: str, loads: list[Segment]) -> Iterator[Extent]:
    """First what has bytes in the file, then what is zeros: bytes count more where both are."""
    loads = [load for load in loads if load.address not in NO_ADDRESS]
    for load in loads:
        if load.address + max(load.memory_size, load.file_size) > 1 << 64:
            raise InputError(
                f"{name}: segment {load.number} of {load.memory_size:#x} bytes at physical "
                f"{load.address:#x} ends behind 64 bits"
            )
        if load.file_size:
            yield Extent(load.address, load.file_size, load.offset)
    for load in loads:
        zeros = load.memory_size - load.file_size
        if zeros > 0:
            yield Extent(load.address + load.file_size, zeros, None)


def _disjoint(extents: Iterable[Extent]) -> list[Extent]:
    """The extents without what an earlier one has already, ascending."""
    taken: list[Extent] = []  # sorted, without overlaps
    bases: list[int] = []
    for extent in extents:
        start, end = extent.base, extent.base + extent.size
        place = max(0, bisect_right(bases, start) - 1)
        while start < end:
            other = taken[place] if place < len(taken) else None
            if other is not None and other.base + other.size <= start:
                place += 1
                continue
            stop = end if other is None else min(end, other.base)
            if stop > start:
                offset = None if extent.offset is None else extent.offset + start - extent.base
                taken.insert(place, Extent(start, stop - start, offset))
                bases.insert(place, start)
                place += 1
            if other is None:
                break
            start = max(stop, other.base + other.size)
            place += 1
    return taken
