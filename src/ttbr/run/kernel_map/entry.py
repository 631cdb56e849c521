"""What both architectures' kernel tables speak of: one entry, and runs of page entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import TtbrError


class NotByPages(TtbrError):
    """An address that is to be changed page by page is mapped by a block, or not at all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry at which a walk of the kernel's tables ends, as Linux holds it.

    ``table``: physical address of the table (with short descriptors the second-level one has
    Linux's entries), ``index`` in it, ``raw``: the descriptor, 0 if the walk ends there. ``size``:
    bytes that it maps or would map. ``phys``: where the walked address lies; None if unmapped.
    ``level``: of the table, as the architecture counts.
    """

    level: int
    table: int
    index: int
    raw: int
    size: int
    phys: int | None


def arithmetic_runs(values: NDArray[np.uint64], step: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of the runs of values that grow by ``step`` each."""
    breaks = np.flatnonzero(np.diff(values) != np.uint64(step)) + 1
    bounds = [0, *breaks.tolist(), len(values)]
    for first, behind in pairwise(bounds):
        if first < behind:
            yield first, behind - first
