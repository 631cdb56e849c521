"""Open what a user names as memory: FILE, FILE@BASE, FILE@BANKS.json, or several with commas."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from ttbr.errors import InputError
from ttbr.memory import avml, kdump_header, lime, remote, sidecar
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.compressed import unpack
from ttbr.memory.elf import ELF_MAGIC, read_core
from ttbr.memory.flattened import rearrange
from ttbr.memory.joined import JoinedMemory
from ttbr.memory.kdump import read_kdump
from ttbr.memory.notes import Note
from ttbr.memory.packed import PackedMemory
from ttbr.memory.physical import Bank, PhysicalMemory
from ttbr.memory.raw import (
    Content,
    Unmappable,
    map_content,
    names_file,
    open_regular,
    raw_piece,
)
from ttbr.memory.spool import LIMIT
from ttbr.memory.unmapped import read_unmapped_core

ADDRESS = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class OpenedMemory:
    """Memory, the notes that came with it, and in words what it is."""

    memory: PhysicalMemory
    notes: tuple[Note, ...]
    description: str


@dataclass(frozen=True, slots=True)
class _Held:
    """What is in a file: pieces of it as they are, or packed memory; its notes; in words what."""

    what: str
    pieces: list[Piece] = field(default_factory=list)
    packed: PackedMemory | None = None
    notes: list[Note] = field(default_factory=list)
    addressed: bool = True  # the format has addresses of its own

    @property
    def banks(self) -> list[Bank]:
        """The memory in the file."""
        return [*(piece.bank for piece in self.pieces), *(self.packed.banks if self.packed else ())]


def _core(content: Content) -> _Held:
    core = read_core(content)
    return _Held(_core_of(core.machine), pieces=core.pieces, notes=core.notes)


def _core_of(machine: str) -> str:
    return f"ELF core of {machine.removeprefix('EM_')}"


def _kdump(content: Content) -> _Held:
    memory, notes = read_kdump(content)
    return _Held("kdump-compressed dump", packed=memory, notes=notes)


def _lime(content: Content) -> _Held:
    return _Held("LiME ranges", pieces=lime.read_lime(content))


def _avml(content: Content) -> _Held:
    return _Held("AVML ranges", packed=avml.read_avml(content))


# Formats that have addresses, by how they begin; everything else is raw memory.
READERS: dict[bytes, Callable[[Content], _Held]] = {
    ELF_MAGIC: _core,
    kdump_header.MAGIC: _kdump,
    lime.MAGIC: _lime,
    avml.MAGIC: _avml,
}


def open_memory(spec: str, limit: int = LIMIT) -> OpenedMemory:
    """Open the memory that ``spec`` names; raw files need a base or a list of banks.

    Each file may be a URL, and packed with zstd, gzip or xz; ``limit`` is how many bytes one may
    unpack to. Split kdump files are joined as other files are. `InputError` if a file cannot be
    read or is not what it should be, or if banks overlap.
    """
    # A file whose name has a comma or an @ in it can be named as it is.
    texts = [spec] if names_file(spec) else spec.split(",")
    parts = [_open_part(text, limit) for text in texts]
    _check_overlap(parts)
    memories: list[PhysicalMemory] = [part.packed for part in parts if part.packed is not None]
    pieces = [piece for part in parts for piece in part.pieces]
    if pieces:
        memories.append(BankedMemory(pieces))
    return OpenedMemory(
        memories[0] if len(memories) == 1 else JoinedMemory(memories),
        tuple(note for part in parts for note in part.notes),
        ", ".join(part.what for part in parts),
    )


def _open_part(text: str, limit: int) -> _Held:
    name, where = split(text)
    with ExitStack() as opened:
        given = file = opened.enter_context(_open(name, limit))
        unpackers: tuple[Callable[[str, BinaryIO, int], BinaryIO], ...] = (unpack, rearrange)
        for step in unpackers:
            file = opened.enter_context(step(name, file, limit))
            file.seek(0)
        try:
            content = map_content(name, file)
        except Unmappable:
            held = _unmapped(name, file)
            if held is None:
                raise
        else:
            held = _held(content, where)
    if where is not None and held.addressed:
        what = held.what.split()[0]
        raise InputError(
            f"{name}: {'an' if what[0] in 'AE' else 'a'} {what} file has its own addresses: "
            f"leave out '@{where if isinstance(where, Path) else hex(where)}'"
        )
    packed = "" if file is given else "packed "
    return replace(held, what=f"{name}: {packed}{held.what}")


def _held(content: Content, where: int | Path | None) -> _Held:
    """What is in a file, by how it begins."""
    for magic, read in READERS.items():
        if content.starts_with(magic):
            return read(content)
    return _raw(content, where)


def _unmapped(name: str, file: BinaryIO) -> _Held | None:
    """An ELF core that is read as it is needed; None if it is no ELF file."""
    magic = file.read(len(ELF_MAGIC))
    file.seek(0)
    if magic != ELF_MAGIC:
        return None
    memory, notes, machine = read_unmapped_core(name, file)
    return _Held(_core_of(machine), packed=memory, notes=notes)


def _open(name: str, limit: int) -> BinaryIO:
    return remote.fetch(name, limit) if remote.is_url(name) else open_regular(Path(name))


def _raw(content: Content, where: int | Path | None) -> _Held:
    if where is None:
        raise InputError(
            f"{content.name}: no ELF core, kdump, LiME or AVML file (it begins with "
            f"{content.stream[:4].hex()}); for raw memory say where it starts: "
            f"{content.name}@0x40000000"
        )
    if isinstance(where, Path):
        pieces = sidecar.read_sidecar(content, where)
        return _Held(f"raw memory in the banks of {where}", pieces, addressed=False)
    pieces = [raw_piece(content, where)]
    return _Held(f"raw memory at {where:#x}", pieces, addressed=False)


def split(text: str) -> tuple[str, int | Path | None]:
    """The file, and the base or the list of banks, of ``FILE``, ``FILE@BASE``, ``FILE@BANKS``.

    `InputError` for anything else.
    """
    name, at, where = text.rpartition("@")
    if not text or (at and not name):
        raise InputError(f"image '{text}': the name of a file is missing")
    if not at or names_file(text):
        return text, None
    if ADDRESS.fullmatch(where):
        return name, int(where, 16 if where[:2].lower() == "0x" else 10)
    if remote.is_url(text) and "/" not in name.partition("://")[2]:
        return text, None  # ssh://user@host/…
    if where.endswith(sidecar.SUFFIX):
        return name, Path(where)
    raise InputError(
        f"image '{text}': '{where}' is not an address (0x… or decimal) or a list of banks (….json)"
    )


def _check_overlap(parts: list[_Held]) -> None:
    """`InputError`, naming both files, if the same address is in two parts."""
    banks = sorted((bank, part.what) for part in parts for bank in part.banks)
    for (lower, one), (upper, other) in pairwise(banks):
        if upper.base < lower.end:
            raise InputError(f"overlapping banks: {lower} of {one} and {upper} of {other}")
