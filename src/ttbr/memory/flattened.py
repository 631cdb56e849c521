"""makedumpfile's flattened format: a dump as records that say where in a file they belong.

Written by ``makedumpfile -F`` and by QEMU's dump-guest-memory for all of its kdump formats.
"""

from collections.abc import Iterator
from itertools import count
from struct import Struct
from typing import BinaryIO

from ttbr.errors import InputError
from ttbr.memory.spool import LIMIT, Spool, temporary

# IMPLEMENTATION of makedumpfile, "The flattened format"; all numbers are big-endian.
MAGIC = b"makedumpfile".ljust(16, b"\0")
HEADER = Struct(">16sqq")  # signature, type, version; 4096 bytes with what follows
HEADER_SIZE = 4096
RECORD = Struct(">qq")  # offset, size of the bytes that follow
END = -1
TYPE, VERSION = 1, 1
STEP = 1 << 20


def rearrange(name: str, file: BinaryIO, limit: int = LIMIT) -> BinaryIO:
    """The file itself, or a temporary file with the dump that it is, if it is flattened.

    Takes as many bytes of disk as there are in the records, and one pass; ``limit`` bounds the
    offsets. `InputError` if a record is truncated or leaves the limit.
    """
    start = file.read(HEADER.size)
    file.seek(0)
    if not start.startswith(MAGIC):
        return file
    if len(start) < HEADER.size:
        raise InputError(f"{name}: truncated: flattened dump without a header")
    _, kind, version = HEADER.unpack(start)
    if (kind, version) != (TYPE, VERSION):
        raise InputError(f"{name}: flattened dump of type {kind}, version {version}: not known")
    with temporary(name) as dump:
        spool = Spool(name, dump, limit)
        for offset, part in _parts(name, file):
            spool.put(offset, part)
        spool.finish()
        return dump


def _parts(name: str, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The bytes of all records with their offsets in the dump, in pieces."""
    file.seek(HEADER_SIZE)
    for number in count():
        header = file.read(RECORD.size)
        if len(header) < RECORD.size:
            raise InputError(f"{name}: truncated: flattened dump without an end")
        offset, size = RECORD.unpack(header)
        if offset == END:
            return
        if offset < 0 or size < 0:
            raise InputError(
                f"{name}: damaged: record {number} of the flattened dump is of {size} bytes at "
                f"{offset}"
            )
        while size:
            part = file.read(min(size, STEP))
            if not part:
                raise InputError(
                    f"{name}: truncated: record {number} of the flattened dump lacks {size} bytes"
                )
            yield offset, part
            offset += len(part)
            size -= len(part)
