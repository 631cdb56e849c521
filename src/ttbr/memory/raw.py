"""Files as arrays of bytes, memory-mapped; raw memory is such a file at a base address."""

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.memory.banked import Piece


class Unmappable(InputError):
    """A file that is no ordinary one: it can be read, but not mapped."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file: ``data`` for gathering, ``stream`` for parsing; ``name`` for errors."""

    name: str
    stream: mmap.mmap
    data: NDArray[np.uint8]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return len(self.data)

    def starts_with(self, magic: bytes) -> bool:
        """Whether these are the first bytes."""
        return self.stream[: len(magic)] == magic


def names_file(text: str) -> bool:
    """Whether this is the name of a file that there is, whatever else it looks like."""
    try:
        return Path(text).is_file()
    except OSError:  # too long for a name
        return False


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; `InputError` if that fails or if it is no regular file.

    A pipe or a device has no size that could be mapped, and opening one may wait for ever.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: not a regular file")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {_reason(error)}") from error


def map_content(name: str, file: BinaryIO) -> Content:
    """Map all of a file read-only; the map stays when the file is closed.

    `InputError` if it is empty, `Unmappable` if it is of a kind that has no map.
    """
    try:
        if not os.fstat(file.fileno()).st_size:
            raise InputError(f"{name}: the file is empty")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise Unmappable(f"{name}: cannot be mapped: {_reason(error)}") from error
    return Content(name, mapped, np.frombuffer(mapped, np.uint8))


def raw_piece(content: Content, base: int) -> Piece:
    """The whole file as memory from the physical address ``base`` on."""
    if base + content.size > 1 << 64:
        raise InputError(f"{content.name}: {content.size:#x} bytes at {base:#x} end behind 64 bits")
    return Piece(base, content.size, content.data)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
