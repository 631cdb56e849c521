"""Maple trees, in which Linux keeps the areas of a process (lib/maple_tree.c; since 6.1).

All trees are read together, level by level. A pointer to a node says in its low bits what the node
is: bits 3 to 6 its type, bit 1 that it is the root, bit 2 is set in every such pointer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.virtual_memory import VirtualMemory

NODE = 256  # bytes; also their alignment
LEAF_64, RANGE_64, ARANGE_64 = 1, 2, 3
# include/linux/maple_tree.h: MAPLE_RANGE64_SLOTS and MAPLE_ARANGE64_SLOTS by size of a pointer
_SLOTS = {
    8: {LEAF_64: 16, RANGE_64: 16, ARANGE_64: 10},
    4: {LEAF_64: 32, RANGE_64: 32, ARANGE_64: 21},
}
_TYPE_SHIFT, _TYPE_MASK = 3, 15
_ROOT_BITS, _ROOT = 7, 6
_INTERNAL = 2  # low bits of an entry that is no pointer (XArray's internal entries)
_DEEPEST = 31
_MOST_NODES = 1 << 22


_Column = NDArray[np.uint64]
_Part = tuple[NDArray[np.int64], _Column, _Column, _Column]


@dataclass(frozen=True)
class Entries:
    """What some trees hold, as columns sorted by tree and index.

    ``tree``: which tree, int64. ``first``, ``last``: the indices that an entry stands for
    (inclusive). ``value``: the pointer. ``damaged``: nodes that could not be read or are no nodes.
    """

    tree: NDArray[np.int64]
    first: NDArray[np.uint64]
    last: NDArray[np.uint64]
    value: NDArray[np.uint64]
    damaged: int


def looks_like_root(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which words can be a tree's ``ma_root`` that points to a node."""
    kind = values >> np.uint64(_TYPE_SHIFT) & np.uint64(_TYPE_MASK)
    known = (kind >= LEAF_64) & (kind <= ARANGE_64) & (values & np.uint64(0x80) == 0)
    rooted: NDArray[np.bool_] = known & (values & np.uint64(_ROOT_BITS) == _ROOT)
    return rooted


def read_trees(memory: VirtualMemory, roots: NDArray[np.uint64]) -> Entries:
    """The entries of the trees whose ``ma_root`` are ``roots``."""
    word = memory.word
    everything = np.uint64((1 << 8 * word) - 1)
    rooted = looks_like_root(roots)
    tree = np.flatnonzero(rooted).astype(np.int64)
    node = roots[tree]
    low = np.zeros(len(tree), np.uint64)
    high = np.full(len(tree), everything)
    seen = np.zeros(0, np.uint64)
    parts: list[_Part] = []
    damaged = 0
    for _ in range(_DEEPEST):
        if not len(node) or len(seen) > _MOST_NODES:
            break
        # A node has one parent: one that is met again is damage, or a trap.
        place, at = np.unique(node & np.uint64(-NODE % (1 << 64)), return_index=True)
        new = at[~np.isin(place, seen)]
        damaged += len(node) - len(new)
        seen = np.union1d(seen, place)
        tree, node, low, high = tree[new], node[new], low[new], high[new]
        below: list[_Part] = []
        kinds = node >> np.uint64(_TYPE_SHIFT) & np.uint64(_TYPE_MASK)
        for kind, slots in _SLOTS[word].items():
            rows = np.flatnonzero(kinds == kind)
            if not len(rows):
                continue
            address = node[rows] & np.uint64(-NODE % (1 << 64))
            words, present = memory.words(address, NODE // word, word)
            damaged += int(np.count_nonzero(~present))
            found = _slots(words[present], slots, low[rows[present]], high[rows[present]])
            of, first, last, value = found
            owner = tree[rows[present]][of]
            (parts if kind == LEAF_64 else below).append((owner, first, last, value))
        damaged += int(np.count_nonzero((kinds < LEAF_64) | (kinds > ARANGE_64)))
        if not below:
            break
        tree, low, high, node = (np.concatenate([b[k] for b in below]) for k in range(4))
    none = np.zeros(0, np.uint64)
    parts.append((none.astype(np.int64), none, none, none))
    tree, first, last, value = (np.concatenate([part[k] for part in parts]) for k in range(4))
    order = np.lexsort((first, tree))
    return Entries(tree[order], first[order], last[order], value[order], damaged)


def _slots(
    words: NDArray[np.uint64], slots: int, low: NDArray[np.uint64], high: NDArray[np.uint64]
) -> tuple[NDArray[np.intp], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """The used slots of nodes: (row, first index, last index, content)."""
    count = len(words)
    last = np.empty((count, slots), np.uint64)
    last[:, :-1] = words[:, 1:slots]
    last[:, -1] = high
    # A pivot of 0 behind the first ends the node, and so does one that reaches its end.
    unused = last == 0
    unused[:, 0] = False
    last = np.where(unused | (last > high[:, None]), high[:, None], last)
    first = np.empty_like(last)
    first[:, 0] = low
    first[:, 1:] = last[:, :-1] + np.uint64(1)
    live = np.ones((count, slots), np.bool_)
    live[:, 1:] = np.logical_and.accumulate(last[:, :-1] < high[:, None], axis=1)
    value = words[:, slots : 2 * slots]
    live &= (value != 0) & (value & np.uint64(3) != _INTERNAL) & (first <= last)
    row, slot = np.nonzero(live)
    return row, first[row, slot], last[row, slot], value[row, slot]
