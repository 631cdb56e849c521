"""Open what a user names as memory: FILE, FILE@BASE, or several banks joined by commas."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ttbr.errors import InputError
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.compressed import LIMIT, unpack
from ttbr.memory.elf import ELF_MAGIC, read_core
from ttbr.memory.notes import Note
from ttbr.memory.raw import Content, map_content, open_regular, raw_piece

ADDRESS = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class OpenedMemory:
    """Memory, the notes that came with it, and in words what it is."""

    memory: BankedMemory
    notes: tuple[Note, ...]
    description: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One FILE or FILE@BASE of a spec, read."""

    pieces: list[Piece]
    notes: list[Note]
    description: str


def open_memory(spec: str, limit: int = LIMIT) -> OpenedMemory:
    """Open the memory that ``spec`` names; raw files need a base, ELF cores have their addresses.

    Each file may be packed with zstd or gzip; ``limit`` is how many bytes one may unpack to.
    `InputError` if a file cannot be read or is not what it should be, or if banks overlap.
    """
    # A file whose name has a comma or an @ in it can be named as it is.
    texts = [spec] if Path(spec).is_file() else spec.split(",")
    parts = [_open_part(text, limit) for text in texts]
    _check_overlap(parts)
    return OpenedMemory(
        BankedMemory(piece for part in parts for piece in part.pieces),
        tuple(note for part in parts for note in part.notes),
        ", ".join(part.description for part in parts),
    )


def _open_part(text: str, limit: int) -> _Part:
    path, base = _split(text)
    with open_regular(path) as file, unpack(str(path), file, limit) as unpacked:
        packed = "packed " if unpacked is not file else ""
        content = map_content(str(path), unpacked)
    if content.starts_with(ELF_MAGIC):
        if base is not None:
            raise InputError(f"{path}: an ELF file has its own addresses: leave out '@{base:#x}'")
        core = read_core(content)
        machine = core.machine.removeprefix("EM_")
        return _Part(core.pieces, core.notes, f"{path}: {packed}ELF core of {machine}")
    if base is None:
        raise InputError(_no_base(path, content))
    return _Part([raw_piece(content, base)], [], f"{path}: {packed}raw memory at {base:#x}")


def _no_base(path: Path, content: Content) -> str:
    return (
        f"{path}: no ELF core (it begins with {content.stream[:4].hex()}); "
        f"for raw memory say where it starts: {path}@0x40000000"
    )


def _split(text: str) -> tuple[Path, int | None]:
    """The file and the base of ``FILE`` or ``FILE@BASE``."""
    name, at, base = text.rpartition("@")
    if not text or (at and not name):
        raise InputError(f"image '{text}': the name of a file is missing")
    if not at or Path(text).is_file():
        return Path(text), None
    if not ADDRESS.fullmatch(base):
        raise InputError(f"image '{text}': '{base}' is not an address (0x… or decimal)")
    return Path(name), int(base, 16 if base[:2].lower() == "0x" else 10)


def _check_overlap(parts: list[_Part]) -> None:
    """`InputError`, naming both files, if the same address is in two parts."""
    banks = sorted((piece.bank, part.description) for part in parts for piece in part.pieces)
    for (lower, one), (upper, other) in pairwise(banks):
        if upper.base < lower.end:
            raise InputError(f"overlapping banks: {lower} of {one} and {upper} of {other}")
