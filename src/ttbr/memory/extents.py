"""Which physical addresses there are: the bounds check that every kind of memory shares."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.memory.physical import Bank, OutsideMemory

ADDRESSES = 1 << 64


class Extents:
    """A set of banks, sorted and checked; reads may run from one into an adjacent one.

    Raises `InputError` if a bank is empty, leaves the 64-bit address space or overlaps another.
    """

    __slots__ = ("_bases", "_ends", "_lasts", "_starts", "banks")

    def __init__(self, banks: Iterable[Bank]) -> None:
        self.banks = tuple(sorted(banks))
        for bank in self.banks:
            if bank.size <= 0 or bank.base < 0 or bank.end > ADDRESSES:
                raise InputError(
                    f"memory bank at {bank.base:#x} of {bank.size:#x} bytes: "
                    "a bank has at least one byte and ends within 64 address bits"
                )
        for lower, upper in pairwise(self.banks):
            if upper.base < lower.end:
                raise InputError(f"memory banks {lower} and {upper} overlap")
        runs = merged(self.banks)
        self._bases = [run.base for run in runs]
        self._ends = [run.end for run in runs]
        self._starts = np.array(self._bases, np.uint64)
        self._lasts = np.array([end - 1 for end in self._ends], np.uint64)

    def check(self, pa: int, size: int) -> None:
        """Raise `OutsideMemory` unless all of the ``size`` bytes from ``pa`` on are memory."""
        place = bisect_right(self._bases, pa) - 1
        end = self._ends[place] if place >= 0 else 0
        if pa >= end:
            raise OutsideMemory(pa, self.banks)
        if pa + size > end:
            raise OutsideMemory(end, self.banks)

    def covers(self, pa: NDArray[np.uint64], size: int) -> NDArray[np.bool_]:
        """For which addresses all of the ``size`` (at least 1) bytes from there on are memory."""
        if not self._bases:
            return np.zeros(pa.shape, np.bool_)
        if len(self._bases) == 1:  # as in most images
            first, last = self._starts[0], self._lasts[0]
            if int(last) - int(first) < size - 1:
                return np.zeros(pa.shape, np.bool_)
            found: NDArray[np.bool_] = (pa >= first) & (pa <= last - np.uint64(size - 1))
            return found
        place = np.searchsorted(self._starts, pa, side="right") - 1
        last = self._lasts[np.maximum(place, 0)]
        inside = (place >= 0) & (pa <= last)
        # Subtracting from the last address cannot wrap where adding the size to pa could.
        return inside & (last - np.where(inside, pa, last) >= np.uint64(size - 1))


def merged(banks: Iterable[Bank]) -> list[Bank]:
    """The same addresses in the fewest banks; ``banks`` are sorted and do not overlap."""
    runs: list[Bank] = []
    for bank in banks:
        if runs and runs[-1].end == bank.base:
            runs[-1] = Bank(runs[-1].base, runs[-1].size + bank.size)
        else:
            runs.append(bank)
    return runs
