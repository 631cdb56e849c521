"""The translation tables of a space as a tree: what each covers, how full it is, what it costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import Level, TranslationRegime
from ttbr.mmu.mappings import Mappings

MOST_CHILDREN = 1024
"""Tables below one that are listed."""


@dataclass(frozen=True, slots=True)
class TableNode:
    """One table in one place: ``pa``, ``level``, the lowest ``va`` that it translates.

    ``span``: bytes that it translates; ``entries`` of which ``leaves`` map and ``tables`` lead to
    further tables; ``size`` in bytes; ``places`` in which this table is used.
    """

    pa: int
    level: int
    va: int
    span: int
    entries: int
    leaves: int
    tables: int
    size: int
    places: int

    @property
    def used(self) -> int:
        """Entries that are not empty."""
        return self.leaves + self.tables


class TableTree:
    """The tables that `Mappings.tables` lists."""

    def __init__(self, mappings: Mappings) -> None:
        regime: TranslationRegime = mappings.attribute_table.regime
        self._levels: dict[int, Level] = {level.number: level for level in regime.levels}
        self._entry_size = regime.format.entry_size
        self._runs = mappings.runs
        tables, shared = mappings.tables, mappings.shared
        self._rows: dict[int, tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int32]]] = {}
        for number in self._levels:
            rows = np.flatnonzero(tables.level == number)
            rows = rows[np.argsort(tables.va[rows], kind="stable")]
            self._rows[number] = tables.va[rows], tables.address[rows], tables.entries[rows]
        self._places = dict(
            zip(
                zip(shared.address.tolist(), shared.level.tolist(), strict=True),
                shared.reached.tolist(),
                strict=True,
            )
        )

    def root(self) -> TableNode | None:
        """The root; None where memory does not hold it."""
        first = next(iter(self._levels))
        va, _, _ = self._rows[first]
        return self._node(first, 0) if len(va) else None

    def children(self, node: TableNode) -> tuple[list[TableNode], int]:
        """The tables below one by address, and how many more there are."""
        rows = self._below(node.level + 1, node.va, node.span)
        shown = range(rows.start, min(rows.stop, rows.start + MOST_CHILDREN))
        return [self._node(node.level + 1, row) for row in shown], rows.stop - shown.stop

    def _below(self, level: int, va: int, span: int) -> slice:
        if level not in self._rows:
            return slice(0, 0)
        ends = np.array([va, va + span - 1], np.uint64)
        vas = self._rows[level][0]
        low = int(np.searchsorted(vas, ends[0]))
        return slice(low, int(np.searchsorted(vas, ends[1], side="right")))

    def _node(self, number: int, row: int) -> TableNode:
        vas, pas, counts = self._rows[number]
        va, pa, entries = int(vas[row]), int(pas[row]), int(counts[row])
        span = entries << self._levels[number].shift
        rows = self._below(number + 1, va, span)
        runs = self._runs
        ends = np.array([va, va + span - 1], np.uint64)
        low = int(np.searchsorted(runs.va, ends[0]))
        high = int(np.searchsorted(runs.va, ends[1], side="right"))
        own = runs.level[low:high] == number
        return TableNode(
            pa,
            number,
            va,
            span,
            entries,
            int(runs.leaves[low:high][own].sum()),
            rows.stop - rows.start,
            entries * self._entry_size,
            self._places.get((pa, number), 1),
        )
