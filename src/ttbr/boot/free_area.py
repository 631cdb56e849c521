"""The free lists of a zone: blocks by order and migrate type, each list with a head and a tail.

Source: mm/page_alloc.c: __add_to_free_list, __del_page_from_free_list, get_page_from_free_area
(6.1: add_to_free_list, add_to_free_list_tail, del_page_from_free_list).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, CMA, ISOLATE = range(6)
"""enum migratetype of a kernel with CONFIG_CMA and CONFIG_MEMORY_ISOLATION."""
MIGRATE_TYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")


class Runs:
    """A list of blocks of the largest order, of which a large machine has a great many in a row.

    Blocks that follow each other in memory and in the list are kept as one run. Nothing merges
    with such a block, so it is the head that is taken, but for contiguous allocations.
    """

    __slots__ = ("_runs", "_size", "blocks")

    def __init__(self, order: int) -> None:
        """`order`: of its blocks."""
        self._size = 1 << order
        self._runs: deque[tuple[int, int]] = deque()  # first frame, blocks; from head to tail
        self.blocks = 0

    def __len__(self) -> int:
        return self.blocks

    def add(self, pfn: int, *, to_tail: bool) -> None:
        """Put a block at the head, or at the tail."""
        if to_tail:
            self.add_run(pfn, 1)
            return
        self.blocks += 1
        if self._runs and self._runs[0][0] == pfn + self._size:
            self._runs[0] = pfn, self._runs[0][1] + 1
        else:
            self._runs.appendleft((pfn, 1))

    def add_run(self, pfn: int, count: int) -> None:
        """Put ``count`` blocks from ``pfn`` on at the tail, ascending."""
        self.blocks += count
        if self._runs:
            first, before = self._runs[-1]
            if first + before * self._size == pfn:
                self._runs[-1] = first, before + count
                return
        self._runs.append((pfn, count))

    def head(self) -> int:
        """The first frame of the block at the head."""
        return self._runs[0][0]

    def pop(self) -> int:
        """Take the block at the head."""
        first, count = self._runs[0]
        self.blocks -= 1
        if count > 1:
            self._runs[0] = first + self._size, count - 1
        else:
            self._runs.popleft()
        return first

    def __contains__(self, pfn: int) -> bool:
        return self._run_of(pfn) is not None

    def remove(self, pfn: int) -> None:
        """Take a block that is on the list."""
        index = self._run_of(pfn)
        assert index is not None
        first, count = self._runs[index]
        before = (pfn - first) // self._size
        parts = [(first, before), (pfn + self._size, count - before - 1)]
        del self._runs[index]
        for part in reversed(parts):
            if part[1]:
                self._runs.insert(index, part)
        self.blocks -= 1

    def _run_of(self, pfn: int) -> int | None:
        for index, (first, count) in enumerate(self._runs):
            if first <= pfn < first + count * self._size:
                return index
        return None

    def array(self) -> NDArray[np.uint64]:
        """The first frames of all blocks, from head to tail."""
        parts = [
            np.uint64(first) + np.arange(count, dtype=np.uint64) * np.uint64(self._size)
            for first, count in self._runs
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


class FreeArea:
    """The free blocks of a zone, by first page frame.

    ``pages``: free pages by migrate type. ``place``: order and migrate type of each block by its
    first frame; blocks of the largest order are not in it.
    """

    __slots__ = ("_largest", "_lists", "max_order", "pages", "place")

    def __init__(self, max_order: int) -> None:
        self.max_order = max_order
        self.pages = [0] * len(MIGRATE_TYPES)
        self.place: dict[int, tuple[int, int]] = {}
        self._lists: list[list[OrderedDict[int, None]]] = [
            [OrderedDict() for _ in MIGRATE_TYPES] for _ in range(max_order)
        ]
        self._largest = [Runs(max_order) for _ in MIGRATE_TYPES]

    def blocks(self, order: int, kind: int) -> int:
        """How many blocks are on a list."""
        if order == self.max_order:
            return self._largest[kind].blocks
        return len(self._lists[order][kind])

    def head(self, order: int, kind: int) -> int:
        """The block at the head of a list, which must have one."""
        if order == self.max_order:
            return self._largest[kind].head()
        return next(iter(self._lists[order][kind]))

    def add(self, pfn: int, order: int, kind: int, *, to_tail: bool = False) -> None:
        """Put a block at the head of its list, or at the tail."""
        self.pages[kind] += 1 << order
        if order == self.max_order:
            self._largest[kind].add(pfn, to_tail=to_tail)
            return
        blocks = self._lists[order][kind]
        blocks[pfn] = None
        if not to_tail:
            blocks.move_to_end(pfn, last=False)
        self.place[pfn] = order, kind

    def add_largest(self, pfn: int, count: int, kind: int) -> None:
        """Put ``count`` blocks of the largest order at the tail, ascending from ``pfn``."""
        self.pages[kind] += count << self.max_order
        self._largest[kind].add_run(pfn, count)

    def block_of(self, pfn: int) -> tuple[int, int] | None:
        """The free block that a frame is in: (first frame, order); None if it is not free."""
        for order in range(self.max_order):
            first = pfn & -(1 << order)
            found = self.place.get(first)
            if found is not None and found[0] == order:
                return first, order
        first = pfn & -(1 << self.max_order)
        if any(first in blocks for blocks in self._largest):
            return first, self.max_order
        return None

    def take(self, pfn: int, order: int) -> None:
        """Take a block off its list, whatever its order."""
        if order < self.max_order:
            self.remove(pfn)
            return
        kind = next(k for k, blocks in enumerate(self._largest) if pfn in blocks)
        self._largest[kind].remove(pfn)
        self.pages[kind] -= 1 << order

    def remove(self, pfn: int) -> None:
        """Take a block, not one of the largest order, off its list."""
        order, kind = self.place.pop(pfn)
        del self._lists[order][kind][pfn]
        self.pages[kind] -= 1 << order

    def pop(self, order: int, kind: int) -> int:
        """Take the block at the head of a list, which must have one."""
        self.pages[kind] -= 1 << order
        if order == self.max_order:
            return self._largest[kind].pop()
        pfn, _ = self._lists[order][kind].popitem(last=False)
        del self.place[pfn]
        return pfn

    def smallest(self, order: int, kind: int) -> int | None:
        """The smallest order, ``order`` or more, of which the type has a block; None for none."""
        for current in range(order, self.max_order):
            if self._lists[current][kind]:
                return current
        return self.max_order if self._largest[kind].blocks else None

    def array(self, order: int, kind: int) -> NDArray[np.uint64]:
        """The blocks of a list, from head to tail."""
        if order == self.max_order:
            return self._largest[kind].array()
        blocks: Iterable[int] = self._lists[order][kind]
        return np.array(list(blocks), np.uint64)
