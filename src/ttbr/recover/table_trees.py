"""Which pages can be tables of which level: found upwards, from the last level to the roots.

A page is a table of a level if what its descriptors point to are tables of the next one. That
needs no walk, no registers and no idea of where a root is: at each level all pages that hold
descriptors are looked at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.arm64_geometry import BLOCK_LEVELS, LAST_LEVEL
from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.table_pages import (
    KERNEL_BLOCK,
    SMALLEST_BLOCK,
    TABLE,
    TYPE,
    USER_BLOCK,
    USER_PAGE,
    VALID,
    Holds,
    TablePages,
    matches,
)

WORD = 8
ADDRESS_BITS = 48
# Descriptors read at once: bounds the temporary arrays to some dozen MiB.
DESCRIPTORS_AT_ONCE = 1 << 19
# A live machine's memory is not copied in an instant: one descriptor in four may lead nowhere.
_GOOD, _OF = 3, 4


@dataclass(frozen=True, slots=True)
class TreeLevel:
    """What the pages of a `TablePages` are as tables of one level; columns of its length.

    ``sound``: whether this can be such a table. ``weight``: last-level tables and blocks in use
    below and in it; a table can be sound and have none. ``used``: whether a table of the level
    above points here.
    """

    sound: NDArray[np.bool_]
    weight: NDArray[np.float64]
    used: NDArray[np.bool_]

    def roots(self, most: int) -> NDArray[np.intp]:
        """The pages that can be roots: first those that no table points to, heaviest first."""
        found = np.flatnonzero(self.weight)
        order = np.lexsort((-self.weight[found], self.used[found]))
        return found[order][:most]


def kernel_trees(
    memory: PhysicalMemory, pages: TablePages, size: int, top: int
) -> dict[int, TreeLevel]:
    """Levels ``top`` to 3 of the kernel's tables; ``pages`` are of ``size`` bytes, the granule."""
    last = _nothing(len(pages.addresses))
    leaves = pages.that_hold(Holds.PAGES)
    last.sound[leaves] = True
    last.weight[leaves] = 1
    return _upwards(memory, pages, size, top, _Class(Holds.NODES, KERNEL_BLOCK), last)


def user_trees(
    memory: PhysicalMemory, pages: TablePages, size: int, top: int
) -> dict[int, TreeLevel]:
    """The same for processes' tables.

    Their last tables also hold entries of swapped-out pages, which can be any value with bit 0
    clear, and are therefore only looked at where a table points to them.
    """
    last = _nothing(len(pages.addresses))
    pointed = [pages.find(b.child) for b in _batches(memory, pages, size, Holds.USER_NODES)]
    leaves = np.unique(np.concatenate([np.zeros(0, np.intp), *pointed]))
    leaves = leaves[leaves >= 0]
    step = _at_once(size)
    for at in range(0, len(leaves), step):
        part = leaves[at : at + step]
        words, present = memory.read_words(pages.addresses[part], size // WORD, WORD)
        page = matches(words, USER_PAGE)
        other = (words & np.uint64(VALID) != 0) & ~page
        last.sound[part] = present & ~other.any(axis=1)
        last.weight[part] = last.sound[part] & page.any(axis=1)
    return _upwards(memory, pages, size, top, _Class(Holds.USER_NODES, USER_BLOCK), last)


def _nothing(count: int) -> TreeLevel:
    """A level with no tables."""
    return TreeLevel(np.zeros(count, np.bool_), np.zeros(count), np.zeros(count, np.bool_))


@dataclass(frozen=True, slots=True)
class _Class:
    """Whose tables: what their pages hold, and what their blocks look like."""

    holds: Holds
    block: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some pages of descriptors: ``rows`` of a `TablePages`, and their ``words``.

    ``child``: the address in each table descriptor; ``parent``: in which of the rows it is.
    """

    rows: NDArray[np.intp]
    words: NDArray[np.uint64]
    child: NDArray[np.uint64]
    parent: NDArray[np.intp]


def _below_block(size: int, level: int) -> int:
    """Bits that are zero in blocks of ``level``; all, including the type, where there are none."""
    shift = size.bit_length() - 1
    if level not in BLOCK_LEVELS[shift]:
        return TYPE
    covers = shift + (LAST_LEVEL - level) * (shift - 3)
    return (1 << covers) - SMALLEST_BLOCK  # those below are zero in every block


def _at_once(size: int) -> int:
    return max(1, DESCRIPTORS_AT_ONCE * WORD // size)


def _batches(
    memory: PhysicalMemory, pages: TablePages, size: int, holds: Holds
) -> Iterator[_Batch]:
    nodes = pages.nodes(holds)
    address = np.uint64((1 << ADDRESS_BITS) - size)
    step = _at_once(size)
    for at in range(0, len(nodes), step):
        rows = nodes[at : at + step]
        words, _ = memory.read_words(pages.addresses[rows], size // WORD, WORD)
        parent, column = np.nonzero(matches(words, TABLE))
        yield _Batch(rows, words, words[parent, column] & address, parent)


def _upwards(
    memory: PhysicalMemory,
    pages: TablePages,
    size: int,
    top: int,
    whose: _Class,
    last: TreeLevel,
) -> dict[int, TreeLevel]:
    below, levels = last, {LAST_LEVEL: last}
    for level in range(LAST_LEVEL - 1, top - 1, -1):
        here = _nothing(len(pages.addresses))
        for batch in _batches(memory, pages, size, whose.holds):
            rows, parent = len(batch.rows), batch.parent
            child = pages.find(batch.child)
            # A page of zeros is a table that was emptied.
            empty = (child < 0) & memory.contains(batch.child)
            sound = (child >= 0) & below.sound[child]
            wrong = np.bincount(parent, ~sound & ~empty, minlength=rows)
            total = np.bincount(parent, minlength=rows)
            good = (total - wrong) * _OF >= total * _GOOD
            weight = np.bincount(parent, sound * below.weight[child], minlength=rows)
            block = matches(batch.words, whose.block)
            bits = np.uint64(_below_block(size, level))
            good &= ~(block & (batch.words & bits != 0)).any(axis=1)
            weight += block.sum(axis=1)
            here.sound[batch.rows] = good
            here.weight[batch.rows] = good * weight
            below.used[child[sound & good[parent]]] = True
        levels[level] = below = here
    return levels
