"""zstd and gzip: unpacked into an unnamed temporary file, which is memory-mapped afterwards.

Runs of zeros become holes of that file, so that it takes no more disk than there is content.
"""

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import BinaryIO

import zstandard

from ttbr.errors import InputError

GIB = 1 << 30
LIMIT = 64 * GIB  # bytes after unpacking
DISK_SHARE = 0.9  # of the temporary folder's free space, at most
GRAIN = 1 << 16  # a hole of the temporary file is a multiple of this
ZEROS = bytes(GRAIN)

ZSTD_MAGIC = bytes.fromhex("28b52ffd")
ZSTD_WINDOW = 1 << 31  # as zstd --long=31; recordings of memory are often packed with --long=27
# A zstd block of four bytes can stand for 128 KiB: a small bite keeps what comes out of it small.
ZSTD_BITE = 1 << 10
GZIP_MAGIC = bytes.fromhex("1f8b")
GZIP_STEP = 1 << 20


def unpack(name: str, file: BinaryIO, limit: int = LIMIT) -> BinaryIO:
    """The file itself, or a temporary file with what is in it, if it is zstd or gzip by its magic.

    `InputError`, naming the file, if the data are damaged or truncated, or if there are more than
    ``limit`` bytes in it or more content than the temporary folder has room for.
    """
    start = file.read(len(ZSTD_MAGIC))
    file.seek(0)
    reader = next((read for magic, read in READERS.items() if start.startswith(magic)), None)
    if reader is None:
        return file
    folder = tempfile.gettempdir()
    with ExitStack() as opened:
        try:
            unpacked = opened.enter_context(tempfile.TemporaryFile(dir=folder))
            room = int(shutil.disk_usage(folder).free * DISK_SHARE)
            _store(name, reader(file), unpacked, limit, room)
        except (zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError) as error:
            raise InputError(f"{name}: damaged or truncated: {error}") from error
        except OSError as error:
            raise InputError(f"{name}: cannot be unpacked in {folder}: {error.strerror}") from error
        opened.pop_all()  # the caller closes it
        return unpacked


def _store(name: str, parts: Iterator[bytes], out: BinaryIO, limit: int, room: int) -> None:
    size = stored = 0
    for part in parts:
        size += len(part)
        if size > limit:
            raise InputError(f"{name}: unpacks to more than the limit of {limit} bytes")
        for at in range(0, len(part), GRAIN):
            grain = part[at : at + GRAIN]
            if grain == ZEROS[: len(grain)]:
                out.seek(len(grain), 1)
                continue
            stored += len(grain)
            if stored > room:
                raise InputError(
                    f"{name}: unpacks to more than the {room} bytes of disk space in "
                    f"{tempfile.gettempdir()}; set TMPDIR to a larger folder"
                )
            out.write(grain)
    out.truncate(size)
    out.flush()


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """The content of all frames, one behind the other."""
    frames = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    frame = frames.decompressobj()
    begun = False
    while bite := file.read(ZSTD_BITE):
        while bite:
            yield frame.decompress(bite)
            begun = not frame.eof
            if begun:
                break
            bite = frame.unused_data
            frame = frames.decompressobj()
    if begun:
        raise EOFError("the last zstd frame does not end")


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    """The content of all members, one behind the other."""
    with gzip.GzipFile(fileobj=file) as members:
        while part := members.read(GZIP_STEP):
            yield part


READERS: dict[bytes, Callable[[BinaryIO], Iterator[bytes]]] = {ZSTD_MAGIC: _zstd, GZIP_MAGIC: _gzip}
