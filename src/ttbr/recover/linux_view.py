"""A whole address space as Linux sees it: its pages, what it has swapped out, what is moving."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.walk import Batch
from ttbr.recover.linux_reading import KINDS, LinuxReader, Readings


@dataclass(frozen=True, slots=True)
class LinuxView:
    """Linux's entries in ascending order of VA, as columns of equal length.

    ``va``; ``size``: bytes that the entry stands for; ``level``; ``entry``: the word as Linux has
    it (0 where it has none: a section, or a table that is not Linux's); ``readings``: what it
    means. ``truncated`` says what the walk left out, or None.
    """

    va: NDArray[np.uint64]
    size: NDArray[np.uint64]
    level: NDArray[np.int8]
    entry: NDArray[np.uint64]
    readings: Readings
    truncated: str | None

    def __len__(self) -> int:
        return len(self.va)

    def counts(self) -> dict[str, int]:
        """How many entries of each kind there are."""
        numbers = np.bincount(self.readings.kind, minlength=len(KINDS)).tolist()
        return {kind: count for kind, count in zip(KINDS, numbers, strict=True) if count}

    def runs(self) -> NDArray[np.intp]:
        """The first row of each run: entries that follow each other in all respects."""
        if not len(self):
            return np.zeros(0, np.intp)
        read = self.readings
        page = self.size.min()
        # A page or a place in swap, as a number that grows by what an entry stands for
        place = np.where(read.has_page, read.pa, read.swap_offset * page)
        head = np.ones(len(self), np.bool_)
        head[1:] = self.va[1:] != self.va[:-1] + self.size[:-1]
        head[1:] |= place[1:] != place[:-1] + self.size[:-1]
        for column in (self.level, read.kind, read.flags, read.swap_type):
            head[1:] |= column[1:] != column[:-1]
        return np.flatnonzero(head)


def linux_view(
    space: AddressSpace, reader: LinuxReader, start: int = 0, end: int = 1 << 64
) -> LinuxView:
    """Every entry of ``space`` that is not empty to Linux, of addresses in [``start``, ``end``).

    ``reader`` is for the regime of the space. A table that memory does not hold has no entries.
    """
    walk = space.walk(start, end)
    parts = [part for batch in walk.batches() for part in [_part(space, reader, batch)] if part]
    if not parts:
        word, small = np.zeros(0, np.uint64), np.zeros(0, np.uint8)
        none = Readings(small, word, small.astype(np.int16), word, small.astype(np.uint16))
        return LinuxView(word, word, small.astype(np.int8), word, none, walk.truncated)
    va = np.concatenate([part.va for part in parts])
    order = np.argsort(va, kind="stable")
    readings = (
        np.concatenate([getattr(part.readings, field.name) for part in parts])[order]
        for field in fields(Readings)
    )
    return LinuxView(
        va[order],
        np.concatenate([part.size for part in parts])[order],
        np.concatenate([part.level for part in parts])[order],
        np.concatenate([part.entry for part in parts])[order],
        Readings(*readings),
        walk.truncated,
    )


def _part(space: AddressSpace, reader: LinuxReader, batch: Batch) -> LinuxView | None:
    """The entries of some tables; None without any."""
    number, shift = batch.level.number, batch.level.shift
    kinds, words = batch.kinds, batch.words
    chosen = (kinds == Kind.BLOCK) | (kinds == Kind.PAGE)
    entries = words
    if reader.has_entries(number):
        if reader.entries.distance:
            # Linux's table lies below the hardware's in the same page
            address = batch.address - np.uint64(-reader.entries.distance)
            size = space.regime.format.entry_size
            entries, _ = space.memory.read_words(address, batch.level.entries, size)
        software = ~chosen & (kinds != Kind.TABLE) & (entries != 0)
        chosen |= software if batch.inside is None else software & batch.inside
    elif reader.entries.distance:
        entries = np.zeros_like(words)
    row, column = np.nonzero(chosen)
    if not len(row):
        return None
    va = batch.entry_va(row, column)
    found = entries[row, column]
    return LinuxView(
        va,
        np.full(len(va), 1 << shift, np.uint64),
        np.full(len(va), number, np.int8),
        found,
        reader.read(found, words[row, column], number, va),
        None,
    )
