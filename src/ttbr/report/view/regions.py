"""What a space maps, as few rows: ranges of equal attributes, coarser where there are too many."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.mmu.mappings import Mappings, Regions
from ttbr.report.view.columns import Body, Head

UNIT = 12
"""Virtual addresses are in units of 4 KiB: a float holds them exactly then."""


@dataclass(frozen=True, slots=True)
class Detail:
    """Rows of a space, ascending; ``mapped`` bytes of each are. ``cut``: what they don't show."""

    regions: Regions
    mapped: NDArray[np.uint64]
    cut: str | None


def detail(mappings: Mappings, most: int) -> Detail:
    """At most ``most`` rows; ranges of memory that lies scattered are joined first.

    If that is not enough, all that lies in one piece of the space is a row, whose attributes are
    those of its first range.
    """
    exact = mappings.regions()
    if len(exact) <= most:
        return Detail(exact, exact.size, None)
    count = f"{len(exact)} ranges are too many for this page"
    joined = mappings.regions(contiguous_pa=False)
    if len(joined) <= most:
        cut = f"{count}: neighbours in virtual memory are shown as one, wherever they lie"
        return Detail(joined, joined.size, cut)
    va, shift = joined.va, UNIT
    while len(first := _heads(va >> np.uint64(shift))) > most:
        shift += 1
    final = np.append(first[1:], len(va)) - 1
    cut = f"{count}: what lies in the same {1 << shift - UNIT} pages is shown as one"
    rows = Regions(joined.runs, joined.first[first], joined.final[final])
    return Detail(rows, np.add.reduceat(joined.size, first), cut)


def _heads(cell: NDArray[np.uint64]) -> NDArray[np.intp]:
    return np.flatnonzero(np.diff(cell, prepend=cell[:1] + np.uint64(1)))


def regions_table(body: Body, found: Detail, meaning: NDArray[np.int64]) -> Head:
    """The rows; ``meaning`` is the number of the attributes by the mappings' index."""
    regions, unit = found.regions, np.uint64(UNIT)
    levels = ["/".join(map(str, each)) for each in regions.levels()]
    names = {name: at for at, name in enumerate(dict.fromkeys(levels))}
    code = np.array([names[name] for name in levels], np.int64)
    return body.table(
        len(regions),
        {
            "page": body.numbers(regions.va >> unit),
            "pages": body.numbers(regions.size >> unit),
            "mapped": body.numbers(found.mapped >> unit),
            "pa": body.numbers(regions.pa),
            "meaning": body.numbers(_of(meaning, regions.attributes)),
            "levels": body.coded(code, list(names)),
            "descriptors": body.numbers(regions.rows),
        },
    )


def _of(meaning: NDArray[np.int64], index: NDArray[np.int16]) -> NDArray[np.int64]:
    """The numbers by index, −1 for an index below 0."""
    if not len(meaning):
        return np.full(len(index), -1, np.int64)
    return np.where(index < 0, np.int64(-1), meaning[index])
