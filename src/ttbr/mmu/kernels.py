"""The two loops that all of a table's or all of a question's words go through, and which form runs.

Each has two forms that give the same answers: NumPy's, here, and the compiled one of
`ttbr.mmu.compiled`, which needs numba (``pip install 'ttbr[fast]'``). Numba takes about half a
second to load, so it is loaded once this process has looked at so much that it would have paid from
the start; ``TTBR_KERNELS=numpy`` never loads it, ``TTBR_KERNELS=numba`` at once.
"""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.words import Words

PAYS_FROM = 1 << 30
"""Bytes: what NumPy looks at in about the time that numba takes to load."""

BLOCK = 1 << 17  # words that NumPy looks at together: with what is computed of them, in the cache
MOST_RUNS = 1 << 17  # runs that are handed over together: bounds what is computed of them
TYPE_BITS = 3
"""The bits of a descriptor that say what it is, in every format."""

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """Runs of entries, as columns: table ``row``, first ``column``, ``length`` in entries, and
    the ``first`` entry's word.
    """

    row: Column
    column: Column
    length: Column
    first: NDArray[np.uint64]

    @classmethod
    def joined(cls, parts: list["Found"]) -> "Found":
        """All parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def upto(self, most: int) -> "Found":
        """As many of them."""
        return Found(self.row[:most], self.column[:most], self.length[:most], self.first[:most])


class Kernels(Protocol):
    """The two loops."""

    def scan(self, words: Words, step: int, wanted: NDArray[np.bool_]) -> Iterator[Found]:
        """See `scan`."""

    def locate(
        self, first: NDArray[np.uint64], last: NDArray[np.uint64], addresses: NDArray[np.uint64]
    ) -> Column:
        """See `locate`."""


class NumpyKernels:
    """Arrays in blocks that stay in the processor's cache."""

    def scan(self, words: Words, step: int, wanted: NDArray[np.bool_]) -> Iterator[Found]:
        """See `scan`."""
        rows = max(1, BLOCK // words.count)
        broken = np.empty(rows * words.count, np.bool_)
        difference = np.empty(rows * words.count, np.uint64)
        parts: list[Found] = []
        pending = 0
        for begin in range(0, len(words), rows):
            flat = words.rows(slice(begin, begin + rows)).gathered().reshape(-1)
            steps, starts = difference[: len(flat) - 1], broken[: len(flat)]
            np.subtract(flat[1:], flat[:-1], out=steps)
            np.not_equal(steps, np.uint64(step), out=starts[1:])
            starts[:: words.count] = True  # a run ends with its table
            if np.count_nonzero(starts) * words.count == len(flat):  # each table is one run
                heads = np.arange(0, len(flat), words.count)
            else:
                heads = np.flatnonzero(starts)
            first, length = flat[heads], np.diff(heads, append=len(flat))
            chosen = wanted[(first & np.uint64(TYPE_BITS)).astype(np.intp)]
            row, column = np.divmod(heads[chosen], words.count)
            if len(row):
                parts.append(Found(row + begin, column, length[chosen], first[chosen]))
                pending += len(row)
            if pending >= MOST_RUNS:
                yield Found.joined(parts)
                parts, pending = [], 0
        if parts:
            yield Found.joined(parts)

    def locate(
        self, first: NDArray[np.uint64], last: NDArray[np.uint64], addresses: NDArray[np.uint64]
    ) -> Column:
        """See `locate`."""
        row = np.searchsorted(first, addresses, side="right") - 1
        if len(first):
            row[addresses > last[row]] = -1  # where the row is -1 already, it stays that
        return row


def scan(words: Words, step: int, wanted: NDArray[np.bool_]) -> Iterator[Found]:
    """The longest runs of entries that grow by ``step`` from one to the next, table by table.

    Only of entries whose two `TYPE_BITS` are ``wanted`` (shape (4,)); ascending by row and column,
    some at a time.
    """
    return _chosen(words.nbytes).scan(words, step, wanted)


def locate(
    first: NDArray[np.uint64], last: NDArray[np.uint64], addresses: NDArray[np.uint64]
) -> Column:
    """Which of the ranges ``first``…``last`` each address is in; −1 for none.

    The ranges are inclusive, ascending, and do not overlap.
    """
    return _chosen(addresses.nbytes).locate(first, last, addresses)


_numpy = NumpyKernels()
_seen = 0  # bytes that were looked at by this process


def _chosen(size: int) -> Kernels:
    """The form to look at ``size`` bytes with."""
    global _seen  # noqa: PLW0603 – what a process did is the process's
    wish = os.environ.get("TTBR_KERNELS", "")
    _seen += size
    if wish == "numpy" or (wish != "numba" and _seen < PAYS_FROM):
        return _numpy
    return compiled() or _numpy


@cache
def compiled() -> Kernels | None:
    """The compiled form; None where numba is not installed, or does not work."""
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        from ttbr.mmu.compiled import NumbaKernels  # noqa: PLC0415 – loads numba
    except Exception:
        return None
    return NumbaKernels()
