"""Bytes that come in order, kept in an unnamed temporary file that can be memory-mapped.

Runs of zeros become holes of that file, so that it takes no more disk than there is content.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ttbr.errors import InputError

GIB = 1 << 30
LIMIT = 64 * GIB  # bytes of one temporary file, holes included
DISK_SHARE = 0.9  # of the temporary folder's free space, at most
GRAIN = 1 << 16  # a hole of the temporary file is a multiple of this
ZEROS = bytes(GRAIN)


class Spool:
    """The temporary file while it is written: ``put`` bytes at any offset, then ``finish``.

    ``name`` is for errors; ``limit`` is how many bytes the file may have, whatever the room on
    the disk. `InputError` if there are more, or more content than there is room for.
    """

    def __init__(self, name: str, file: BinaryIO, limit: int = LIMIT) -> None:
        self._name = name
        self._file = file
        self._limit = limit
        self._room = int(shutil.disk_usage(tempfile.gettempdir()).free * DISK_SHARE)
        self._stored = 0
        self._size = 0

    def put(self, offset: int, part: bytes) -> None:
        """Store ``part`` at ``offset``; what was there before is gone."""
        fresh = offset >= self._size
        self._size = max(self._size, offset + len(part))
        if self._size > self._limit:
            raise InputError(f"{self._name}: unpacks to more than the limit of {self._limit} bytes")
        for at in range(0, len(part), GRAIN):
            grain = part[at : at + GRAIN]
            if fresh and grain == ZEROS[: len(grain)]:
                continue
            self._stored += len(grain)
            if self._stored > self._room:
                raise InputError(
                    f"{self._name}: unpacks to more than the {self._room} bytes of disk space in "
                    f"{tempfile.gettempdir()}; set TMPDIR to a larger folder"
                )
            self._file.seek(offset + at)
            self._file.write(grain)

    def append(self, parts: Iterable[bytes]) -> None:
        """Store the parts one behind the other."""
        for part in parts:
            self.put(self._size, part)

    def finish(self) -> None:
        """Give the file its size: holes at its end count, too."""
        self._file.truncate(self._size)
        self._file.flush()


@contextmanager
def temporary(name: str) -> Iterator[BinaryIO]:
    """A temporary file that stays open unless the block fails; errors of the system in one line."""
    folder = tempfile.gettempdir()
    try:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 – the caller closes it
    except OSError as error:
        raise InputError(f"{name}: cannot be unpacked in {folder}: {error.strerror}") from error
    try:
        yield file
    except OSError as error:
        file.close()
        raise InputError(f"{name}: cannot be unpacked in {folder}: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
