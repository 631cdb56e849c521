"""Collecting the leaves of a walk into mappings."""

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.mmu.attribute_table import MOST_VALUES, AttributeTable
from ttbr.mmu.kernels import Found, scan
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.runs import Runs
from ttbr.mmu.walk import Batch, Walk

LEAVES = (Kind.BLOCK, Kind.PAGE)
_LOW = (1 << 32) - 1  # while a word counts up within these bits, nothing above them changes


class Leaves:
    """The leaves of one walk; give it every batch, then ask for the `Mappings`."""

    def __init__(self, regime: TranslationRegime, walk: Walk) -> None:
        self._regime = regime
        self._walk = walk
        self._room = walk.budget.rows
        self._attributes = AttributeTable(regime)
        self._unencoded = 0
        self._misdirected = 0
        self._runs: list[Runs] = []

    def add(self, batch: Batch) -> None:
        """The leaves of some tables of one level."""
        level = batch.level
        wanted = self._regime.format.leaf_types(level.number)
        if wanted.any():
            for found in scan(batch.tables, 1 << level.shift, wanted):
                self._add(batch, found)

    def _add(self, batch: Batch, found: Found) -> None:
        """Runs of entries that are leaves by their type."""
        level, fmt = batch.level, self._regime.format
        if batch.bounds is not None:
            found = _clipped(batch, found, *batch.bounds)
        found = self._within_budget(batch, found)
        if not len(found.row):
            return
        found, bits = self._joined(batch, found)
        va = batch.entry_va(found.row, found.column)
        pa = fmt.output_address(found.first, level.number, va)
        codes = self._attributes.encode(bits, level.number, batch.limits[found.row])
        inside = pa >> np.uint64(self._regime.output_bits) == 0
        known = inside & (codes >= 0)
        runs = Runs(
            va,
            pa,
            found.length,
            np.full(len(va), 1 << level.shift, np.uint64),
            np.full(len(va), level.number, np.int8),
            codes,
            batch.address[found.row],
        )
        if not known.all():
            self._misdirected += int(found.length[~inside].sum())
            self._unencoded += int(found.length[inside & ~known].sum())
            runs = runs.chosen(known)
        self._runs.append(runs)

    def _joined(self, batch: Batch, found: Found) -> tuple[Found, NDArray[np.uint64]]:
        """The runs, but for those whose entries do not map what adjoins alike; and the attribute
        bits of each.

        Words that count up do not if the count reaches beyond the address field, at its upper end
        or, in supersections and large pages, at its lower: such runs, which no kernel makes, are
        taken apart.
        """
        number, fmt = batch.level.number, self._regime.format
        bits = fmt.attribute_bits(found.first, number)
        # Long descriptors have the address in place, from what they map up to bit 39 at least.
        reach = batch.level.entries << batch.level.shift
        if fmt.entry_size == 8 and int((found.first & np.uint64(_LOW)).max()) + reach <= _LOW:
            return found, bits
        ahead = (found.length - 1).astype(np.uint64) << np.uint64(batch.level.shift)
        last = found.first + ahead
        va = batch.entry_va(found.row, found.column)
        whole = bits == fmt.attribute_bits(last, number)
        pa = fmt.output_address(found.first, number, va)
        end = fmt.output_address(last, number, va + ahead)
        whole &= (end == pa + ahead) & (end >> np.uint64(self._regime.output_bits) == 0)
        whole |= found.length == 1
        if whole.all():
            return found, bits
        found = _apart(found, whole, batch.level.shift)
        return found, fmt.attribute_bits(found.first, number)

    def _within_budget(self, batch: Batch, found: Found) -> Found:
        """As many leaves as there is room for; what is left out is said, once."""
        total = int(found.length.sum())
        if total <= self._room:
            self._room -= total
            return found
        room, self._room = self._room, -1
        if room < 0:
            return found.upto(0)
        ends = np.cumsum(found.length)
        cut = int(np.searchsorted(ends, room, side="right"))  # the first run that is not whole
        kept = room - int(ends[cut] - found.length[cut])
        here = slice(cut, cut + 1)
        va = int(batch.entry_va(found.row[here], found.column[here] + kept)[0])
        self._walk.cut(
            f"leaves of level {batch.level.number} from va {va:#x} on left out: more than "
            f"{self._walk.budget.rows} rows"
        )
        found = found.upto(cut + 1 if kept else cut)
        if kept:
            found.length[cut] = kept
        return found

    def mappings(self) -> Mappings:
        """Everything collected, in ascending order of VA."""
        if self._unencoded:
            self._walk.cut(
                f"{self._unencoded} leaves left out: more than {MOST_VALUES} different "
                "attributes, so these are hardly translation tables"
            )
        return Mappings(
            runs=Runs.joined(self._runs),
            attribute_table=self._attributes,
            tables=self._walk.tables(),
            unreadable=self._walk.unreadable(),
            shared=self._walk.shared(),
            misdirected=self._misdirected,
            truncated=self._walk.truncated,
        )


def _clipped(batch: Batch, found: Found, first: int, last: int) -> Found:
    """What of the runs translates an address in ``first``…``last``, by whole entries."""
    shift = np.uint64(batch.level.shift)
    low = batch.entry_va(found.row, found.column)
    low_wanted, high_wanted = np.uint64(first), np.uint64(last)
    skipped = np.where(low < low_wanted, low_wanted - low, 0) >> shift
    upto = (high_wanted - np.minimum(low, high_wanted)) >> shift
    end = np.minimum(upto.astype(np.int64) + 1, found.length)
    length = end - skipped.astype(np.int64)
    some = (low <= high_wanted) & (length > 0)
    skipped = skipped[some]
    return Found(
        found.row[some],
        found.column[some] + skipped.astype(np.int64),
        length[some],
        found.first[some] + (skipped << shift),
    )


def _apart(found: Found, whole: NDArray[np.bool_], shift: int) -> Found:
    """The runs with those that are not ``whole`` taken apart into single entries."""
    count = np.where(whole, 1, found.length)
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return Found(
        np.repeat(found.row, count),
        np.repeat(found.column, count) + within,
        np.repeat(np.where(whole, found.length, 1), count),
        np.repeat(found.first, count) + (within.astype(np.uint64) << np.uint64(shift)),
    )
