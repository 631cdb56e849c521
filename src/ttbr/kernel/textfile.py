"""Files of a kernel as builds and packages leave them: plain, or packed by gzip, xz or zstd."""

from __future__ import annotations

from pathlib import Path

from ttbr.errors import InputError
from ttbr.memory.compressed import unpack


def read_text(path: str | Path, limit: int) -> str:
    """The text of a file, unpacked; bytes that are no ASCII become replacement characters.

    `InputError` if it cannot be read, is damaged, or has more than ``limit`` bytes unpacked.
    """
    data = read_start(path, limit + 1, limit)
    if len(data) > limit:
        raise InputError(f"{path}: has more than {limit} bytes, which is no such file")
    return data.decode("ascii", "replace")


def read_start(path: str | Path, size: int, limit: int) -> bytes:
    """The first ``size`` bytes of a file, unpacked; fewer if it is shorter.

    `InputError` if it cannot be read, is damaged, or unpacks to more than ``limit`` bytes.
    """
    try:
        with Path(path).open("rb") as file, unpack(str(path), file, limit) as content:
            content.seek(0)
            return content.read(size)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
