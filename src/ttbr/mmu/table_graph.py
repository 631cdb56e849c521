"""The tables below a root as a graph: each once per level, whatever refers to it how often.

A tree of translation tables can have far more places than memory has pages: tables may be shared,
or refer to themselves. The graph has one node for a table at a level under given limits, so that
its size is bounded by what memory holds; how often a node is reached is counted, not walked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.arch.regime import Level, TranslationRegime

# Descriptors handled at once: bounds the temporary arrays to a few dozen MiB, whatever the image.
DESCRIPTORS_AT_ONCE = 1 << 19

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Reader:
    """How to get at tables: ``gather`` takes addresses (n,) and their level, and gives words
    (n, entries), zero where memory has none; ``held`` takes addresses and bytes of a table, and
    says which of them memory holds at least partly.
    """

    gather: Callable[[NDArray[np.uint64], Level], NDArray[np.uint64]]
    held: Callable[[NDArray[np.uint64], int], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The tables of one level, as columns in the order in which they are first named.

    ``address``: physical. ``limits``: inherited from the tables above. ``va``: lowest address
    translated, of the few nodes that are not ``whole``: those reach beyond the range of the walk,
    and are reached once. ``readable``: False where the address exceeds the output size. ``cost``:
    entries to be looked at, int64; one where memory does not hold the table.
    """

    address: NDArray[np.uint64]
    limits: NDArray[np.uint16]
    va: NDArray[np.uint64]
    whole: NDArray[np.bool_]
    readable: NDArray[np.bool_]
    cost: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.address)


@dataclass(frozen=True, slots=True)
class Edges:
    """The table descriptors of one level: ``parent`` node, ``column`` and ``child`` node.

    Ordered by parent and column. ``va_offset`` is the column's place below the parent's va.
    """

    parent: Indices
    va_offset: NDArray[np.uint64]
    child: Indices

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(frozen=True, slots=True)
class TableGraph:
    """``nodes`` of each level, root first; ``edges[i]`` lead from level i to level i + 1.

    ``cut`` says what was left out because there were too many different tables.
    """

    levels: tuple[Level, ...]
    nodes: tuple[Nodes, ...]
    edges: tuple[Edges, ...]
    cut: tuple[str, ...]

    def reached(self, most: int | None = None) -> list[NDArray[np.int64]]:
        """How often each node is reached, by level.

        With ``most``, nodes that are reached more often count once: what they lead to is then
        reached through one use of theirs only.
        """
        counts = [np.ones(1, np.int64)]
        for edges, below in zip(self.edges, self.nodes[1:], strict=True):
            # Exact: there are fewer than 2**53 places in any address space
            weights = counts[-1][edges.parent].astype(np.float64)
            found = np.bincount(edges.child, weights, len(below)).astype(np.int64)
            counts.append(found if most is None else np.where(found > most, 1, found))
        return counts

    def entries(self, reached: list[NDArray[np.int64]]) -> int:
        """The entries of all tables, each table counted as often as ``reached`` says."""
        pairs = zip(self.nodes, reached, strict=True)
        return sum(int((nodes.cost * counts).sum()) for nodes, counts in pairs)


def build(
    regime: TranslationRegime, root: int, tables: Reader, first: int, last: int, most_entries: int
) -> TableGraph:
    """The graph of the tables below ``root`` that translate addresses in ``first``…``last``.

    Both are virtual and inclusive. At most ``most_entries`` entries are looked at in each level,
    and no table twice. The last level's tables are not read.
    """
    return _Builder(regime, tables, first, last, most_entries).build(root)


class _Builder:
    def __init__(
        self, regime: TranslationRegime, tables: Reader, first: int, last: int, most_entries: int
    ) -> None:
        self._regime = regime
        self._tables = tables
        self._first, self._last = np.uint64(first), np.uint64(last)
        self._most_entries = most_entries
        self._cut: list[str] = []

    def build(self, root: int) -> TableGraph:
        regime = self._regime
        va = np.array([regime.base], np.uint64)
        space = np.uint64((1 << regime.input_bits) - 1)
        whole = (va >= self._first) & (va + space <= self._last)
        address = np.array([root], np.uint64)
        good, cost = np.ones(1, np.bool_), self._cost(address, regime.levels[0])
        nodes = [Nodes(address, np.zeros(1, np.uint16), va, whole, good, cost)]
        edges: list[Edges] = []
        for level in regime.levels[:-1]:
            found, below = self._below(nodes[-1], level)
            if not len(below):
                break
            edges.append(found)
            nodes.append(below)
        return TableGraph(regime.levels, tuple(nodes), tuple(edges), tuple(self._cut))

    def _below(self, nodes: Nodes, level: Level) -> tuple[Edges, Nodes]:
        """What the tables of one level name, and how."""
        parts = list(self._named(nodes, level))
        parent = np.concatenate([part[0] for part in parts])
        offset = np.concatenate([part[1] for part in parts])
        address = np.concatenate([part[2] for part in parts])
        limits = np.concatenate([part[3] for part in parts])
        va = nodes.va[parent] + offset
        span = np.uint64((1 << level.shift) - 1)
        inside = (va >= self._first) & (va + span <= self._last)
        whole = nodes.whole[parent] | inside
        # Tables are aligned to more than the limits have bits, so both fit into one key
        key = address | limits.astype(np.uint64)
        shared, edge = np.flatnonzero(whole), np.flatnonzero(~whole)
        distinct, at, which = np.unique(key[shared], return_index=True, return_inverse=True)
        order = np.argsort(at, kind="stable")
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        child = np.empty(len(key), np.intp)
        child[shared] = rank[which.reshape(-1)]
        child[edge] = len(distinct) + np.arange(len(edge))
        source = np.concatenate([shared[at[order]], edge])
        cost = self._cost(address[source], self._next(level))
        most = max(1, int(np.searchsorted(np.cumsum(cost), self._most_entries, side="right")))
        if len(source) > most:
            self._cut.append(
                f"{len(source) - most} tables of level {level.number + 1} not read, the first at "
                f"{int(address[source[most]]):#x}: there are more than memory has room for"
            )
            source, cost, kept = source[:most], cost[:most], child < most
            parent, offset, child = parent[kept], offset[kept], child[kept]
        readable = address[source] >> np.uint64(self._regime.output_bits) == 0
        below = Nodes(
            address[source],
            limits[source],
            va[source],
            whole[source],
            readable,
            cost,
        )
        return Edges(parent, offset, child), below

    def _named(
        self, nodes: Nodes, level: Level
    ) -> Iterator[tuple[Indices, NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint16]]]:
        """Parent, offset, address and limits of what is named, some tables at a time."""
        fmt, number = self._regime.format, level.number
        offsets = np.arange(level.entries, dtype=np.uint64) << np.uint64(level.shift)
        span = np.uint64((1 << level.shift) - 1)
        for chosen in chunks(np.flatnonzero(nodes.readable), level):
            words = self._tables.gather(nodes.address[chosen], level)
            named = fmt.kinds(words, number) == Kind.TABLE
            partial = np.flatnonzero(~nodes.whole[chosen])
            low = nodes.va[chosen[partial], None] + offsets
            named[partial] &= (low + span >= self._first) & (low <= self._last)
            row, column = np.nonzero(named)
            desc, parent = words[row, column], chosen[row]
            limits = nodes.limits[parent] | fmt.limits(desc, number)
            yield parent, offsets[column], fmt.table_address(desc, number), limits

    def _cost(self, address: NDArray[np.uint64], level: Level) -> NDArray[np.int64]:
        held = self._tables.held(address, level.entries * self._regime.format.entry_size)
        return np.where(held, level.entries, 1)

    def _next(self, level: Level) -> Level:
        return self._regime.levels[self._regime.levels.index(level) + 1]


def chunks(indices: Indices, level: Level) -> Iterator[Indices]:
    """The indices of tables of a level in parts whose descriptors are handled at once.

    There is always one, so that results can be concatenated.
    """
    step = max(1, DESCRIPTORS_AT_ONCE // level.entries)
    for start in range(0, max(len(indices), 1), step):
        yield indices[start : start + step]
