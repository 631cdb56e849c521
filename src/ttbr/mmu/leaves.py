"""Collecting the leaves of a walk into mappings."""

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.mmu.attribute_table import MOST_VALUES, AttributeTable
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.runs import Runs, find_runs
from ttbr.mmu.walk import Batch, Walk

LEAVES = (Kind.BLOCK, Kind.PAGE)


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
        level, fmt = batch.level, self._regime.format
        heads, counts = find_runs(batch.words, 1 << level.shift)
        if batch.inside is not None:
            inside = batch.inside.reshape(-1)
            heads, counts = _apart(heads, counts, inside[heads] & inside[heads + counts - 1])
            heads, counts = heads[inside[heads]], counts[inside[heads]]
        kinds = fmt.kinds(batch.words.reshape(-1)[heads], level.number)
        leaf = np.isin(kinds, LEAVES)
        if not leaf.any():
            return
        heads, counts = self._joined(batch, heads[leaf], counts[leaf])
        heads, counts = self._within_budget(batch, heads, counts)
        if not len(heads):
            return
        desc = batch.words.reshape(-1)[heads]
        row, column = np.divmod(heads, batch.words.shape[1])
        va = batch.entry_va(row, column)
        pa = fmt.output_address(desc, level.number, va)
        bits = fmt.attribute_bits(desc, level.number)
        codes = self._attributes.encode(bits, level.number, batch.limits[row])
        inside = pa >> np.uint64(self._regime.output_bits) == 0
        known = inside & (codes >= 0)
        self._misdirected += int(counts[~inside].sum())
        self._unencoded += int(counts[inside & ~known].sum())
        size = np.full(len(heads), 1 << level.shift, np.uint64)
        number = np.full(len(heads), level.number, np.int8)
        runs = Runs(va, pa, counts, size, number, codes, batch.address[row])
        self._runs.append(runs if known.all() else runs.chosen(known))

    def _joined(
        self, batch: Batch, heads: NDArray[np.intp], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The runs, but for those in which counting up has left the address field.

        There a carry would have changed attributes, or the address no longer fits the regime:
        such runs, which no kernel makes, are taken apart.
        """
        words, number, fmt = batch.words.reshape(-1), batch.level.number, self._regime.format
        first, last = words[heads], words[heads + counts - 1]
        whole = fmt.attribute_bits(first, number) == fmt.attribute_bits(last, number)
        reach = fmt.output_address(last, number, np.zeros(len(last), np.uint64))
        whole &= reach >> np.uint64(self._regime.output_bits) == 0
        whole |= counts == 1
        return _apart(heads, counts, whole)

    def _within_budget(
        self, batch: Batch, heads: NDArray[np.intp], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """As many leaves as there is room for; what is left out is said, once."""
        total = int(counts.sum())
        if total <= self._room:
            self._room -= total
            return heads, counts
        room, self._room = self._room, -1
        if room < 0:
            return heads[:0], counts[:0]
        ends = np.cumsum(counts)
        cut = int(np.searchsorted(ends, room, side="right"))  # the first run that is not whole
        kept = room - int(ends[cut] - counts[cut])
        row, column = np.divmod(heads[cut : cut + 1] + kept, batch.words.shape[1])
        va = int(batch.entry_va(row, column)[0])
        self._walk.cut(
            f"leaves of level {batch.level.number} from va {va:#x} on left out: more than "
            f"{self._walk.budget.rows} rows"
        )
        counts = counts[: cut + 1].copy()
        counts[cut] = kept
        return heads[: cut + 1][counts > 0], counts[counts > 0]

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


def _apart(
    heads: NDArray[np.intp], counts: NDArray[np.int64], whole: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The runs with those that are not ``whole`` taken apart into single entries."""
    if whole.all():
        return heads, counts
    few = counts[~whole]
    offsets = heads[~whole] - (np.cumsum(few) - few)
    entries = np.arange(int(few.sum()), dtype=np.intp) + np.repeat(offsets, few)
    heads = np.append(heads[whole], entries)
    counts = np.append(counts[whole], np.ones(len(entries), np.int64))
    order = np.argsort(heads, kind="stable")
    return heads[order], counts[order]
