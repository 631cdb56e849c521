"""How much of a stretch of addresses ranges cover."""

import numpy as np
from numpy.typing import NDArray

_ADDRESSES = 1 << 64


class Coverage:
    """Ranges that do not overlap: ``first`` addresses and ``size`` in bytes, in any order."""

    def __init__(self, first: NDArray[np.uint64], size: NDArray[np.uint64]) -> None:
        ascending = np.argsort(first, kind="stable")
        self.first, self.size = first[ascending], size[ascending]
        self._below = np.concatenate(
            [np.zeros(1, np.uint64), np.cumsum(self.size, dtype=np.uint64)]
        )

    def within(self, start: int, last: int) -> int:
        """Bytes covered from ``start`` to ``last`` (inclusive)."""
        return max(0, self._up_to(last + 1) - self._up_to(start))

    def rows(self, start: int, last: int) -> slice:
        """Which ranges, in ascending order, lie in ``start`` to ``last`` at least in part."""
        low, high = self._count(start), self._count(last + 1)
        if low and int(self.first[low - 1]) + int(self.size[low - 1]) > start:
            low -= 1
        return slice(low, high)

    def _count(self, address: int) -> int:
        """How many ranges begin below an address."""
        if address >= _ADDRESSES:
            return len(self.first)
        return int(np.searchsorted(self.first, np.uint64(address)))

    def _up_to(self, address: int) -> int:
        """Bytes covered below an address."""
        count = self._count(address)
        if not count:
            return 0
        beyond = int(self.first[count - 1]) + int(self.size[count - 1]) - address
        return int(self._below[count]) - max(0, beyond)
