"""The tables that a walk met, as columns; and how arrays spell a fault."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.faults import FaultKind

# Index: what the arrays of this package hold as "fault". 0 is no fault.
FAULTS: tuple[FaultKind | None, ...] = (None, *FaultKind)
FAULT_CODE = {kind: code for code, kind in enumerate(FAULTS)}


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of an address space, level by level, as columns of equal length.

    ``address``: physical, uint64. ``level``: int8. ``va``: lowest address the table translates,
    uint64. ``entries``: number of entries, int32. A table that is used in several places has
    a row for each.
    """

    address: NDArray[np.uint64]
    level: NDArray[np.int8]
    va: NDArray[np.uint64]
    entries: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.address)


@dataclass(frozen=True, slots=True)
class Shared:
    """The tables that are reached more than once, as columns of equal length.

    ``address`` and ``level`` as in `Tables`; ``reached``: in how many places the table is used,
    int64; ``listed``: of how many of them the walk followed, int64.
    """

    address: NDArray[np.uint64]
    level: NDArray[np.int8]
    reached: NDArray[np.int64]
    listed: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.address)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Tables that descriptors name but memory does not hold (wholly), as columns.

    ``address``, ``level`` and ``va`` as in `Tables`; ``fault``: what the hardware would report,
    uint8, an index into `FAULTS`.
    """

    address: NDArray[np.uint64]
    level: NDArray[np.int8]
    va: NDArray[np.uint64]
    fault: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.address)
