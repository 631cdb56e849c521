"""The loops of `ttbr.mmu.kernels`, compiled by numba when this module is imported.

What was compiled is kept in numba's cache (``NUMBA_CACHE_DIR``, or beside this file, or in the
user's own cache folder); where none of them can be written it is compiled anew in each process.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from ttbr.memory.words import Words
from ttbr.mmu.kernels import MOST_RUNS, TYPE_BITS, Column, Found


def _readonly(kind: types.Type) -> types.Array:
    return types.Array(kind, 1, "C", readonly=True)


def _compiled(signatures: list[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile for these types, now; out of the cache where there is one."""

    def compile_now(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(signatures, nogil=True, cache=True)(function)
        except Exception:
            return numba.njit(signatures, nogil=True)(function)

    return compile_now


_OUT = types.int64[::1]
_WORDS = types.uint64[::1]
_SCAN = [
    (
        *(_readonly(word), _readonly(types.int64), types.int64, types.uint64),
        *(_readonly(types.boolean), types.int64, _OUT, _OUT, _OUT, _WORDS),
    )
    for word in (types.uint64, types.uint32)
]


@_compiled(_SCAN)
def _scan(
    flat: Any, start: Any, count: int, step: Any, wanted: Any, begin: int,
    row: Any, column: Any, length: Any, first: Any,
) -> tuple[int, int]:  # fmt: skip
    """Fill the columns from table ``begin`` on; the table to go on with, and how many runs."""
    found = 0
    mask = np.uint64(TYPE_BITS)
    for table in range(begin, len(start)):
        if len(row) - found < count:
            return table, found
        words = flat[start[table] : start[table] + count]
        # Nearly every table is one run: seen without a branch for each entry
        other = np.uint64(0)
        for at in range(count - 1):
            other |= (np.uint64(words[at + 1]) - np.uint64(words[at])) ^ step
        if other == 0:
            if wanted[np.int64(np.uint64(words[0]) & mask)]:
                row[found], column[found], length[found] = table, 0, count
                first[found] = words[0]
                found += 1
            continue
        at = 0
        while at < count:
            head = at
            at += 1
            while at < count and np.uint64(words[at]) - np.uint64(words[at - 1]) == step:
                at += 1
            if wanted[np.int64(np.uint64(words[head]) & mask)]:
                row[found], column[found], length[found] = table, head, at - head
                first[found] = words[head]
                found += 1
    return len(start), found


@_compiled([(*(_readonly(types.uint64),) * 3, _OUT)])
def _locate(first: Any, last: Any, addresses: Any, row: Any) -> None:
    """Binary search without a branch: the processor looks several addresses up at once."""
    count = len(first)
    for place in range(len(addresses)):
        address = addresses[place]
        low, left = 0, count
        while left > 1:
            half = left >> 1
            low = low + half if first[low + half] <= address else low
            left -= half
        inside = count > 0 and first[low] <= address <= last[low]
        row[place] = low if inside else -1


class NumbaKernels:
    """The compiled form of `ttbr.mmu.kernels.Kernels`."""

    def scan(self, words: Words, step: int, wanted: NDArray[np.bool_]) -> Iterator[Found]:
        """See `ttbr.mmu.kernels.scan`."""
        begin, room = 0, len(words) + words.count  # most tables are one run
        while begin < len(words):
            row, column, length = (np.empty(room, np.int64) for _ in range(3))
            runs = Found(row, column, length, np.empty(room, np.uint64))
            begin, found = _scan(
                *(words.flat, words.start, words.count, np.uint64(step), wanted, begin),
                *(runs.row, runs.column, runs.length, runs.first),
            )
            if found:
                yield runs.upto(found)
            room = max(room, min(len(words) * words.count, MOST_RUNS))

    def locate(
        self, first: NDArray[np.uint64], last: NDArray[np.uint64], addresses: NDArray[np.uint64]
    ) -> Column:
        """See `ttbr.mmu.kernels.locate`."""
        row = np.empty(len(addresses), np.int64)
        _locate(
            np.ascontiguousarray(first),
            np.ascontiguousarray(last),
            np.ascontiguousarray(addresses),
            row,
        )
        return row
