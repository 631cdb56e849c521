"""Bit fields: a layout is a table of fields that tiles a word, and all coding goes through it.

A descriptor or register is described once, as rows. Decoding, encoding, the text that explains a
value, and the packing of an address that is stored in several pieces are computed from the rows.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Field:
    """One field: bits ``high`` to ``low`` (inclusive) of a word.

    ``meaning`` says what the field is for; ``values`` says what single values of it mean.
    """

    name: str
    high: int
    low: int
    meaning: str
    values: Mapping[int, str] = field(default_factory=dict, compare=False)

    @property
    def width(self) -> int:
        """Number of bits."""
        return self.high - self.low + 1

    @property
    def mask(self) -> int:
        """The field's bits in place."""
        return ((1 << self.width) - 1) << self.low

    def extract(self, value: int) -> int:
        """The field's value in the word ``value``."""
        return (value & self.mask) >> self.low


@dataclass(frozen=True, slots=True)
class FieldText:
    """One field of one word, explained."""

    name: str
    high: int
    low: int
    value: int
    text: str

    @property
    def bits(self) -> str:
        """The field's place as the manuals write it: ``[47:12]`` or ``[6]``."""
        return f"[{self.high}]" if self.high == self.low else f"[{self.high}:{self.low}]"


@dataclass(frozen=True)
class Layout:
    """A word of ``width`` bits as fields that cover every bit exactly once.

    ``address`` names the fields that together hold an address, each with the lowest address bit
    that it holds; ``source`` is the section of the manual that the table was taken from.
    """

    name: str
    width: int
    fields: tuple[Field, ...]
    source: str
    address_pieces: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        at = self.width
        for item in self.fields:
            if item.high != at - 1 or item.low > item.high:
                raise ValueError(f"{self.name}: {item.name} does not follow bit {at}")
            at = item.low
        if at != 0 or len({item.name for item in self.fields}) != len(self.fields):
            raise ValueError(f"{self.name}: the fields do not tile {self.width} bits by name")

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """The fields by name."""
        return {item.name: item for item in self.fields}

    def decode(self, value: int) -> dict[str, int]:
        """Every field's value, highest field first."""
        self._check(value)
        return {item.name: item.extract(value) for item in self.fields}

    def encode(self, fields: Mapping[str, int], base: int = 0) -> int:
        """The word ``base`` with the named fields set.

        Raises ValueError for a name that the layout does not have or a value that does not fit.
        """
        self._check(base)
        for name, value in fields.items():
            item = self.by_name.get(name)
            if item is None:
                raise ValueError(f"{self.name} has no field {name}")
            if not 0 <= value < 1 << item.width:
                raise ValueError(f"{self.name}.{name} has {item.width} bits, not {value:#x}")
            base = base & ~item.mask | value << item.low
        return base

    def explain(self, value: int) -> list[FieldText]:
        """Every field's place, name, value and meaning, highest field first."""
        self._check(value)
        rows = []
        for item in self.fields:
            number = item.extract(value)
            said = item.values.get(number)
            text = f"{item.meaning}: {said}" if said else item.meaning
            rows.append(FieldText(item.name, item.high, item.low, number, text))
        return rows

    @cached_property
    def _pieces(self) -> tuple[tuple[int, int, int], ...]:
        """Per address piece: its mask in the word, its lowest bit there and in the address."""
        found = ((self.by_name[name], lowest) for name, lowest in self.address_pieces)
        return tuple((item.mask, item.low, lowest) for item, lowest in found)

    @cached_property
    def address_mask(self) -> int:
        """The bits of the word that hold address."""
        return sum(mask for mask, _, _ in self._pieces)

    def address(self, value: int) -> int:
        """The address that the word ``value`` holds."""
        return sum((value & mask) >> low << lowest for mask, low, lowest in self._pieces)

    def addresses(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """``address`` of every word of an array of any shape."""
        in_place = sum(mask for mask, low, lowest in self._pieces if low == lowest)
        result = values & np.uint64(in_place)
        for mask, low, lowest in self._pieces:
            if low != lowest:
                result |= (values & np.uint64(mask)) >> np.uint64(low) << np.uint64(lowest)
        return result

    def place(self, address: int) -> int:
        """The word's bits that hold ``address`` (the inverse of ``address``).

        Raises ValueError if the address is not aligned enough or too large for the layout.
        """
        word = sum((address >> lowest << low) & mask for mask, low, lowest in self._pieces)
        if self.address(word) != address:
            raise ValueError(f"{self.name} cannot hold the address {address:#x}")
        return word

    def _check(self, value: int) -> None:
        if not 0 <= value < 1 << self.width:
            raise ValueError(f"{self.name} has {self.width} bits, not {value:#x}")


def res0(high: int, low: int) -> Field:
    """Bits that the architecture reserves as zero."""
    return Field(f"RES0{_span(high, low)}", high, low, "reserved, zero")


def ignored(high: int, low: int) -> Field:
    """Bits that the hardware ignores: software may use them."""
    return Field(f"IGNORED{_span(high, low)}", high, low, "ignored by the hardware")


def tile(
    width: int, fields: Iterable[Field], filler: Callable[[int, int], Field] = res0
) -> tuple[Field, ...]:
    """The fields, highest first, with every gap filled by ``filler(high, low)``."""
    result: list[Field] = []
    at = width
    for item in sorted(fields, key=lambda item: -item.high):
        if item.high < at - 1:
            result.append(filler(at - 1, item.high + 1))
        result.append(item)
        at = item.low
    if at > 0:
        result.append(filler(at - 1, 0))
    return tuple(result)


def _span(high: int, low: int) -> str:
    return f"[{high}]" if high == low else f"[{high}:{low}]"
