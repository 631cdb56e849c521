"""Two address spaces held against each other, by virtual address."""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.runs import Runs


class Change(IntEnum):
    """How a virtual range differs between A and B; the first that applies."""

    SAME = 0
    ONLY_A = 1  # mapped in A alone
    ONLY_B = 2
    MOVED = 3  # another physical address
    ATTRIBUTES = 4  # the same memory with other attributes (permissions, type, software bits)
    GRANULARITY = 5  # the same memory and attributes from a block, page or contiguous run


@dataclass(frozen=True, slots=True)
class Differences:
    """Ranges that differ, ascending; one row a range in which the difference is the same.

    ``va``, ``last`` (inclusive), ``pa_a`` and ``pa_b`` (of ``va``; meaningless where that side maps
    nothing) are uint64; ``level_a``/``level_b`` int8; ``attributes_a``/``attributes_b`` index
    ``values_a``/``values_b``, −1 where that side maps nothing.
    """

    va: NDArray[np.uint64]
    last: NDArray[np.uint64]
    change: NDArray[np.uint8]
    pa_a: NDArray[np.uint64]
    pa_b: NDArray[np.uint64]
    level_a: NDArray[np.int8]
    level_b: NDArray[np.int8]
    attributes_a: NDArray[np.int64]
    attributes_b: NDArray[np.int64]
    values_a: list[Attributes]
    values_b: list[Attributes]

    def __len__(self) -> int:
        return len(self.va)


def compare(a: Mappings, b: Mappings) -> Differences:
    """What A and B map differently; cost is linear in their runs."""
    runs_a, runs_b = a.runs, b.runs
    starts, row_a, row_b = _cut(runs_a, runs_b)
    live = (row_a >= 0) | (row_b >= 0)
    # Only a range that goes on to the end of the address space has no start of another behind it.
    ends = np.append(starts[1:], np.uint64(0))[live] - np.uint64(1)
    starts, row_a, row_b = starts[live], row_a[live], row_b[live]

    pa_a, pa_b = _pa(runs_a, row_a, starts), _pa(runs_b, row_b, starts)
    level_a, level_b = _column(runs_a.level, row_a), _column(runs_b.level, row_b)
    attr_a, attr_b = _column(runs_a.attributes, row_a), _column(runs_b.attributes, row_b)

    change = np.full(len(starts), Change.SAME, np.uint8)
    both = (row_a >= 0) & (row_b >= 0)
    granular = np.zeros(len(starts), bool)
    meaning = np.zeros(len(starts), bool)
    if both.any():
        pair = attr_a[both], attr_b[both]
        exact_a, exact_b = _numbered(a.attribute_values, b.attribute_values)
        granular[both] = (exact_a[pair[0]] != exact_b[pair[1]]) | (level_a[both] != level_b[both])
        plain_a, plain_b = _numbered(_ungrouped(a.attribute_values), _ungrouped(b.attribute_values))
        meaning[both] = plain_a[pair[0]] != plain_b[pair[1]]
    change[granular] = Change.GRANULARITY
    change[meaning] = Change.ATTRIBUTES
    change[both & (pa_a != pa_b)] = Change.MOVED
    change[(row_a >= 0) & (row_b < 0)] = Change.ONLY_A
    change[(row_a < 0) & (row_b >= 0)] = Change.ONLY_B

    keep = change != Change.SAME
    columns = [starts, ends, change, pa_a, pa_b, level_a, level_b, attr_a, attr_b]
    starts, ends, change, pa_a, pa_b, level_a, level_b, attr_a, attr_b = (c[keep] for c in columns)
    first = np.ones(len(starts), bool)
    if len(starts) > 1:
        step = starts[1:] - starts[:-1]
        first[1:] = (ends[:-1] + np.uint64(1) != starts[1:]) | (change[1:] != change[:-1])
        first[1:] |= (level_a[1:] != level_a[:-1]) | (level_b[1:] != level_b[:-1])
        first[1:] |= (attr_a[1:] != attr_a[:-1]) | (attr_b[1:] != attr_b[:-1])
        first[1:] |= (attr_a[1:] >= 0) & (pa_a[1:] - pa_a[:-1] != step)
        first[1:] |= (attr_b[1:] >= 0) & (pa_b[1:] - pa_b[:-1] != step)
    heads = np.flatnonzero(first)
    tails = np.append(heads[1:], len(starts)) - 1 if len(heads) else heads
    return Differences(
        va=starts[heads],
        last=ends[tails],
        change=change[heads],
        pa_a=pa_a[heads],
        pa_b=pa_b[heads],
        level_a=level_a[heads].astype(np.int8),
        level_b=level_b[heads].astype(np.int8),
        attributes_a=attr_a[heads],
        attributes_b=attr_b[heads],
        values_a=a.attribute_values,
        values_b=b.attribute_values,
    )


def _cut(a: Runs, b: Runs) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """The space cut where a run of either begins or ends: starts, and the run of each side or −1.

    Both sides' edges ascend already, and a stable sort merges ascending sequences in linear time.
    """
    edges_a, edges_b = _edges(a), _edges(b)
    edges = np.concatenate([edges_a, edges_b])
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    final = np.append(edges[1:] != edges[:-1], True)[: len(edges)]  # of those at one address
    passed = np.cumsum(order < len(edges_a))[final]
    both_passed = np.flatnonzero(final) + 1
    return edges[final], _inside(passed), _inside(both_passed - passed)


def _edges(runs: Runs) -> NDArray[np.uint64]:
    """Where each run begins and what follows its end, by turns, ascending."""
    edges = np.empty(2 * len(runs), np.uint64)
    edges[::2] = runs.va
    edges[1::2] = runs.last + np.uint64(1)
    # Nothing follows the end of the address space: its +1 wraps to 0.
    return edges[:-1] if len(runs) and edges[-1] == 0 else edges


def _inside(passed: NDArray[np.int64]) -> NDArray[np.int64]:
    """The run one is in after passing so many edges of its side, or −1: edges take turns."""
    return np.where(passed & 1, passed >> 1, -1)


def _pa(runs: Runs, row: NDArray[np.int64], at: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Physical address of each address (0 where the run is −1)."""
    out = np.zeros(len(at), np.uint64)
    on = row >= 0
    out[on] = runs.pa[row[on]] + (at[on] - runs.va[row[on]])
    return out


def _column(values: NDArray[np.integer], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """A column's values by row, −1 where the row is −1."""
    out = np.full(len(row), -1, np.int64)
    on = row >= 0
    out[on] = values[row[on]]
    return out


def _numbered(
    a: list[Attributes], b: list[Attributes]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each value of both lists: the same for equal values, and for those only."""
    numbers: dict[Attributes, int] = {}
    of_a = [numbers.setdefault(value, len(numbers)) for value in a]
    of_b = [numbers.setdefault(value, len(numbers)) for value in b]
    return np.array(of_a, np.int64), np.array(of_b, np.int64)


def _ungrouped(values: list[Attributes]) -> list[Attributes]:
    """The values without what only says how they are grouped."""
    return [replace(value, contiguous=False) for value in values]
