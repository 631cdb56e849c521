"""A whole address space as columns: what is mapped where, as what, and by which table."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.mmu.attribute_table import AttributeTable
from ttbr.mmu.tables import Tables, Unreadable


@dataclass(frozen=True)
class Mappings:
    """The leaves of an address space in ascending order of VA, a row for each descriptor.

    ``va``, ``pa``, ``size`` (bytes that this one descriptor maps): uint64. ``level``: int8.
    ``attributes``: int16, an index into ``attribute_values``, ``attribute_keys`` and
    ``attribute_spans``. ``table``: physical address of the table that holds the descriptor.
    ``tables``: all tables met; ``unreadable``: those that memory does not hold; ``misdirected``:
    number of leaves left out because their output address exceeds the regime's size;
    ``truncated``: what else was left out and why, or None.
    """

    va: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    size: NDArray[np.uint64]
    level: NDArray[np.int8]
    attributes: NDArray[np.int16]
    table: NDArray[np.uint64]
    attribute_table: AttributeTable = field(repr=False)
    tables: Tables = field(repr=False)
    unreadable: Unreadable = field(repr=False)
    misdirected: int = 0
    truncated: str | None = None

    def __len__(self) -> int:
        return len(self.va)

    @property
    def last(self) -> NDArray[np.uint64]:
        """The last address of each row (inclusive: the end may be 2**64)."""
        return self.va + (self.size - np.uint64(1))

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
        return Mappings(
            self.va[mask],
            self.pa[mask],
            self.size[mask],
            self.level[mask],
            self.attributes[mask],
            self.table[mask],
            self.attribute_table,
            self.tables,
            self.unreadable,
            self.misdirected,
            self.truncated,
        )

    @cached_property
    def _by_pa(self) -> list[tuple[int, NDArray[np.uint64], NDArray[np.intp]]]:
        """For each size: its shift, sorted frame numbers of that size, and the rows they are in.

        An output address is a multiple of what the descriptor maps, so a physical address lies
        in a row exactly if it has the row's frame number.
        """
        index = []
        for size in np.unique(self.size):
            rows = np.flatnonzero(self.size == size)
            shift = int(size).bit_length() - 1
            frames = self.pa[rows] >> np.uint64(shift)
            order = np.argsort(frames, kind="stable")
            index.append((shift, frames[order], rows[order]))
        return index

    def reverse(self, pa: int) -> NDArray[np.uint64]:
        """Every virtual address, ascending, that is mapped to the physical address ``pa``."""
        return self.reverse_many(np.array([pa], np.uint64))[1]

    def reverse_many(self, pas: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """As `reverse`, for many: (index into ``pas``, virtual address), sorted by both."""
        which: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
        found: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        for shift, frames, rows in self._by_pa:
            wanted = pas >> np.uint64(shift)
            low = np.searchsorted(frames, wanted, side="left")
            counts = np.searchsorted(frames, wanted, side="right") - low
            source = np.repeat(np.arange(len(pas)), counts)
            # 0, 1, 2, … within each address's own run of equal frames
            within = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
            hits = rows[np.repeat(low, counts) + within]
            offset = pas[source] & np.uint64((1 << shift) - 1)
            which.append(source)
            found.append(self.va[hits] + offset)
        index, vas = np.concatenate(which), np.concatenate(found)
        order = np.lexsort((vas, index))
        return index[order], vas[order]

    def regions(self, contiguous_pa: bool = True) -> "Regions":
        """Merge rows that follow each other in VA with equal attributes.

        With ``contiguous_pa`` they must follow each other in physical memory, too. Equal means
        what the leaves say: blocks and pages of one kind merge.
        """
        if not len(self):
            empty = np.zeros(0, np.intp)
            return Regions(self, empty, empty)
        same: dict[Attributes, int] = {}
        value = np.array([same.setdefault(v, len(same)) for v in self.attribute_values])
        kind = value[self.attributes]
        head = np.ones(len(self), np.bool_)
        head[1:] = (self.va[1:] != self.last[:-1] + np.uint64(1)) | (kind[1:] != kind[:-1])
        if contiguous_pa:
            head[1:] |= self.pa[1:] != self.pa[:-1] + self.size[:-1]
        first = np.flatnonzero(head)
        return Regions(self, first, np.diff(first, append=len(self)))


@dataclass(frozen=True, slots=True)
class Regions:
    """Runs of rows of a `Mappings`: ``first`` row and number of ``rows`` of each region."""

    mappings: Mappings
    first: NDArray[np.intp]
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def va(self) -> NDArray[np.uint64]:
        """First virtual address of each region."""
        return self.mappings.va[self.first]

    @property
    def pa(self) -> NDArray[np.uint64]:
        """Physical address of the first byte of each region."""
        return self.mappings.pa[self.first]

    @property
    def last(self) -> NDArray[np.uint64]:
        """Last virtual address of each region (inclusive: the end may be 2**64)."""
        last: NDArray[np.uint64] = self.mappings.last[self.first + self.rows - 1]
        return last

    @property
    def size(self) -> NDArray[np.uint64]:
        """Bytes of each region."""
        size: NDArray[np.uint64] = self.last - self.va + np.uint64(1)
        return size

    @property
    def attributes(self) -> NDArray[np.int16]:
        """Index into the mappings' ``attribute_values`` of each region."""
        return self.mappings.attributes[self.first]

    def levels(self) -> list[tuple[int, ...]]:
        """The levels of the leaves of each region, ascending."""
        if not len(self):
            return []
        # One bit a level, from level −1 up.
        bits = np.left_shift(1, self.mappings.level.astype(np.int64) + 1)
        found: dict[int, tuple[int, ...]] = {}
        masks = np.bitwise_or.reduceat(bits, self.first)
        for mask in np.unique(masks).tolist():
            found[mask] = tuple(bit - 1 for bit in range(mask.bit_length()) if mask >> bit & 1)
        return [found[mask] for mask in masks.tolist()]
