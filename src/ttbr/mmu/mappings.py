"""A whole address space as columns: what is mapped where, as what, and by which table."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.mmu.attribute_table import AttributeTable
from ttbr.mmu.frame_index import FrameIndex
from ttbr.mmu.notebook import mappings_html
from ttbr.mmu.runs import Runs
from ttbr.mmu.tables import Shared, Tables, Unreadable


@dataclass(frozen=True)
class Mappings:
    """The leaves of an address space in ascending order of VA.

    ``runs`` holds them as they are kept. The columns have a row for each descriptor and are made
    when they are first asked for: ``va``, ``pa``, ``size`` (bytes that this one descriptor maps):
    uint64. ``level``: int8. ``attributes``: int16, an index into ``attribute_values``,
    ``attribute_keys`` and ``attribute_spans``. ``table``: physical address of the table that holds
    the descriptor. ``tables``: all tables met; ``unreadable``: those that memory does not hold;
    ``shared``: those used in several places; ``misdirected``: number of leaves left out because
    their output address exceeds the regime's size; ``truncated``: what else was left out and why,
    or None.
    """

    runs: Runs = field(repr=False)
    attribute_table: AttributeTable = field(repr=False)
    tables: Tables = field(repr=False)
    unreadable: Unreadable = field(repr=False)
    shared: Shared = field(repr=False)
    misdirected: int = 0
    truncated: str | None = None

    def __len__(self) -> int:
        return int(self.runs.leaves.sum())

    @cached_property
    def va(self) -> NDArray[np.uint64]:
        """First virtual address of each row."""
        return self.runs.stepped(self.runs.va)

    @cached_property
    def pa(self) -> NDArray[np.uint64]:
        """Physical address of each row's first byte."""
        return self.runs.stepped(self.runs.pa)

    @cached_property
    def size(self) -> NDArray[np.uint64]:
        """Bytes of each row."""
        return np.repeat(self.runs.size, self.runs.leaves)

    @cached_property
    def level(self) -> NDArray[np.int8]:
        """Level of each row's descriptor."""
        return np.repeat(self.runs.level, self.runs.leaves)

    @cached_property
    def attributes(self) -> NDArray[np.int16]:
        """Index of each row's attributes."""
        return np.repeat(self.runs.attributes, self.runs.leaves)

    @cached_property
    def table(self) -> NDArray[np.uint64]:
        """Physical address of the table that holds each row's descriptor."""
        return np.repeat(self.runs.table, self.runs.leaves)

    @property
    def last(self) -> NDArray[np.uint64]:
        """The last address of each row (inclusive: the end may be 2**64)."""
        return self.va + (self.size - np.uint64(1))

    @property
    def mapped_bytes(self) -> int:
        """Bytes mapped in all."""
        return int(self.runs.bytes.sum())

    @property
    def attribute_values(self) -> list[Attributes]:
        """What the leaves say, by index; each distinct value is decoded once."""
        return self.attribute_table.values

    @property
    def attribute_keys(self) -> list[tuple[int, int, int]]:
        """(attribute bits, level, limits inherited from tables) by index."""
        return self.attribute_table.keys

    @cached_property
    def attribute_spans(self) -> NDArray[np.uint64]:
        """Bytes of the mapping that a row is part of (a contiguous run, a large page), by index."""
        return self.attribute_table.spans

    def where(self, mask: NDArray[np.bool_]) -> "Mappings":
        """The rows for which ``mask`` holds."""
        return replace(self, runs=self.runs.single().chosen(mask))

    @cached_property
    def ranges(self) -> Runs:
        """The runs, joined where one goes on in the next: what addresses are looked up in."""
        return self.runs.merged()

    @cached_property
    def range_offsets(self) -> NDArray[np.uint64]:
        """What has to be added to a virtual address of each range, modulo 2**64."""
        return self.ranges.pa - self.ranges.va

    @cached_property
    def _by_pa(self) -> FrameIndex:
        return FrameIndex(self.ranges)

    def reverse(self, pa: int) -> NDArray[np.uint64]:
        """Every virtual address, ascending, that is mapped to the physical address ``pa``."""
        return self.reverse_many(np.array([pa], np.uint64))[1]

    def reverse_many(self, pas: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """As `reverse`, for many: (index into ``pas``, virtual address), sorted by both."""
        return self._by_pa.find(pas)

    def regions(self, contiguous_pa: bool = True) -> "Regions":
        """Merge rows that follow each other in VA with equal attributes.

        With ``contiguous_pa`` they must follow each other in physical memory, too. Equal means
        what the leaves say: blocks and pages of one kind merge.
        """
        runs = self.runs
        if not len(runs):
            empty = np.zeros(0, np.intp)
            return Regions(runs, empty, empty)
        same: dict[Attributes, int] = {}
        value = [same.setdefault(v, len(same)) for v in self.attribute_values]
        kind = np.array(value, np.int16)[runs.attributes]
        head = np.ones(len(runs), np.bool_)
        np.not_equal(runs.va[1:], runs.va[:-1] + runs.bytes[:-1], out=head[1:])
        head[1:] |= kind[1:] != kind[:-1]
        if contiguous_pa:
            head[1:] |= runs.pa[1:] != runs.pa[:-1] + runs.bytes[:-1]
        first = np.flatnonzero(head)
        return Regions(runs, first, np.append(first[1:], len(runs)) - 1)

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return mappings_html(self)


@dataclass(frozen=True, slots=True)
class Regions:
    """Ranges of a space: from run ``first`` to run ``final`` (inclusive) of ``runs``."""

    runs: Runs
    first: NDArray[np.intp]
    final: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def va(self) -> NDArray[np.uint64]:
        """First virtual address of each region."""
        return self.runs.va[self.first]

    @property
    def pa(self) -> NDArray[np.uint64]:
        """Physical address of the first byte of each region."""
        return self.runs.pa[self.first]

    @property
    def last(self) -> NDArray[np.uint64]:
        """Last virtual address of each region (inclusive: the end may be 2**64)."""
        return self.runs.last[self.final]

    @property
    def size(self) -> NDArray[np.uint64]:
        """Bytes of each region."""
        return self.last - self.va + np.uint64(1)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Number of descriptors of each region."""
        ends = np.cumsum(self.runs.leaves)
        return ends[self.final] - self.runs.first_row[self.first]

    @property
    def attributes(self) -> NDArray[np.int16]:
        """Index into the mappings' ``attribute_values`` of each region."""
        return self.runs.attributes[self.first]

    def levels(self) -> list[tuple[int, ...]]:
        """The levels of the leaves of each region, ascending."""
        if not len(self):
            return []
        # A bit for each level; the lowest level there is is −1.
        bits = np.bitwise_or.reduceat(
            np.left_shift(1, self.runs.level.astype(np.int64) + 1), self.first
        )
        found = {
            value: tuple(n - 1 for n in range(value.bit_length()) if value >> n & 1)
            for value in np.unique(bits).tolist()
        }
        return [found[value] for value in bits.tolist()]
