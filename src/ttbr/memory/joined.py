"""Several memories as one: parts of an image that lie in files of different kinds."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.extents import Extents, merged
from ttbr.memory.physical import Bank, PhysicalMemory
from ttbr.memory.words import Words


class JoinedMemory:
    """Read-only memory over other memories; implements `ttbr.memory.physical.PhysicalMemory`.

    `InputError` if two of them hold the same address.
    """

    def __init__(self, parts: Sequence[PhysicalMemory]) -> None:
        owned = sorted(
            ((bank, number) for number, part in enumerate(parts) for bank in part.banks),
        )
        Extents(bank for bank, _ in owned)  # no overlaps
        self._extents = Extents(merged(bank for bank, _ in owned))
        self._parts = parts
        self._owners = [number for _, number in owned]
        self._owned = [bank for bank, _ in owned]
        self._bases = [bank.base for bank in self._owned]

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The memory there is, ascending."""
        return self._extents.banks

    def contains(self, pa: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the addresses are in a bank."""
        return self._extents.covers(pa, 1)

    def written(self) -> list[Bank]:
        """The runs that some part has bytes for, ascending."""
        return merged(sorted(run for part in self._parts for run in part.written()))

    def read(self, pa: int, size: int) -> bytes:
        """The ``size`` bytes from ``pa`` on; `OutsideMemory` if one of them is in no bank."""
        self._extents.check(pa, size)
        place = bisect_right(self._bases, pa) - 1
        found: list[bytes] = []
        at = pa
        while at < pa + size:
            end = min(self._owned[place].end, pa + size)
            found.append(self._parts[self._owners[place]].read(at, end - at))
            at, place = end, place + 1
        return b"".join(found)

    def in_place(self, pa: NDArray[np.uint64], count: int, word: int) -> Words | None:
        """None: the parts have no array in common."""
        return None

    def read_words(
        self, pa: NDArray[np.uint64], count: int, word: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Gather ``count`` words of ``word`` bytes from each address: (n, count), present (n,)."""
        size = count * word
        present = self._extents.covers(pa, size)
        words = np.zeros((len(pa), count), np.uint64)
        found = np.zeros(len(pa), np.bool_)
        for part in self._parts:
            mine = np.flatnonzero(present & ~found & part.contains(pa))
            words[mine], found[mine] = part.read_words(pa[mine], count, word)
        for row in np.flatnonzero(present & ~found).tolist():  # from one part into the next
            words[row] = np.frombuffer(self.read(int(pa[row]), size), f"<u{word}")
        return words, present
