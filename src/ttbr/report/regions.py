"""Names of virtual regions, from the kernel's own markers (``Linear Mapping start`` …)."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ttbr.report.hostile import visible

_START, _END = (" start", " begin"), (" end", " End")


class RegionNames:
    """Which region of the kernel's layout an address lies in.

    ``markers`` are (address, name) pairs as the kernel's ptdump has them: a name that ends in
    " end" closes the region before it. They can come from the image, so what does not print is
    shown by escapes.
    """

    def __init__(self, markers: Sequence[tuple[int, str]]) -> None:
        ordered = sorted(markers, key=lambda marker: marker[0])
        self._starts = [va for va, _ in ordered]
        self._names = [_region(name) for _, name in ordered]

    def __call__(self, va: int) -> str:
        """The region's name, or an empty string outside every named region."""
        at = bisect_right(self._starts, va) - 1
        return self._names[at] if at >= 0 else ""

    def of_many(self, vas: NDArray[np.uint64]) -> tuple[NDArray[np.intp], list[str]]:
        """The same for many addresses: for each an index into the names."""
        starts = np.array(self._starts, np.uint64)
        return np.searchsorted(starts, vas, side="right"), ["", *self._names]


def _region(marker: str) -> str:
    if marker.endswith(_END):
        return ""
    for suffix in _START:
        marker = marker.removesuffix(suffix)
    return visible(marker.removesuffix("()"))
