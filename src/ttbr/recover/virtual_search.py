"""Looking for bytes by virtual address, in the kernel's memory or a process's."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from ttbr.recover.virtual_memory import NotMapped

PIECE = 1 << 20


class Readable(Protocol):
    """What can be searched."""

    def read(self, va: int, size: int) -> bytes:
        """Bytes by virtual address; `NotMapped` where there are none."""


def find_virtual(
    memory: Readable, extents: Iterable[tuple[int, int]], pattern: bytes
) -> Iterator[int]:
    """Every address in the ``extents`` (address, bytes) at which ``pattern`` lies, ascending.

    Ranges that are mapped, but to no memory (devices), are passed over.
    """
    overlap = len(pattern) - 1
    for start, size in extents:
        for at in range(start, start + size, PIECE):
            try:
                data = memory.read(at, min(PIECE + overlap, start + size - at))
            except NotMapped:
                continue
            place = data.find(pattern)
            while 0 <= place < PIECE:
                yield at + place
                place = data.find(pattern, place + 1)
