"""A space at any scale: a window of it in equal bands, and what each of them maps."""

from dataclasses import dataclass

import numpy as np

from ttbr.mmu.mappings import Mappings
from ttbr.report.coverage import Coverage
from ttbr.report.regions import RegionNames

BANDS = 16
"""Bands of a window; the window of a band is that many times smaller."""
PAGE_BITS = 12
MOST_KINDS = 64
"""Ranges of a band whose attributes are told apart."""


@dataclass(frozen=True, slots=True)
class Window:
    """``start`` and ``size`` in bytes; the size is a power of two, and the start a multiple."""

    start: int
    size: int

    @classmethod
    def around(cls, first: int, last: int) -> "Window":
        """The smallest window with all addresses from ``first`` to ``last``."""
        bits = max((first ^ last).bit_length(), PAGE_BITS)
        return cls(first >> bits << bits, 1 << bits)

    @property
    def last(self) -> int:
        """The last address."""
        return self.start + self.size - 1

    @property
    def step(self) -> int:
        """Bytes of a band: a page at least."""
        return max(self.size // BANDS, 1 << PAGE_BITS)

    def inside(self, address: int) -> "Window":
        """The window of the band that an address lies in; itself where bands are pages."""
        if self.step == 1 << PAGE_BITS:
            return self
        return Window(address // self.step * self.step, self.step)

    def outside(self, whole: "Window") -> "Window":
        """The window that has this one as a band, ``whole`` at most."""
        size = min(self.size * BANDS, whole.size)
        return Window(self.start // size * size, size) if size < whole.size else whole

    def beside(self, steps: int, whole: "Window") -> "Window":
        """The window ``steps`` further up in the space, within ``whole``."""
        start = self.start + steps * self.size
        return Window(start, self.size) if whole.start <= start <= whole.last else self


@dataclass(frozen=True, slots=True)
class Band:
    """``start`` to ``last`` of a space: ``mapped`` bytes of it, in how many ``ranges``.

    ``va`` and ``pa`` of the first byte that is mapped, else of the band, and None; ``region`` of
    the kernel's layout there; ``attributes`` in words, None where nothing is mapped.
    """

    start: int
    last: int
    mapped: int
    ranges: int
    region: str
    attributes: str | None
    va: int
    pa: int | None

    @property
    def share(self) -> float:
        """How much of the band is mapped."""
        return self.mapped / (self.last - self.start + 1)


class Zoom:
    """What a space maps, for windows of it."""

    def __init__(self, mappings: Mappings, names: RegionNames) -> None:
        regions = mappings.regions()
        self._coverage = Coverage(regions.va, regions.size)
        self._va, self._pa = regions.va, regions.pa
        self._attributes = regions.attributes
        self._values = mappings.attribute_values
        self._names = names

    def bands(self, window: Window) -> list[Band]:
        """The bands of a window, ascending."""
        starts = range(window.start, window.start + window.size, window.step)
        return [self._band(start, start + window.step - 1) for start in starts]

    def _band(self, start: int, last: int) -> Band:
        rows = self._coverage.rows(start, last)
        count = rows.stop - rows.start
        kinds = np.unique(self._attributes[rows][:MOST_KINDS]).tolist()
        words, va, pa = None, start, None
        if count:
            words = f"{len(kinds)} kinds" if len(kinds) > 1 or count > MOST_KINDS else "?"
            if len(kinds) == 1 and kinds[0] >= 0 and count <= MOST_KINDS:
                words = self._values[kinds[0]].summary()
            first = int(self._va[rows.start])
            va = max(start, first)
            pa = int(self._pa[rows.start]) + va - first
        mapped = self._coverage.within(start, last)
        return Band(start, last, mapped, count, self._names(va), words, va, pa)
