"""The leaves of several address spaces side by side, as columns that rules compute with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.findings.finding import Mapped
from ttbr.memory.spans import Spans
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.mappings import Mappings

KERNEL = 0
"""The number of the kernel's space."""
MOST_PIECES = 1 << 22
"""Pieces that rows are cut into. Tables that map a frame a million times could have many more."""
_COLUMNS = ("space", "va", "pa", "bytes", "size", "level", "table", "kind")
_AP_READ_ONLY = 1 << 7  # AP[2] of long descriptors, which alone have DBM


@dataclass(frozen=True)
class Space:
    """An address space, whose it is (a process's name and number, or ``kernel``), all it maps."""

    owner: str
    space: AddressSpace
    mappings: Mappings


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a kind of leaf says: as its bits are (``key`` as `Mappings.attribute_keys` has it),
    and in effect.
    """

    space: AddressSpace
    key: tuple[int, int, int]
    attributes: Attributes

    @property
    def effective(self) -> Attributes:
        """The attributes with the writes for which the hardware itself would clear AP[2].

        It does so where it manages the dirty state (TCR_EL1.HD and DBM; DDI 0487, D8.5).
        """
        said = self.attributes
        if not (said.dirty_managed and self.space.regime.controls.hd):
            return said
        bits, level, limits = self.key
        return self.space.regime.attributes(bits & ~_AP_READ_ONLY, level, limits)

    def field(self, name: str) -> int | None:
        """A field of the descriptor by its architectural name; None if it has no such field."""
        bits, level, _ = self.key
        field = self.space.regime.format.layout(bits, level).by_name.get(name)
        return None if field is None else field.extract(bits)


@dataclass(frozen=True)
class Leaves:
    """Runs of leaves as columns of equal length.

    ``space``: index into `Audited.spaces`, int32. ``va``, ``pa``: first addresses; ``bytes``: of
    the run; ``size``: of one descriptor; ``table``: physical address of the table: uint64.
    ``level``: int8. ``kind``: index into ``meanings``, int32. ``incomplete``: rows are left out,
    because there would be too many.
    """

    space: NDArray[np.int32]
    va: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    bytes: NDArray[np.uint64]
    size: NDArray[np.uint64]
    level: NDArray[np.int8]
    table: NDArray[np.uint64]
    kind: NDArray[np.int32]
    meanings: tuple[Meaning, ...]
    incomplete: bool = False

    def __len__(self) -> int:
        return len(self.va)

    @classmethod
    def of(cls, spaces: Sequence[Space]) -> Leaves:
        """The leaves of all spaces; what others share with the kernel's is in it once."""
        index: dict[tuple[int, tuple[int, int, int]], int] = {}
        meanings: list[Meaning] = []
        parts = []
        for number, space in enumerate(spaces):
            runs = space.mappings.runs
            codes = []
            values = zip(
                space.mappings.attribute_keys, space.mappings.attribute_values, strict=True
            )
            for key, value in values:
                # The kernel's registers can differ from a process's: the same bits mean other
                # things. All processes have the same.
                name = min(number, 1), key
                if name not in index:
                    index[name] = len(meanings)
                    meanings.append(Meaning(space.space, key, value))
                codes.append(index[name])
            kind = np.array([*codes, 0], np.int32)[runs.attributes]
            which = np.full(len(runs), number, np.int32)
            parts.append(
                (which, runs.va, runs.pa, runs.bytes, runs.size, runs.level, runs.table, kind)
            )
        columns: dict[str, Any] = {
            name: np.concatenate(column)
            for name, column in zip(_COLUMNS, zip(*parts, strict=True), strict=True)
        }
        return cls(**columns, meanings=tuple(meanings))._unshared()

    def _unshared(self) -> Leaves:
        """Without what a process has in common with the kernel: on ARM its entries are in all."""
        kernel = self.chosen(self.space == KERNEL)
        if not len(kernel):
            return self
        row = np.searchsorted(kernel.va, self.va, side="right") - 1
        known = row >= 0
        row = np.maximum(row, 0)
        known &= self.last <= kernel.last[row]
        known &= self.va - self.pa == (kernel.va - kernel.pa)[row]
        same: dict[Attributes, int] = {}
        value = [same.setdefault(one.attributes, len(same)) for one in self.meanings]
        number = np.array(value, np.int32)
        known &= number[self.kind] == number[kernel.kind[row]]
        return self.chosen((self.space == KERNEL) | ~known)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Leaves:
        """Some of the rows."""
        return replace(self, **{name: getattr(self, name)[which] for name in _COLUMNS})

    @classmethod
    def together(cls, parts: Sequence[Leaves]) -> Leaves:
        """The rows of one or more parts of the same spaces."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS
        }
        return replace(parts[0], **columns, incomplete=any(part.incomplete for part in parts))

    @property
    def last(self) -> NDArray[np.uint64]:
        """The last virtual address of each row."""
        return self.va + (self.bytes - np.uint64(1))

    @property
    def pa_last(self) -> NDArray[np.uint64]:
        """The last physical address of each row."""
        return self.pa + (self.bytes - np.uint64(1))

    @cached_property
    def frames(self) -> Spans:
        """The physical addresses that are mapped."""
        return Spans.of(self.pa, self.pa_last)

    @property
    def is_kernel(self) -> NDArray[np.bool_]:
        """Which rows are of the kernel's space."""
        found: NDArray[np.bool_] = self.space == KERNEL
        return found

    def which(self, holds: Callable[[Meaning], bool | int]) -> NDArray[np.bool_]:
        """The rows for whose kind something holds; it is asked once for each kind."""
        by_kind = np.array([*(bool(holds(one)) for one in self.meanings), False])
        found: NDArray[np.bool_] = by_kind[self.kind]
        return found

    def says(self, holds: Callable[[Attributes], bool]) -> NDArray[np.bool_]:
        """The same of what they say in effect."""
        return self.which(lambda one: holds(one.effective))

    def within(self, frames: Spans) -> Leaves:
        """What of the rows maps one of ``frames``: rows are cut, or left out."""
        return self._cut(frames, self.pa, self.pa_last)

    def between(self, addresses: Spans) -> Leaves:
        """What of the rows is at one of the virtual ``addresses``."""
        return self._cut(addresses, self.va, self.last)

    def _cut(self, spans: Spans, by: NDArray[np.uint64], by_last: NDArray[np.uint64]) -> Leaves:
        """What of the rows lies in ``spans`` by the addresses ``by`` to ``by_last``."""
        row, span, whole = spans.pairs(by, by_last, MOST_PIECES)
        cut = self.chosen(row)
        start = np.maximum(by[row], spans.first[span])
        end = np.minimum(by_last[row], spans.last[span])
        ahead = start - by[row]
        return replace(
            cut,
            va=cut.va + ahead,
            pa=cut.pa + ahead,
            bytes=end - start + np.uint64(1),
            incomplete=self.incomplete or not whole,
        )

    def joined(self) -> tuple[Leaves, NDArray[np.int64]]:
        """Rows that follow each other in VA and PA and say the same taken together.

        With the number of descriptors of each. The rows come by space and address.
        """
        rows = self.chosen(np.lexsort((self.va, self.space)))
        one = np.uint64(1)
        steps = rows.pa_last // rows.size - rows.pa // rows.size + one
        if not len(rows):
            return rows, steps.astype(np.int64)
        same: dict[Attributes, int] = {}
        value = [same.setdefault(meaning.attributes, len(same)) for meaning in rows.meanings]
        said = np.array(value, np.int32)[rows.kind]
        head = np.ones(len(rows), np.bool_)
        head[1:] = rows.va[1:] != rows.last[:-1] + one
        head[1:] |= rows.pa[1:] != rows.pa_last[:-1] + one
        for column in (rows.space, said):
            head[1:] |= column[1:] != column[:-1]
        first = np.flatnonzero(head)
        total = np.add.reduceat(rows.bytes, first)
        count = np.add.reduceat(steps.astype(np.int64), first)
        return replace(rows.chosen(first), bytes=total), count

    def mapped(self, spaces: Sequence[Space], most: int) -> tuple[tuple[Mapped, ...], int]:
        """The ranges, at most ``most`` of them, and how many more there are."""
        rows, counts = self.joined()
        more = max(0, len(rows) - most)
        rows, counts = rows.chosen(np.arange(len(rows) - more)), counts[:most]
        found = []
        columns: list[list[Any]] = [
            column.tolist()
            for column in (
                *(rows.space, rows.va, rows.last, rows.pa, rows.size),
                *(rows.level, counts, rows.table, rows.kind),
            )
        ]
        for space, va, last, pa, size, level, count, table, kind in zip(*columns, strict=True):
            owner, where = spaces[space].owner, spaces[space].space
            entries = next(one.entries for one in where.regime.levels if one.number == level)
            entry = where.regime.format.entry_size
            place = table + ((va - where.regime.base) // size & entries - 1) * entry
            words, there = where.memory.read_words(np.array([place], np.uint64), 1, entry)
            raw = int(words[0, 0]) if there[0] else None
            attributes = self.meanings[kind].attributes
            found.append(
                Mapped(owner, where.root, va, last, pa, level, count, place, raw, attributes)
            )
        return tuple(found), more
