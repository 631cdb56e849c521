"""A kernel's symbols as columns, at the addresses at which they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KernelSymbols:
    """Symbols in the order of /proc/kallsyms: the kernel's own by address, then each module's.

    ``address``: run-time virtual addresses, uint64. ``names``, and ``types``: one letter each, as
    nm has them. ``module``: index into ``modules``, -1 for the kernel's own, int16.
    """

    address: NDArray[np.uint64]
    types: str
    names: Sequence[str]
    module: NDArray[np.int16]
    modules: tuple[str, ...] = ()
    source: str = ""

    def __len__(self) -> int:
        return len(self.address)

    @cached_property
    def _own(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        own = int(np.count_nonzero(self.module < 0))
        for row, name in enumerate(self.names[:own]):
            rows.setdefault(name, []).append(row)
        return rows

    def __contains__(self, name: object) -> bool:
        return name in self._own

    def get(self, name: str) -> int | None:
        """The address of the kernel's own symbol ``name``; None without one, or with several."""
        rows = self._own.get(name, [])
        return int(self.address[rows[0]]) if len(rows) == 1 else None

    def every(self, name: str) -> list[int]:
        """All addresses of the kernel's own symbols called ``name``."""
        return [int(self.address[row]) for row in self._own.get(name, [])]

    @cached_property
    def _sorted(self) -> NDArray[np.intp]:
        """Rows by address; of equal ones the first in the table comes last, so it is found."""
        return np.lexsort((-np.arange(len(self)), self.address))

    def nearest(self, address: int) -> tuple[str, int] | None:
        """The symbol at or below an address, and how many bytes below; None if there is none."""
        order = self._sorted
        place = int(np.searchsorted(self.address[order], np.uint64(address), side="right")) - 1
        if place < 0:
            return None
        row = int(order[place])
        return self.names[row], address - int(self.address[row])
