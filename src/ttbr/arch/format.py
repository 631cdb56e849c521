"""What every descriptor format can do, whatever its bits."""

from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.fields import Layout


class Kind(IntEnum):
    """What a descriptor is at its level."""

    INVALID = 0
    TABLE = 1
    BLOCK = 2
    """A leaf above the last level: block, section, supersection."""
    PAGE = 3
    """A leaf at the last level: page, small page, large page."""
    RESERVED = 4
    """An encoding that the architecture reserves at this level; it faults like an invalid one."""


def is_leaf(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the kinds map something."""
    found: NDArray[np.bool_] = (kinds == Kind.BLOCK) | (kinds == Kind.PAGE)
    return found


class DescriptorFormat(Protocol):
    """A descriptor format: arrays of descriptors in, arrays out.

    Descriptors are uint64 whatever the entry size; ``level`` is the architecture's number of the
    table's level. Addresses are physical, in bytes.
    """

    @property
    def name(self) -> str:
        """``vmsav8-64``, ``lpae`` or ``short``."""
        ...

    @property
    def entry_size(self) -> int:
        """Bytes of a descriptor: 8 or 4."""
        ...

    @property
    def last_level(self) -> int:
        """The level of pages: 3, or 2 for short descriptors."""
        ...

    @property
    def table_type(self) -> int:
        """Bits 1:0 of descriptors that name tables, at every level that has such."""
        ...

    def kinds(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint8]:
        """The ``Kind`` of every descriptor."""
        ...

    def leaf_types(self, level: int) -> NDArray[np.bool_]:
        """Which of the four values of bits 1:0 make a leaf, shape (4,): no other bit matters."""
        ...

    def table_address(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """The next-level table's address; of table descriptors only."""
        ...

    def output_address(
        self, desc: NDArray[np.uint64], level: int, va: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """The address that ``va`` maps to through leaf descriptors (``va`` broadcasts)."""
        ...

    def attribute_bits(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """The descriptors without their address bits; invalid ones as they are."""
        ...

    def limits(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint16]:
        """What table descriptors say about everything below them; OR them going down.

        Long formats: bit 0 PXNTable, 1 UXNTable or XNTable, 3:2 APTable, 4 NSTable.
        Short: bits 3:0 domain, 4 PXN, 5 NS.
        """
        ...

    def span(self, bits: int, level: int) -> int:
        """Bytes of the mapping that a leaf belongs to: itself, or its contiguous range."""
        ...

    def layout(self, desc: int, level: int) -> Layout:
        """The field table that applies to a descriptor."""
        ...

    def attributes(self, bits: int, level: int, limits: int, controls: Controls) -> Attributes:
        """Effective attributes of a leaf under ``limits`` of the tables above it."""
        ...
