"""zstd, gzip and xz: unpacked into an unnamed temporary file, which is memory-mapped afterwards."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import zstandard

from ttbr.errors import InputError
from ttbr.memory.spool import LIMIT, Spool, temporary

ZSTD_MAGIC = bytes.fromhex("28b52ffd")
ZSTD_WINDOW = 1 << 31  # as zstd --long=31; recordings of memory are often packed with --long=27
# A zstd block of four bytes can stand for 128 KiB: a small bite keeps what comes out of it small.
ZSTD_BITE = 1 << 10
GZIP_MAGIC = bytes.fromhex("1f8b")
GZIP_STEP = 1 << 20
XZ_MAGIC = bytes.fromhex("fd377a585a00")
XZ_MEMORY = 1 << 29  # bytes a decoder may take; xz -9 needs 65 MiB, the largest dictionary 1.5 GiB
XZ_STEP = 1 << 20
XZ_PADDING = 4  # between streams: zeros in multiples of this (the .xz file format, 2.2)


DAMAGE = (zstandard.ZstdError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)
"""What the readers raise for data that are damaged or end too soon."""


def first_bytes(file: BinaryIO, count: int) -> bytes:
    """The first bytes of what is in a file, packed or not; fewer where it is damaged."""
    start = file.read(count)
    reader = next((read for magic, read in READERS.items() if start.startswith(magic)), None)
    if reader is None:
        return start
    file.seek(0)
    found = b""
    try:
        for part in reader(file):
            found += part
            if len(found) >= count:
                break
    except DAMAGE:
        pass
    return found[:count]


def unpack(name: str, file: BinaryIO, limit: int = LIMIT) -> BinaryIO:
    """The file itself, or a temporary file with what is in it, if it is packed by its magic.

    Memory is bounded by the window that a file may ask for: 2 GiB for zstd, 512 MiB for xz.
    `InputError`, naming the file, if the data are damaged or truncated, or if there are more than
    ``limit`` bytes in it or more content than the temporary folder has room for.
    """
    start = file.read(max(map(len, READERS)))
    file.seek(0)
    reader = next((read for magic, read in READERS.items() if start.startswith(magic)), None)
    if reader is None:
        return file
    with temporary(name) as unpacked:
        spool = Spool(name, unpacked, limit)
        try:
            spool.append(reader(file))
        except DAMAGE as error:
            raise InputError(f"{name}: damaged or truncated: {error}") from error
        spool.finish()
        return unpacked


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


def _xz(file: BinaryIO) -> Iterator[bytes]:
    """The content of all streams, one behind the other; zeros may stand between them."""
    rest = b""
    while True:
        while rest.startswith(bytes(XZ_PADDING)):
            rest = rest[XZ_PADDING:]
        if len(rest) <= XZ_PADDING:
            more = file.read(XZ_STEP)
            rest += more
            if not more and rest.strip(b"\0"):
                raise EOFError("the last xz stream does not end")
            if not more:
                return
            continue
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        while not stream.eof:
            if stream.needs_input and not rest:
                rest = file.read(XZ_STEP)
                if not rest:
                    raise EOFError("the last xz stream does not end")
            yield stream.decompress(rest, XZ_STEP)
            rest = b""
        rest = stream.unused_data


READERS: dict[bytes, Callable[[BinaryIO], Iterator[bytes]]] = {
    ZSTD_MAGIC: _zstd,
    GZIP_MAGIC: _gzip,
    XZ_MAGIC: _xz,
}
