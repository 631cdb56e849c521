"""Which virtual addresses a physical one is mapped to: ranges by the blocks that they are made of.

Each range of physical memory is cut into aligned blocks of a power of two pages, as few as there
can be. A page lies in a range exactly if one of the blocks around it is one of the range's, and
there is one block of each size around a page. So a look-up costs one search for each size, whatever
overlaps what, and the index has some dozen rows for a range at most, however large that is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.mmu.kernels import locate
from ttbr.mmu.runs import Runs

PAGE_SHIFT = 12  # the smallest leaf of any format
AT_ONCE = 1 << 16  # addresses that are looked up together: they stay in the processor's cache


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of one size, 1 << ``shift`` bytes.

    ``number``: ascending, each once; block i is in ``count[i]`` ranges, and ``offset`` from
    ``first[i]`` on has what is to be added to its physical address for each (modulo 2**64).
    """

    shift: int
    number: NDArray[np.uint64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    offset: NDArray[np.uint64]


class FrameIndex:
    """Finds the virtual addresses of physical ones in ``ranges``."""

    def __init__(self, ranges: Runs) -> None:
        start = ranges.pa >> np.uint64(PAGE_SHIFT)
        stop = start + (ranges.bytes >> np.uint64(PAGE_SHIFT))
        offset = ranges.va - ranges.pa
        self._sizes: list[_Blocks] = []
        shift = PAGE_SHIFT
        one = np.uint64(1)
        while len(start):
            low = start & one == one
            high = (stop & one == one) & (start + low < stop)
            number = np.concatenate([start[low], stop[high] - one])
            if len(number):
                self._sizes.append(
                    _blocks(shift, number, np.concatenate([offset[low], offset[high]]))
                )
            start, stop = (start + low) >> one, (stop - high) >> one
            left = start < stop
            start, stop, offset = start[left], stop[left], offset[left]
            shift += 1

    def find(self, pas: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """(index into ``pas``, virtual address) of every hit, sorted by both."""
        index: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
        found: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        for begin in range(0, len(pas), AT_ONCE):
            which, vas = self._part(pas[begin : begin + AT_ONCE])
            index.append(which + begin)
            found.append(vas)
        return np.concatenate(index), np.concatenate(found)

    def _part(self, pas: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        index: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
        found: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        for blocks in self._sizes:
            place = locate(blocks.number, blocks.number, pas >> np.uint64(blocks.shift))
            hit = np.flatnonzero(place >= 0)
            place = place[hit]
            count = blocks.count[place]
            source = np.repeat(hit, count)
            # 0, 1, 2, … within each address's own offsets
            within = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
            index.append(source)
            found.append(
                pas[source] + blocks.offset[np.repeat(blocks.first[place], count) + within]
            )
        which, vas = np.concatenate(index), np.concatenate(found)
        if (which[1:] > which[:-1]).all():
            return which, vas
        order = np.lexsort((vas, which))
        return which[order], vas[order]


def _blocks(shift: int, number: NDArray[np.uint64], offset: NDArray[np.uint64]) -> _Blocks:
    order = np.argsort(number, kind="stable")
    distinct, first, count = np.unique(number[order], return_index=True, return_counts=True)
    return _Blocks(shift, distinct, first, count, offset[order])
