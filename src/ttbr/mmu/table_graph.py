"""The tables below a root as a graph: each once per level, whatever refers to it how often.

A tree of translation tables can have far more places than memory has pages: tables may be shared,
or refer to themselves. The graph has one node for a table at a level under given limits, so that
its size is bounded by what memory holds; how often a node is reached is counted, not walked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import Level, TranslationRegime
from ttbr.memory.words import Words
from ttbr.mmu.kernels import TYPE_BITS

# Descriptors handled at once: bounds the temporary arrays to a few dozen MiB, whatever the image.
DESCRIPTORS_AT_ONCE = 1 << 19

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Reader:
    """How to get at tables, by their addresses (n,) and their level.

    ``in_place`` gives them where they lie, None unless all can be had so; ``gather`` their words
    (n, entries), zero where memory has none; ``held`` (with the bytes of a table) says which of
    them memory holds at least partly.
    """

    in_place: Callable[[NDArray[np.uint64], Level], Words | None]
    gather: Callable[[NDArray[np.uint64], Level], NDArray[np.uint64]]
    held: Callable[[NDArray[np.uint64], int], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The tables of one level, as columns in the order in which they are first named.

    ``address``: physical. ``limits``: inherited from the tables above. ``va``: lowest address
    translated, of the few nodes that are not ``whole``: those reach beyond the range of the walk,
    and are reached once. ``readable``: False where the address exceeds the output size. ``cost``:
    entries to be looked at, int64; one where memory does not hold the table. ``tables``: where
    they lie; None unless all can be had so.
    """

    address: NDArray[np.uint64]
    limits: NDArray[np.uint16]
    va: NDArray[np.uint64]
    whole: NDArray[np.bool_]
    readable: NDArray[np.bool_]
    cost: NDArray[np.int64]
    tables: Words | None

    def __len__(self) -> int:
        return len(self.address)

    def first(self, most: int) -> "Nodes":
        """The first of them."""
        return Nodes(
            self.address[:most],
            self.limits[:most],
            self.va[:most],
            self.whole[:most],
            self.readable[:most],
            self.cost[:most],
            None if self.tables is None else self.tables.rows(slice(most)),
        )


@dataclass(frozen=True, slots=True)
class Edges:
    """The table descriptors of one level: ``parent`` node, ``column`` and ``child`` node.

    Ordered by parent and column. ``va_offset`` is the column's place below the parent's va.
    ``in_order``: the children are 0, 1, 2, …: each has one edge.
    """

    parent: Indices
    va_offset: NDArray[np.uint64]
    child: Indices
    in_order: bool

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(frozen=True)
class TableGraph:
    """``nodes`` of each level, root first; ``edges[i]`` lead from level i to level i + 1.

    ``cut`` says what was left out because there were too many different tables.
    """

    levels: tuple[Level, ...]
    nodes: tuple[Nodes, ...]
    edges: tuple[Edges, ...]
    cut: tuple[str, ...]

    @cached_property
    def is_tree(self) -> bool:
        """Nothing is shared: each table is named once, and they are in the order of their VA."""
        return all(edges.in_order for edges in self.edges)

    @property
    def descriptors(self) -> int:
        """Entries of all tables, each table counted once."""
        return sum(int(nodes.cost.sum()) for nodes in self.nodes)

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


@dataclass(frozen=True, slots=True)
class _Named:
    """Table descriptors, as columns: ``parent`` node, ``offset`` of the va below the parent's,
    ``address`` of the table, ``limits`` on everything in it.
    """

    parent: Indices
    offset: NDArray[np.uint64]
    address: NDArray[np.uint64]
    limits: NDArray[np.uint16]

    @classmethod
    def joined(cls, parts: list["_Named"]) -> "_Named":
        """All parts, one after the other; there is one at least."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


class _Builder:
    def __init__(
        self, regime: TranslationRegime, tables: Reader, first: int, last: int, most_entries: int
    ) -> None:
        self._regime = regime
        self._tables = tables
        self._first, self._last = np.uint64(first), np.uint64(last)
        top = regime.base + (1 << regime.input_bits) - 1
        self._bounded = first > regime.base or last < top
        self._most_entries = most_entries
        self._cut: list[str] = []

    def build(self, root: int) -> TableGraph:
        regime = self._regime
        va = np.array([regime.base], np.uint64)
        whole = np.array([not self._bounded])
        address = np.array([root], np.uint64)
        nodes = [self._nodes(address, np.zeros(1, np.uint16), va, whole, regime.levels[0])]
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
        named = _Named.joined(list(self._named(nodes, level)))
        parent, offset = named.parent, named.offset
        address, limits = named.address, named.limits
        va = nodes.va[parent] + offset
        whole = nodes.whole[parent]
        if self._bounded:
            span = np.uint64((1 << level.shift) - 1)
            whole |= (va >= self._first) & (va + span <= self._last)
        # Tables are aligned to more than the limits have bits, so both fit into one key
        key = address | limits
        in_order = not self._bounded and _distinct(key)
        child = np.arange(len(key))
        if not in_order:
            child, source = _numbered(key, whole)
            address, limits, va, whole = address[source], limits[source], va[source], whole[source]
        below = self._nodes(address, limits, va, whole, self._next(level))
        if below.cost.sum() > self._most_entries:
            ends = np.cumsum(below.cost)
            most = max(1, int(np.searchsorted(ends, self._most_entries, side="right")))
            if most < len(below):
                self._cut.append(
                    f"{len(below) - most} tables of level {level.number + 1} not read, the first "
                    f"at {int(address[most]):#x}: there are more than memory has room for"
                )
                below, kept = below.first(most), child < most
                parent, offset, child = parent[kept], offset[kept], child[kept]
        return Edges(parent, offset, child, in_order), below

    def _named(self, nodes: Nodes, level: Level) -> Iterator["_Named"]:
        """What the tables of one level name, some tables at a time."""
        fmt, number = self._regime.format, level.number
        offsets = np.arange(level.entries, dtype=np.uint64) << np.uint64(level.shift)
        span = np.uint64((1 << level.shift) - 1)
        for chosen in chunks(np.flatnonzero(nodes.readable), level, DESCRIPTORS_AT_ONCE):
            if nodes.tables is None:
                words = self._tables.gather(nodes.address[chosen], level)
            else:
                words = nodes.tables.rows(chosen).gathered()
            named = words & np.uint64(TYPE_BITS) == np.uint64(fmt.table_type)
            if self._bounded:
                whole = nodes.whole[chosen]
                low = nodes.va[chosen[~whole], None] + offsets
                named[~whole] &= (low + span >= self._first) & (low <= self._last)
            place = np.flatnonzero(named)
            row, column = place >> level.bits, place & level.entries - 1
            desc, parent = words.reshape(-1)[place], chosen[row]
            limits = nodes.limits[parent] | fmt.limits(desc, number)
            yield _Named(parent, offsets[column], fmt.table_address(desc, number), limits)

    def _nodes(
        self,
        address: NDArray[np.uint64],
        limits: NDArray[np.uint16],
        va: NDArray[np.uint64],
        whole: NDArray[np.bool_],
        level: Level,
    ) -> Nodes:
        """Tables of a level, with what they are by their addresses."""
        readable = address >> np.uint64(self._regime.output_bits) == 0
        tables = self._tables.in_place(address, level)
        cost = np.full(len(address), level.entries, np.int64)
        if tables is None:
            size = level.entries * self._regime.format.entry_size
            cost[~self._tables.held(address, size)] = 1
        return Nodes(address, limits, va, whole, readable, cost, tables)

    def _next(self, level: Level) -> Level:
        return self._regime.levels[self._regime.levels.index(level) + 1]


def _distinct(key: NDArray[np.uint64]) -> bool:
    ascending = np.sort(key)
    return bool((ascending[1:] != ascending[:-1]).all())


def _numbered(key: NDArray[np.uint64], whole: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """The node of each edge, and the edge that first names each node.

    Edges with the same ``key`` lead to one node, but those that are not ``whole`` to one of their
    own. The nodes are numbered in the order in which they are first named, those last.
    """
    shared, edge = np.flatnonzero(whole), np.flatnonzero(~whole)
    distinct, at, which = np.unique(key[shared], return_index=True, return_inverse=True)
    order = np.argsort(at, kind="stable")
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    child = np.empty(len(key), np.intp)
    child[shared] = rank[which.reshape(-1)]
    child[edge] = len(distinct) + np.arange(len(edge))
    return child, np.concatenate([shared[at[order]], edge])


def chunks(indices: Indices, level: Level, at_once: int) -> Iterator[Indices]:
    """The indices of tables of a level in parts of ``at_once`` descriptors.

    There is always one, so that results can be concatenated.
    """
    step = max(1, at_once // level.entries)
    for start in range(0, max(len(indices), 1), step):
        yield indices[start : start + step]
