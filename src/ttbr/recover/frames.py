"""The 4 KiB frames of an image that can hold anything but zeros, by number, for scans."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.physical import PhysicalMemory

FRAME_SHIFT = 12
FRAME = 1 << FRAME_SHIFT
WORDS = FRAME // 8
# Frames read at once: 2 MiB, which stay in the cache for the several looks at them.
FRAMES_AT_ONCE = 512


class Frames:
    """The whole frames that ``memory.written()`` names, numbered from 0 in ascending order.

    ``addresses``: physical address of each frame, uint64.
    """

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        runs = [
            (-(-run.base // FRAME) * FRAME, run.end // FRAME * FRAME) for run in memory.written()
        ]
        self._runs = [(start, end) for start, end in runs if start < end]
        starts = [np.arange(s, e, FRAME, dtype=np.uint64) for s, e in self._runs]
        self.addresses: NDArray[np.uint64] = np.concatenate([np.zeros(0, np.uint64), *starts])

    def __len__(self) -> int:
        return len(self.addresses)

    def pieces(self) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """All frames in order, some at once: (number of the first, words of shape (n, 512))."""
        number = 0
        for start, end in self._runs:
            for at in range(start, end, FRAMES_AT_ONCE * FRAME):
                size = min(FRAMES_AT_ONCE * FRAME, end - at)
                words = np.frombuffer(self._memory.read(at, size), "<u8").reshape(-1, WORDS)
                yield number, words
                number += len(words)
