"""Walking whole translation-table trees: all tables of a level at once, as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.faults import FaultKind
from ttbr.arch.format import DescriptorFormat, Kind
from ttbr.arch.regime import Level, TranslationRegime
from ttbr.memory.physical import PhysicalMemory
from ttbr.memory.words import Words
from ttbr.mmu.table_graph import (
    DESCRIPTORS_AT_ONCE,
    Edges,
    Indices,
    Nodes,
    Reader,
    TableGraph,
    build,
    chunks,
)
from ttbr.mmu.tables import FAULT_CODE, Shared, Tables, Unreadable

ALL_ADDRESSES = (1 << 64) - 1

_NO_WORDS, _NO_LEVELS = np.zeros(0, np.uint64), np.zeros(0, np.int8)
NONE_SHARED = Shared(_NO_WORDS, _NO_LEVELS, np.zeros(0, np.int64), np.zeros(0, np.int64))
NONE_UNREADABLE = Unreadable(_NO_WORDS, _NO_LEVELS, _NO_WORDS, np.zeros(0, np.uint8))

CACHED = 1 << 22
"""Entries of tables from which on the order in which they are read matters."""

LEAST_ENTRIES = 1 << 16
MOST_ENTRIES = 1 << 27


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a walk may look at: ``entries`` of tables in all, each time that a table is reached.

    A tree that uses each table once has no more entries than memory has room for. What has more
    shares tables, or refers to itself: then the tables that are reached most often are followed
    only where they are reached first, so that the rest fits.
    """

    entries: int

    @classmethod
    def of(cls, memory: PhysicalMemory, entry_size: int = 8) -> "Budget":
        """As many entries as ``memory`` has room for, but 2**16 at least and 2**27 at most.

        So time and memory of a walk grow with the size of the image, and end at 2**27 leaves.
        """
        room = sum(bank.size for bank in memory.banks) // entry_size
        return cls(max(LEAST_ENTRIES, min(room, MOST_ENTRIES)))

    @property
    def rows(self) -> int:
        """Leaves in a result: each is an entry that was looked at."""
        return self.entries


@dataclass(frozen=True)
class Batch:
    """Some tables of one level with their descriptors, ``n`` tables of ``count`` entries.

    ``address``, ``va`` (lowest translated), ``limits`` (inherited from the tables above) have
    shape (n,); ``tables`` are their words where they lie. ``bounds``: the first and the last
    address of the walk's range, None if that is all.
    """

    format: DescriptorFormat
    level: Level
    address: NDArray[np.uint64]
    va: NDArray[np.uint64]
    limits: NDArray[np.uint16]
    tables: Words
    bounds: tuple[int, int] | None

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The descriptors in the shape (n, count)."""
        return self.tables.gathered()

    @cached_property
    def inside(self) -> NDArray[np.bool_] | None:
        """Which entries the range of the walk touches, shape (n, count); None for all."""
        if self.bounds is None:
            return None
        first, last = self.bounds
        offsets = np.arange(self.level.entries, dtype=np.uint64) << np.uint64(self.level.shift)
        low = self.va[:, None] + offsets
        high = low + np.uint64((1 << self.level.shift) - 1)
        return (high >= np.uint64(first)) & (low <= np.uint64(last))

    @cached_property
    def kinds(self) -> NDArray[np.uint8]:
        """The `Kind` of each entry, INVALID for those outside the range of the walk."""
        kinds = self.format.kinds(self.words, self.level.number)
        return kinds if self.inside is None else np.where(self.inside, kinds, Kind.INVALID)

    def entry_va(self, row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.uint64]:
        """The lowest address that each of the given entries translates."""
        return self.va[row] + (column.astype(np.uint64) << np.uint64(self.level.shift))


@dataclass(frozen=True, slots=True)
class _Visits:
    """The places of the tables of one level, ascending by ``va``; ``node`` indexes its nodes."""

    node: Indices
    va: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.node)


class Walk:
    """One walk through the tables below a root, within ``first``…``last`` (virtual, inclusive).

    Iterate over ``batches()`` to its end; then ``tables()``, ``unreadable()`` and ``truncated``
    say what was seen, what could not be read, and what was cut short and why.
    """

    def __init__(
        self,
        regime: TranslationRegime,
        root: int,
        memory: PhysicalMemory,
        budget: Budget,
        *,
        first: int = 0,
        last: int = ALL_ADDRESSES,
    ) -> None:
        self.regime = regime
        self.root = root
        self.memory = memory
        self.budget = budget
        self.first, self.last = first, last
        self._cuts: list[str] = []
        self._shared: list[Shared] = []
        self._tables: list[tuple[NDArray[np.uint64], NDArray[np.uint64], Level]] = []
        self._lost: list[tuple[NDArray[np.uint64], NDArray[np.uint64], int, FaultKind]] = []

    @property
    def truncated(self) -> str | None:
        """What the walk left out and why, or None if it is complete."""
        return "; ".join(self._cuts) or None

    def cut(self, text: str) -> None:
        """Note that something is left out of the result."""
        self._cuts.append(text)

    @cached_property
    def graph(self) -> TableGraph | None:
        """The tables that there are; None where nothing is walked at all."""
        regime = self.regime
        if self.first > self.last or regime.disabled or self.root >> regime.output_bits:
            return None
        tables = Reader(self._in_place, self._gather, self._touched)
        return build(regime, self.root, tables, self.first, self.last, self.budget.entries)

    def batches(
        self, at_once: int = DESCRIPTORS_AT_ONCE, *, any_order: bool = False
    ) -> Iterator[Batch]:
        """The tables of each level, the root's first, each level in ascending order of VA.

        A table is in it as often as it is reached, or, where that is too often, once. A batch has
        about ``at_once`` descriptors at most. With ``any_order`` many tables of a level come in the
        order in which they lie in memory, unless something has to be left out.
        """
        regime, graph = self.regime, self.graph
        if graph is None:
            self._nothing_walked()
            return
        self._cuts += graph.cut
        listed = self._fold(graph)
        visits = _Visits(np.zeros(1, np.intp), _column(regime.base))
        for depth, level in enumerate(regime.levels[: len(graph.nodes)]):
            nodes = graph.nodes[depth]
            readable = nodes.readable[visits.node]
            if not readable.all():
                # The descriptors that name them are of the level above, which the hardware reports
                lost, above = visits.node[~readable], level.number - 1
                self._lose(nodes.address[lost], visits.va[~readable], above, FaultKind.ADDRESS_SIZE)
            rows = np.flatnonzero(readable)
            if any_order and len(rows) * level.entries > CACHED and self._fits(graph, listed):
                rows = rows[np.argsort(nodes.address[visits.node[rows]], kind="stable")]
            for chosen in chunks(rows, level, at_once):
                if len(chosen):
                    yield self._read(nodes, visits, chosen, level)
            if depth < len(graph.edges):
                edges = graph.edges[depth]
                if graph.is_tree:  # each table has one place, and they are in order
                    visits = _Visits(edges.child, visits.va[edges.parent] + edges.va_offset)
                else:
                    visits = _visits_below(visits, edges, listed[depth + 1])

    def _fits(self, graph: TableGraph, listed: list[NDArray[np.int64]]) -> bool:
        """Whether nothing has to be left out of what ``listed`` says."""
        return graph.entries(listed or graph.reached()) <= self.budget.entries

    def _nothing_walked(self) -> None:
        regime = self.regime
        if self.first > self.last:
            return
        if regime.disabled:
            self.cut(f"nothing walked: the registers disable walks through {regime.root_register}")
        else:
            self._lose(_column(self.root), _column(regime.base), 0, FaultKind.ADDRESS_SIZE)

    def _fold(self, graph: TableGraph) -> list[NDArray[np.int64]]:
        """How often each node is listed, so that all fits the budget; notes what is shared.

        In a tree, where nothing is shared, that is once, and the list is empty.
        """
        if graph.is_tree:
            return []
        reached = listed = graph.reached()
        most = int(max(counts.max() for counts in reached))
        while graph.entries(listed) > self.budget.entries and most > 1:
            # The largest power of two that is less: few steps, and the same for the same tables
            most = 1 << (most - 1).bit_length() - 1
            listed = graph.reached(most)
        for level, nodes, counts, kept in zip(
            graph.levels, graph.nodes, reached, listed, strict=False
        ):
            often = np.flatnonzero(counts > 1)
            if len(often):
                self._shared.append(
                    Shared(
                        nodes.address[often],
                        np.full(len(often), level.number, np.int8),
                        counts[often],
                        kept[often],
                    )
                )
            folded = np.flatnonzero(kept < counts)
            if len(folded):
                most_used = folded[np.argmax(counts[folded])]
                places = int(counts[folded].sum())
                self.cut(
                    f"tables of level {level.number} not followed in "
                    f"{places - int(kept[folded].sum())} of {places} places: shared, or referring "
                    f"to themselves; {int(nodes.address[most_used]):#x} in "
                    f"{int(counts[most_used])} places"
                )
        return listed

    def _gather(self, address: NDArray[np.uint64], level: Level) -> NDArray[np.uint64]:
        """Tables with zeros where memory does not hold them."""
        return self._words(address, level)[0]

    def _in_place(self, address: NDArray[np.uint64], level: Level) -> Words | None:
        return self.memory.in_place(address, level.entries, self.regime.format.entry_size)

    def _words(
        self, address: NDArray[np.uint64], level: Level
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Tables; whether memory holds each of them wholly, and at least partly."""
        size = self.regime.format.entry_size
        words, present = self.memory.read_words(address, level.entries, size)
        if present.all():
            return words, present, present
        touched = ~present
        touched[touched] = self._touched(address[touched], level.entries * size)
        words[touched] = self._entries(address[touched], level.entries, size)
        return words, present, present | touched

    def _read(self, nodes: Nodes, visits: _Visits, chosen: Indices, level: Level) -> Batch:
        """The tables of some visits, each read once; those that memory lacks are noted."""
        node, va = visits.node[chosen], visits.va[chosen]
        address = nodes.address[node]
        if nodes.tables is not None:
            tables = nodes.tables.rows(node)
            self._tables.append((address, va, level))
        else:
            distinct, which = np.unique(address, return_inverse=True)
            words, whole, some = self._words(distinct, level)
            which = which.reshape(-1)
            tables = Words(words.reshape(-1), which * level.entries, level.entries)
            whole, some = whole[which], some[which]
            if not whole.all():
                self._lose(address[~whole], va[~whole], level.number, FaultKind.EXTERNAL)
            self._tables.append((address[some], va[some], level))
        bounds = None
        if self.first > 0 or self.last < ALL_ADDRESSES:
            bounds = self.first, self.last
        return Batch(self.regime.format, level, address, va, nodes.limits[node], tables, bounds)

    def _touched(self, address: NDArray[np.uint64], size: int) -> NDArray[np.bool_]:
        """Which tables are partly in memory: a bank may end, or a dump may be cut, within one."""
        touched = np.zeros(len(address), np.bool_)
        for bank in self.memory.banks:
            last = np.uint64(bank.end - 1)
            touched |= (address <= last) & (address + np.uint64(size - 1) >= np.uint64(bank.base))
        return touched

    def _entries(self, address: NDArray[np.uint64], count: int, size: int) -> NDArray[np.uint64]:
        """The entries of tables one by one; zero where memory does not hold them."""
        places = address[:, None] + np.arange(count, dtype=np.uint64) * np.uint64(size)
        words, _ = self.memory.read_words(places.reshape(-1), 1, size)
        return words.reshape(-1, count)

    def _lose(
        self, address: NDArray[np.uint64], va: NDArray[np.uint64], level: int, fault: FaultKind
    ) -> None:
        self._lost.append((address, va, level, fault))

    def tables(self) -> Tables:
        """Every table visited so far."""
        seen = self._tables
        return Tables(
            _joined([address for address, _, _ in seen]),
            _repeated([(len(a), level.number) for a, _, level in seen]).astype(np.int8),
            _joined([va for _, va, _ in seen]),
            _repeated([(len(a), level.entries) for a, _, level in seen]).astype(np.int32),
        )

    def shared(self) -> Shared:
        """The tables that are reached more than once, and how often."""
        parts = self._shared
        if not parts:
            return NONE_SHARED
        return Shared(
            _joined([part.address for part in parts]),
            np.concatenate([np.zeros(0, np.int8), *(part.level for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.reached for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.listed for part in parts)]),
        )

    def unreadable(self) -> Unreadable:
        """Every table that could not be read so far."""
        lost = self._lost
        if not lost:
            return NONE_UNREADABLE
        return Unreadable(
            _joined([address for address, _, _, _ in lost]),
            _repeated([(len(a), level) for a, _, level, _ in lost]).astype(np.int8),
            _joined([va for _, va, _, _ in lost]),
            _repeated([(len(a), FAULT_CODE[f]) for a, _, _, f in lost]).astype(np.uint8),
        )


def _visits_below(visits: _Visits, edges: Edges, listed: NDArray[np.int64]) -> _Visits:
    """The places of the tables that those of ``visits`` name; ``listed`` as `Walk._fold` gives it.

    A table that is listed once has its first place only.
    """
    once = listed[edges.child] == 1
    # Where it is listed once, the first place of the parent is enough
    nodes = 1 + int(max(visits.node.max(), edges.parent.max()))
    first_va = np.full(nodes, ALL_ADDRESSES, np.uint64)
    np.minimum.at(first_va, visits.node, visits.va)
    va = first_va[edges.parent[once]] + edges.va_offset[once]
    child = edges.child[once]
    order = np.lexsort((va, child))
    va, child = va[order], child[order]
    head = np.ones(len(child), np.bool_)
    head[1:] = child[1:] != child[:-1]
    va, child = va[head], child[head]

    many = np.flatnonzero(~once)
    if len(many):
        parent = edges.parent[many]
        start = np.searchsorted(parent, visits.node, side="left")
        counts = np.searchsorted(parent, visits.node, side="right") - start
        visit = np.repeat(np.arange(len(visits)), counts)
        within = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
        edge = many[np.repeat(start, counts) + within]
        va = np.concatenate([va, visits.va[visit] + edges.va_offset[edge]])
        child = np.concatenate([child, edges.child[edge]])
    order = np.argsort(va, kind="stable")
    return _Visits(child[order], va[order])


def _column(value: int) -> NDArray[np.uint64]:
    return np.array([value], np.uint64)


def _joined(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _repeated(runs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """A column in which each run is ``count`` times ``value``."""
    counts = [count for count, _ in runs]
    return np.repeat(np.array([value for _, value in runs], np.int64), counts)
