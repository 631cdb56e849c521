"""Memory with a few words changed, over memory that cannot be written."""

import numpy as np
from numpy.typing import NDArray


class Patched:
    """The words of ``changes`` (by physical address, bytes) over ``memory``."""

    def __init__(self, memory, changes: dict[int, bytes]) -> None:
        self.memory = memory
        self.changes = changes

    @property
    def banks(self):
        return self.memory.banks

    def contains(self, pa):
        return self.memory.contains(pa)

    def written(self):
        return self.memory.written()

    def read(self, pa: int, size: int) -> bytes:
        data = bytearray(self.memory.read(pa, size))
        for place, word in self.changes.items():
            for offset, byte in enumerate(word):
                if pa <= place + offset < pa + size:
                    data[place + offset - pa] = byte
        return bytes(data)

    def read_words(self, pa: NDArray[np.uint64], count: int, word: int):
        words, present = self.memory.read_words(pa, count, word)
        first = np.array(list(self.changes), np.uint64)
        touched = np.zeros(len(pa), np.bool_)
        for place in first:
            touched |= (pa <= place + np.uint64(7)) & (place < pa + np.uint64(count * word))
        for row in np.flatnonzero(touched & present).tolist():
            words[row] = np.frombuffer(self.read(int(pa[row]), count * word), f"<u{word}")
        return words, present

    def in_place(self, pa, count, word):
        return None
