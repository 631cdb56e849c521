"""Tables of words where they lie in a larger array, so that looking at them needs no copy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Words:
    """Tables of ``count`` words: that of row i is ``flat[start[i] : start[i] + count]``.

    ``flat``: one-dimensional, contiguous, aligned, uint64 or uint32; ``start``: int64.
    """

    flat: NDArray[Any]
    start: NDArray[np.int64]
    count: int

    def __len__(self) -> int:
        return len(self.start)

    @property
    def nbytes(self) -> int:
        """Bytes of all tables."""
        return len(self.start) * self.count * self.flat.itemsize

    @classmethod
    def of(cls, tables: NDArray[np.uint64]) -> "Words":
        """Tables that were gathered: shape (n, count), contiguous."""
        rows, count = tables.shape
        return cls(tables.reshape(-1), np.arange(rows, dtype=np.int64) * count, count)

    @classmethod
    def within(
        cls, data: NDArray[np.uint8], offsets: NDArray[np.int64], count: int, word: int
    ) -> "Words | None":
        """Tables at byte ``offsets`` of ``data``, which hold them wholly; None if not aligned."""
        flat = data[: len(data) // word * word].view(f"<u{word}")
        if not flat.flags.aligned or (offsets & word - 1).any():
            return None
        return cls(flat, offsets >> (word.bit_length() - 1), count)

    def rows(self, which: NDArray[np.intp] | slice) -> "Words":
        """Some of the tables."""
        return Words(self.flat, self.start[which], self.count)

    def gathered(self) -> NDArray[np.uint64]:
        """The words in the shape (n, count), copied unless they lie one after the other."""
        rows = self._adjoining()
        return self.copied() if rows is None else rows

    def copied(self) -> NDArray[np.uint64]:
        """The words in the shape (n, count), copied; by whole tables where they are aligned."""
        rows: NDArray[Any]
        if (self.start % self.count).any():
            rows = sliding_window_view(self.flat, self.count)[self.start]
        else:
            tables = self.flat[: len(self.flat) // self.count * self.count]
            rows = tables.reshape(-1, self.count).take(self.start // self.count, axis=0)
        words: NDArray[np.uint64] = rows.astype(np.uint64, copy=False)
        return words

    def _adjoining(self) -> NDArray[np.uint64] | None:
        """The words without a copy, if the tables lie one after the other."""
        if not len(self.start) or (self.start[1:] - self.start[:-1] != self.count).any():
            return None
        first = int(self.start[0])
        flat = self.flat[first : first + len(self) * self.count]
        words: NDArray[np.uint64] = flat.astype(np.uint64, copy=False).reshape(-1, self.count)
        return words
