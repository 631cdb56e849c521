"""Runs of leaves: neighbouring entries of one table that map neighbouring memory alike.

Nearly all of a kernel's map is like that, and such entries differ by exactly what one of them maps.
So whole spaces are found, kept and compared as runs, whose number does not grow with memory; a
row for each descriptor is only made where somebody asks for rows.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Runs:
    """Leaves in runs, as columns of equal length.

    ``va``, ``pa``: of the first leaf. ``leaves``: how many there are, int64. ``size``: bytes that
    each of them maps, uint64. ``level``: int8. ``attributes``: index of their common attributes,
    int16. ``table``: physical address of the table that holds them.
    """

    va: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    leaves: NDArray[np.int64]
    size: NDArray[np.uint64]
    level: NDArray[np.int8]
    attributes: NDArray[np.int16]
    table: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.va)

    @classmethod
    def joined(cls, parts: list["Runs"]) -> "Runs":
        """All runs of the parts in ascending order of VA; no parts make no runs.

        Uses the parts up: what they hold is let go column by column, so that there is never room
        taken for much more than the result.
        """
        word, none = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        empty = cls(word, word, none, word, np.zeros(0, np.int8), np.zeros(0, np.int16), word)
        names = [field.name for field in fields(cls)]
        left = {name: [getattr(part, name) for part in parts or [empty]] for name in names}
        parts.clear()
        va = _concatenated(left.pop("va"))
        order = None
        if (va[1:] <= va[:-1]).any():
            order = np.argsort(va, kind="stable")
            va = va[order]
        columns = {"va": va}
        for name in names[1:]:
            column = _concatenated(left.pop(name))
            columns[name] = column if order is None else column[order]
        return cls(**columns)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Runs":
        """Some of the runs."""
        return Runs(*(getattr(self, field.name)[which] for field in fields(self)))

    @cached_property
    def bytes(self) -> NDArray[np.uint64]:
        """Bytes that each run maps."""
        return self.leaves.astype(np.uint64) * self.size

    @cached_property
    def last(self) -> NDArray[np.uint64]:
        """The last address of each run (inclusive: the end may be 2**64)."""
        return self.va + (self.bytes - np.uint64(1))

    @cached_property
    def first_row(self) -> NDArray[np.int64]:
        """The number of leaves in all runs before each."""
        return np.cumsum(self.leaves) - self.leaves

    def merged(self) -> "Runs":
        """The same leaves with a run that goes on in the next one joined to it.

        That is in VA and PA, of the same size, level and attributes; ``table`` is the first's.
        """
        head = np.ones(len(self), np.bool_)
        np.not_equal(self.va[1:], self.va[:-1] + self.bytes[:-1], out=head[1:])
        head[1:] |= self.pa[1:] != self.pa[:-1] + self.bytes[:-1]
        for column in (self.attributes, self.level, self.size):
            head[1:] |= column[1:] != column[:-1]
        first = np.flatnonzero(head)
        if len(first) == len(self):
            return self
        return replace(self.chosen(first), leaves=np.add.reduceat(self.leaves, first))

    def stepped(self, column: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """A column of addresses as rows: the address of each leaf."""
        within = np.arange(int(self.leaves.sum()), dtype=np.int64)
        within -= np.repeat(self.first_row, self.leaves)
        offsets = within.astype(np.uint64) * np.repeat(self.size, self.leaves)
        return np.repeat(column, self.leaves) + offsets

    def single(self) -> "Runs":
        """The same leaves, each as a run of its own."""
        return Runs(
            self.stepped(self.va),
            self.stepped(self.pa),
            np.ones(int(self.leaves.sum()), np.int64),
            np.repeat(self.size, self.leaves),
            np.repeat(self.level, self.leaves),
            np.repeat(self.attributes, self.leaves),
            np.repeat(self.table, self.leaves),
        )


def _concatenated(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
