"""What the two formats with 64-bit descriptors share: types, table limits, addresses by level."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.fields import Field, Layout, ignored, tile
from ttbr.arch.format import Kind, is_leaf

TYPE_VALUES: Mapping[int, str] = {
    0b00: "invalid",
    0b01: "block (reserved at level 3)",
    0b10: "invalid",
    0b11: "table (page at level 3)",
}
TYPE = Field("type", 1, 0, "descriptor type", TYPE_VALUES)
LAST_LEVEL = 3

PXN_TABLE = 1 << 0
XN_TABLE = 1 << 1
AP_TABLE_NO_EL0 = 1 << 2
AP_TABLE_READ_ONLY = 1 << 3
NS_TABLE = 1 << 4
"""Bits of ``limits``: bits 63:59 of a table descriptor moved down."""

LIMITS_LOW = 59
"""The lowest bit of the limits in a table descriptor (PXNTable)."""

AP_VALUES: Mapping[int, str] = {
    0b00: "EL1 read and write, EL0 none",
    0b01: "EL1 and EL0 read and write",
    0b10: "EL1 read, EL0 none",
    0b11: "EL1 and EL0 read",
}
AP_TABLE_VALUES: Mapping[int, str] = {
    0b00: "no limit",
    0b01: "no EL0 access below",
    0b10: "no writes below",
    0b11: "no EL0 access and no writes below",
}
SH_VALUES: Mapping[int, str] = {
    0b00: "Non-shareable",
    0b01: "reserved",
    0b10: "Outer Shareable",
    0b11: "Inner Shareable",
}
YES_NO: Mapping[int, str] = {0: "no", 1: "yes"}

SHARED_LEAF_FIELDS: tuple[Field, ...] = (
    Field("software", 58, 55, "left to software"),
    Field("PXN", 53, 53, "EL1 may not execute", YES_NO),
    Field("contiguous", 52, 52, "one of a range of contiguous entries", YES_NO),
    Field("nG", 11, 11, "not global: belongs to an ASID", YES_NO),
    Field("AF", 10, 10, "access flag", YES_NO),
    Field("AP", 7, 6, "access permissions AP[2:1]", AP_VALUES),
    Field("NS", 5, 5, "output address is non-secure", YES_NO),
    Field("AttrIndx", 4, 2, "index into MAIR"),
    TYPE,
)
"""Block and page fields that both long formats have in the same place."""

SHARED_TABLE_FIELDS: tuple[Field, ...] = (
    Field("NSTable", 63, 63, "everything below is non-secure", YES_NO),
    Field("APTable", 62, 61, "limit on the permissions below", AP_TABLE_VALUES),
    Field("PXNTable", 59, 59, "nothing below is executable at EL1", YES_NO),
    TYPE,
)
"""Table fields that both long formats have in the same place."""


@dataclass(frozen=True, slots=True)
class LevelLayouts:
    """The field tables of one level; None where the level has no such descriptor.

    ``shift`` is log2 of the bytes that one entry maps, ``contiguous`` the number of entries in a
    contiguous range (1 where the level has none).
    """

    shift: int
    table: Layout | None
    leaf: Layout | None
    contiguous: int


class LongFormat:
    """Kinds, addresses and limits of 64-bit descriptors, given the field tables of each level."""

    entry_size = 8
    last_level = LAST_LEVEL
    table_type = 3
    limit_bits = PXN_TABLE | XN_TABLE | AP_TABLE_NO_EL0 | AP_TABLE_READ_ONLY | NS_TABLE
    """The bits of ``limits`` that table descriptors of the format have."""

    def __init__(self, name: str, title: str, source: str, levels: Mapping[int, LevelLayouts]):
        self.name = name
        self.title = title
        self.levels = levels
        valid = Field("valid", 0, 0, "descriptor is valid", YES_NO)
        rest = (valid,)
        self._invalid = Layout(f"{title} invalid", 64, tile(64, rest, ignored), source)
        self._reserved = Layout(f"{title} reserved", 64, tile(64, (TYPE,), ignored), source)
        self._kinds = {number: self._kinds_of(number) for number in levels}
        self._leaf_types = {number: is_leaf(kinds) for number, kinds in self._kinds.items()}
        self._not_address = {number: self._not_address_of(number) for number in levels}

    def _kinds_of(self, level: int) -> NDArray[np.uint8]:
        """``Kind`` by descriptor type at one level."""
        if level == LAST_LEVEL:
            block, table = Kind.RESERVED, Kind.PAGE
        else:
            layouts = self.levels[level]
            block = Kind.BLOCK if layouts.leaf else Kind.RESERVED
            table = Kind.TABLE
        return np.array([Kind.INVALID, block, Kind.INVALID, table], dtype=np.uint8)

    def _not_address_of(self, level: int) -> NDArray[np.uint64]:
        """The bits that hold no address, by descriptor type at one level."""
        masks = np.zeros(len(Kind), dtype=np.uint64)
        layouts = self.levels[level]
        if layouts.table:
            masks[Kind.TABLE] = layouts.table.address_mask
        if layouts.leaf:
            masks[[Kind.BLOCK, Kind.PAGE]] = layouts.leaf.address_mask
        return ~masks[self._kinds[level]]

    def kinds(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint8]:
        """See ``DescriptorFormat.kinds``."""
        return self._kinds[level][(desc & np.uint64(3)).astype(np.intp)]

    def leaf_types(self, level: int) -> NDArray[np.bool_]:
        """See ``DescriptorFormat.leaf_types``."""
        return self._leaf_types[level]

    def table_address(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """See ``DescriptorFormat.table_address``."""
        return self.table_layout(level).addresses(desc)

    def output_address(
        self, desc: NDArray[np.uint64], level: int, va: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """See ``DescriptorFormat.output_address``."""
        offset = np.uint64((1 << self.levels[level].shift) - 1)
        return self.leaf_layout(level).addresses(desc) | (va & offset)

    def attribute_bits(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """See ``DescriptorFormat.attribute_bits``."""
        return desc & self._not_address[level][(desc & np.uint64(3)).astype(np.intp)]

    def limits(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint16]:
        """See ``DescriptorFormat.limits``; every level has them in the same bits."""
        return (desc >> np.uint64(LIMITS_LOW)).astype(np.uint16) & np.uint16(self.limit_bits)

    def span(self, bits: int, level: int) -> int:
        """See ``DescriptorFormat.span``."""
        layouts = self.levels[level]
        in_range = self.leaf_layout(level).by_name["contiguous"].extract(bits)
        return (layouts.contiguous if in_range else 1) << layouts.shift

    def layout(self, desc: int, level: int) -> Layout:
        """See ``DescriptorFormat.layout``."""
        match Kind(self._kinds[level][desc & 3]):
            case Kind.TABLE:
                return self.table_layout(level)
            case Kind.BLOCK | Kind.PAGE:
                return self.leaf_layout(level)
            case Kind.RESERVED:
                return self._reserved
            case _:
                return self._invalid

    def table_layout(self, level: int) -> Layout:
        """The field table of table descriptors at ``level``; ValueError at the last level."""
        table = self.levels[level].table
        if table is None:
            raise ValueError(f"{self.title} has no table descriptors at level {level}")
        return table

    def leaf_layout(self, level: int) -> Layout:
        """The field table of blocks or pages at ``level``; ValueError where there are none."""
        leaf = self.levels[level].leaf
        if leaf is None:
            raise ValueError(f"{self.title} has no block descriptors at level {level}")
        return leaf
