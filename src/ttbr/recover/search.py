"""Looking for bytes in physical memory: once through all that was ever written, piece by piece."""

from collections.abc import Iterator

import numpy as np

from ttbr.memory.physical import PhysicalMemory

PIECE = 1 << 20  # bytes read at once


def pieces(memory: PhysicalMemory, overlap: int) -> Iterator[tuple[int, bytes]]:
    """All memory that holds anything but zeros, as (physical address, bytes).

    Pieces of a run overlap by ``overlap`` bytes, so that nothing up to one byte longer than that
    is ever cut in two.
    """
    for run in memory.written():
        for start in range(run.base, run.end, PIECE):
            data = memory.read(start, min(PIECE + overlap, run.end - start))
            if np.frombuffer(data, np.uint8).any():
                yield start, data


def find(memory: PhysicalMemory, pattern: bytes) -> Iterator[int]:
    """Every physical address at which ``pattern`` lies, ascending."""
    for start, data in pieces(memory, len(pattern) - 1):
        at = data.find(pattern)
        while at >= 0:
            yield start + at
            at = data.find(pattern, at + 1)
