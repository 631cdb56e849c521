"""Sets of addresses as ranges: joined, cut with each other, turned around; arrays throughout."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALL_ADDRESSES = (1 << 64) - 1
_ONE = np.uint64(1)


@dataclass(frozen=True, slots=True)
class Spans:
    """Ranges that neither overlap nor touch, ascending: ``first`` to ``last`` (inclusive)."""

    first: NDArray[np.uint64]
    last: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, first: NDArray[np.uint64], last: NDArray[np.uint64]) -> "Spans":
        """The addresses of ranges that may overlap and be in any order."""
        if not len(first):
            return cls(first.astype(np.uint64), last.astype(np.uint64))
        order = np.argsort(first, kind="stable")
        first, last = first[order], np.maximum.accumulate(last[order])
        head = np.ones(len(first), np.bool_)
        head[1:] = (first[1:] > last[:-1]) & (first[1:] - last[:-1] > _ONE)
        starts = np.flatnonzero(head)
        return cls(first[starts], last[np.append(starts[1:], len(first)) - 1])

    @classmethod
    def sized(cls, first: NDArray[np.uint64], size: NDArray[np.uint64]) -> "Spans":
        """The same by ``size`` in bytes; ranges of no bytes have no addresses."""
        some = size > 0
        return cls.of(first[some], first[some] + (size[some] - _ONE))

    @property
    def bytes(self) -> int:
        """How many addresses there are."""
        return int((self.last - self.first).sum()) + len(self)

    def pairs(
        self, first: NDArray[np.uint64], last: NDArray[np.uint64], most: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], bool]:
        """(index into the given ranges, index of a span) wherever the two overlap.

        Many large ranges over many spans have very many pairs: the last ranges are left out where
        there would be more than ``most``, and the third value says whether all are there.
        """
        low = np.searchsorted(self.last, first)
        high = np.searchsorted(self.first, last, side="right")
        count = np.maximum(high - low, 0)
        left_out = np.cumsum(count) > most
        count[left_out] = 0
        row = np.repeat(np.arange(len(first)), count)
        within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return row, np.repeat(low, count) + within, not left_out.any()

    def common(self, other: "Spans") -> "Spans":
        """The addresses that are in both."""
        # Neither has overlaps: there are fewer pairs than ranges of both.
        row, span, _ = other.pairs(self.first, self.last, len(self) + len(other))
        return Spans(
            np.maximum(self.first[row], other.first[span]),
            np.minimum(self.last[row], other.last[span]),
        )

    def inverted(self) -> "Spans":
        """All 64-bit addresses that are not in here."""
        everything = np.array([ALL_ADDRESSES], np.uint64)
        if not len(self):
            return Spans(np.zeros(1, np.uint64), everything)
        first = np.concatenate([np.zeros(1, np.uint64), self.last + _ONE])
        last = np.concatenate([self.first - _ONE, everything])
        some = np.ones(len(first), np.bool_)
        some[0], some[-1] = self.first[0] > 0, int(self.last[-1]) < ALL_ADDRESSES
        return Spans(first[some], last[some])

    def without(self, other: "Spans") -> "Spans":
        """The addresses that are not in ``other``."""
        return self.common(other.inverted())

    def __or__(self, other: "Spans") -> "Spans":
        return Spans.of(
            np.concatenate([self.first, other.first]), np.concatenate([self.last, other.last])
        )


NOWHERE = Spans(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
"""No address."""
