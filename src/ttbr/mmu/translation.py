"""The answer to one translation: every step of the walk, and where it ends."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.arch.faults import Fault
from ttbr.arch.fields import FieldText
from ttbr.arch.format import Kind
from ttbr.mmu.attribute_table import AttributeTable
from ttbr.mmu.notebook import translation_html


@dataclass(frozen=True, slots=True)
class Step:
    """One descriptor that a walk read.

    ``level``; ``table``: physical address of the table; ``index`` into it; ``address``: physical
    address of the descriptor; ``descriptor``: its raw bits; ``kind``; ``fields``: decoded;
    ``limits``: what all table descriptors down to this one limit together, as
    `DescriptorFormat.limits` gives it.
    """

    level: int
    table: int
    index: int
    address: int
    descriptor: int
    kind: Kind
    fields: tuple[FieldText, ...]
    limits: int


@dataclass(frozen=True, slots=True)
class Translation:
    """How a virtual address translates.

    ``pa`` is None if there is a ``fault`` before an output address is known; an access that the
    mapping does not allow has ``pa``, ``attributes`` and ``fault``. ``level`` and ``size`` (bytes)
    are those of the mapping; ``size`` is 0 without one.
    """

    va: int
    steps: tuple[Step, ...]
    pa: int | None = None
    level: int | None = None
    size: int = 0
    attributes: Attributes | None = None
    fault: Fault | None = None

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return translation_html(self)


@dataclass(frozen=True)
class Translations:
    """Many translations as columns, a row for each virtual address asked for.

    ``va``, ``pa`` (0 with a fault), ``size`` (bytes of the mapping, 0 with a fault): uint64.
    ``fault``: uint8, an index into `ttbr.mmu.tables.FAULTS`, 0 for none. ``level``: int8, of the
    leaf or of the fault. ``attributes``: int16, an index into ``attribute_values``; −1 with a
    fault (or where an image has absurdly many different ones).
    """

    va: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    size: NDArray[np.uint64]
    fault: NDArray[np.uint8]
    level: NDArray[np.int8]
    attributes: NDArray[np.int16]
    attribute_table: AttributeTable

    @classmethod
    def blank(cls, va: NDArray[np.uint64], table: AttributeTable) -> "Translations":
        """Columns to be filled in."""
        count = len(va)
        return cls(
            va,
            np.zeros(count, np.uint64),
            np.zeros(count, np.uint64),
            np.zeros(count, np.uint8),
            np.zeros(count, np.int8),
            np.full(count, -1, np.int16),
            table,
        )

    def parts(self, count: int) -> Iterator["Translations"]:
        """The same columns in parts of ``count`` rows: what is written there is written here."""
        for start in range(0, len(self), count):
            rows = slice(start, start + count)
            yield Translations(
                self.va[rows],
                self.pa[rows],
                self.size[rows],
                self.fault[rows],
                self.level[rows],
                self.attributes[rows],
                self.attribute_table,
            )

    def __len__(self) -> int:
        return len(self.va)

    @property
    def attribute_values(self) -> list[Attributes]:
        """What the leaves say, by index."""
        return self.attribute_table.values
