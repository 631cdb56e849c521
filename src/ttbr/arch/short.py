"""ARMv7 short descriptors: sections, supersections, coarse tables, small and large pages."""

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import UNKNOWN, Attributes, Controls
from ttbr.arch.fields import Field, Layout, ignored, tile
from ttbr.arch.format import Kind, is_leaf
from ttbr.arch.memory_types import (
    NON_SHAREABLE_DEVICE,
    RESERVED_TYPE,
    TEX_C_B,
    UNKNOWN_TYPE,
    MemoryType,
    remapped_shareability,
    remapped_type,
)

SOURCE = "Arm ARM DDI 0406C, B3.5.1 Short-descriptor translation table format descriptors"
FIRST_LEVEL, LAST_LEVEL = 1, 2
OUTPUT_BITS = 40
"""Supersections reach 40 bits; everything else 32."""

PXN_LIMIT, NS_LIMIT = 1 << 4, 1 << 5
DOMAIN_LIMIT = 0xF
"""Bits of ``limits``: domain, PXN and NS of a table descriptor."""

YES_NO: Mapping[int, str] = {0: "no", 1: "yes"}
_L1_TYPE = {0b00: "fault", 0b01: "coarse table", 0b10: "section", 0b11: "section, PXN"}
_L2_TYPE = {0b00: "fault", 0b01: "large page", 0b10: "small page", 0b11: "small page, XN"}

_NG, _SHARED = "not global: belongs to an ASID", "shareable"
_AP = "access permissions AP[1:0] (AP[0] is the access flag if SCTLR.AFE)"
_AP2 = "access permissions AP[2]: read-only"
_TEX = "memory type extension (bits 2:1 left to software with TEX remap)"
_MEMORY_FIELDS = (
    Field("C", 3, 3, "cacheable, or memory index bit 1", YES_NO),
    Field("B", 2, 2, "bufferable, or memory index bit 0", YES_NO),
)
_SECTION_FIELDS = (
    Field("NS", 19, 19, "output address is non-secure", YES_NO),
    Field("supersection", 18, 18, "one of sixteen entries of a supersection", YES_NO),
    Field("nG", 17, 17, _NG, YES_NO),
    Field("S", 16, 16, _SHARED, YES_NO),
    Field("AP2", 15, 15, _AP2, YES_NO),
    Field("TEX", 14, 12, _TEX),
    Field("AP", 11, 10, _AP),
    Field("IMP", 9, 9, "implementation defined"),
    Field("XN", 4, 4, "not executable", YES_NO),
    *_MEMORY_FIELDS,
    Field("section", 1, 1, "section or supersection", YES_NO),
    Field("PXN", 0, 0, "PL1 may not execute", YES_NO),
)
_DOMAIN = Field("domain", 8, 5, "domain, checked against DACR")


class _Form(IntEnum):
    """Descriptor forms, by which field table applies."""

    FAULT = 0
    TABLE = 1
    SECTION = 2
    SUPERSECTION = 3
    LARGE = 4
    SMALL = 5


def _layout(name: str, fields: tuple[Field, ...], address: tuple[tuple[str, int], ...]) -> Layout:
    return Layout(f"Short {name}", 32, tile(32, fields), SOURCE, address)


_LAYOUTS: Mapping[_Form, Layout] = {
    _Form.FAULT: Layout(
        "Short fault",
        32,
        (ignored(31, 2), Field("type", 1, 0, "descriptor type", {0: "fault", 3: "reserved"})),
        SOURCE,
    ),
    _Form.TABLE: _layout(
        "coarse table",
        (
            Field("PA[31:10]", 31, 10, "second-level table address"),
            Field("IMP", 9, 9, "implementation defined"),
            _DOMAIN,
            Field("NS", 3, 3, "everything below is non-secure", YES_NO),
            Field("PXN", 2, 2, "nothing below is executable at PL1", YES_NO),
            Field("type", 1, 0, "descriptor type", _L1_TYPE),
        ),
        (("PA[31:10]", 10),),
    ),
    _Form.SECTION: _layout(
        "section",
        (Field("PA[31:20]", 31, 20, "output address"), _DOMAIN, *_SECTION_FIELDS),
        (("PA[31:20]", 20),),
    ),
    _Form.SUPERSECTION: _layout(
        "supersection",
        (
            Field("PA[31:24]", 31, 24, "output address"),
            Field("PA[35:32]", 23, 20, "output address, bits 35:32"),
            Field("PA[39:36]", 8, 5, "output address, bits 39:36 (the domain is 0)"),
            *_SECTION_FIELDS,
        ),
        (("PA[31:24]", 24), ("PA[35:32]", 32), ("PA[39:36]", 36)),
    ),
    _Form.LARGE: _layout(
        "large page",
        (
            Field("PA[31:16]", 31, 16, "output address"),
            Field("XN", 15, 15, "not executable", YES_NO),
            Field("TEX", 14, 12, _TEX),
            Field("nG", 11, 11, _NG, YES_NO),
            Field("S", 10, 10, _SHARED, YES_NO),
            Field("AP2", 9, 9, _AP2, YES_NO),
            Field("AP", 5, 4, _AP),
            *_MEMORY_FIELDS,
            Field("type", 1, 0, "descriptor type", _L2_TYPE),
        ),
        (("PA[31:16]", 16),),
    ),
    _Form.SMALL: _layout(
        "small page",
        (
            Field("PA[31:12]", 31, 12, "output address"),
            Field("nG", 11, 11, _NG, YES_NO),
            Field("S", 10, 10, _SHARED, YES_NO),
            Field("AP2", 9, 9, _AP2, YES_NO),
            Field("TEX", 8, 6, _TEX),
            Field("AP", 5, 4, _AP),
            *_MEMORY_FIELDS,
            Field("small", 1, 1, "small page", YES_NO),
            Field("XN", 0, 0, "not executable", YES_NO),
        ),
        (("PA[31:12]", 12),),
    ),
}
"""The field table of every form."""

_SPANS: Mapping[_Form, int] = {
    _Form.SECTION: 1 << 20,
    _Form.SUPERSECTION: 1 << 24,
    _Form.LARGE: 1 << 16,
    _Form.SMALL: 1 << 12,
}
"""Bytes that a leaf of each form maps."""

_KIND_OF_FORM: Mapping[_Form, Kind] = {
    _Form.FAULT: Kind.INVALID,
    _Form.TABLE: Kind.TABLE,
    _Form.SECTION: Kind.BLOCK,
    _Form.SUPERSECTION: Kind.BLOCK,
    _Form.LARGE: Kind.PAGE,
    _Form.SMALL: Kind.PAGE,
}

_PERMISSIONS: Mapping[int, tuple[str, str]] = {
    0b000: ("", ""),
    0b001: ("rw", ""),
    0b010: ("rw", "r"),
    0b011: ("rw", "rw"),
    0b100: ("", ""),  # reserved
    0b101: ("r", ""),
    0b110: ("r", "r"),
    0b111: ("r", "r"),
}
"""AP[2:0] → PL1 and PL0 read and write, SCTLR.AFE = 0 (Arm ARM DDI 0406C, B3.7.1)."""

_SIMPLE_PERMISSIONS: Mapping[int, tuple[str, str]] = {
    0b00: ("rw", ""),
    0b01: ("rw", "rw"),
    0b10: ("r", ""),
    0b11: ("r", "r"),
}
"""AP[2:1] → PL1 and PL0 read and write, SCTLR.AFE = 1 (Arm ARM DDI 0406C, B3.7.1)."""

_CLIENT, _MANAGER = 0b01, 0b11
"""DACR fields: permissions are checked, and are not checked (Arm ARM DDI 0406C, B3.7.3)."""


class ShortFormat:
    """Short descriptors, of a processor with or without PXN; get one with ``short``."""

    name = "short"
    entry_size = 4
    last_level = LAST_LEVEL
    table_type = 1

    def __init__(self, pxn: bool = True) -> None:
        self.pxn = pxn
        section = _Form.SECTION if pxn else _Form.FAULT
        self._forms = {
            FIRST_LEVEL: np.array(
                [_Form.FAULT, _Form.TABLE, _Form.SECTION, section], dtype=np.uint8
            ),
            LAST_LEVEL: np.array(
                [_Form.FAULT, _Form.LARGE, _Form.SMALL, _Form.SMALL], dtype=np.uint8
            ),
        }
        self._kind_of_form = np.array([_KIND_OF_FORM[form] for form in _Form], dtype=np.uint8)

    def _form_of(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint8]:
        forms = self._forms[level][(desc & np.uint64(3)).astype(np.intp)]
        flag = np.uint64(_LAYOUTS[_Form.SUPERSECTION].by_name["supersection"].mask)
        wide = (forms == _Form.SECTION) & (desc & flag != 0)
        forms[wide] = _Form.SUPERSECTION
        return forms

    def _form(self, desc: int, level: int) -> _Form:
        return _Form(int(self._form_of(np.array([desc], dtype=np.uint64), level)[0]))

    def kinds(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint8]:
        """See ``DescriptorFormat.kinds``."""
        kinds = self._kind_of_form[self._form_of(desc, level)]
        if level == FIRST_LEVEL and not self.pxn:
            kinds[desc & np.uint64(3) == 3] = Kind.RESERVED
        return kinds

    def leaf_types(self, level: int) -> NDArray[np.bool_]:
        """See ``DescriptorFormat.leaf_types``."""
        return is_leaf(self.kinds(np.arange(4, dtype=np.uint64), level))

    def table_address(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """See ``DescriptorFormat.table_address``."""
        if level != FIRST_LEVEL:
            raise ValueError(f"short descriptors have no tables at level {level}")
        return _LAYOUTS[_Form.TABLE].addresses(desc)

    def output_address(
        self, desc: NDArray[np.uint64], level: int, va: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """See ``DescriptorFormat.output_address``."""
        desc, va = np.broadcast_arrays(desc, va)
        forms = self._form_of(desc, level)
        result = np.zeros(desc.shape, dtype=np.uint64)
        for form, span in _SPANS.items():
            chosen = forms == form
            offset = va[chosen] & np.uint64(span - 1)
            result[chosen] = _LAYOUTS[form].addresses(desc[chosen]) | offset
        return result

    def attribute_bits(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """See ``DescriptorFormat.attribute_bits``."""
        return desc & ~_ADDRESS_MASKS[self._form_of(desc, level)]

    def limits(self, desc: NDArray[np.uint64], level: int) -> NDArray[np.uint16]:
        """See ``DescriptorFormat.limits``."""
        table = _LAYOUTS[_Form.TABLE].by_name
        result = (desc & np.uint64(table["domain"].mask)) >> np.uint64(table["domain"].low)
        names = [("NS", NS_LIMIT)] + ([("PXN", PXN_LIMIT)] if self.pxn else [])
        for name, limit in names:
            result |= (desc >> np.uint64(table[name].low) & np.uint64(1)) * np.uint64(limit)
        return result.astype(np.uint16)

    def span(self, bits: int, level: int) -> int:
        """See ``DescriptorFormat.span``; ValueError for what is not a leaf."""
        form = self._form(bits, level)
        if form not in _SPANS:
            raise ValueError(f"{bits:#010x} is not a leaf at level {level}")
        return _SPANS[form]

    def layout(self, desc: int, level: int) -> Layout:
        """See ``DescriptorFormat.layout``."""
        return _LAYOUTS[self._form(desc, level)]

    def attributes(self, bits: int, level: int, limits: int, controls: Controls) -> Attributes:
        """Effective attributes of a section or page (Arm ARM DDI 0406C, B3.7, B3.8).

        At level 2, ``limits`` of the table descriptor give domain, PXN and NS. A domain that DACR
        makes a manager has every permission, one without access none; without DACR every domain
        is a client.
        """
        form = self._form(bits, level)
        field = self.layout(bits, level).decode(bits)
        if level == FIRST_LEVEL:
            domain = field.get("domain", 0)
            pxn, non_secure = bool(field["PXN"]), bool(field["NS"])
        else:
            domain = limits & DOMAIN_LIMIT
            pxn, non_secure = bool(limits & PXN_LIMIT), bool(limits & NS_LIMIT)
        el1, el0 = _permissions(field, pxn and self.pxn, domain, controls)
        index, memory, shareability = _memory(field, controls)
        return Attributes(
            memory=memory.memory,
            inner=memory.inner,
            outer=memory.outer,
            shareability=shareability,
            el0_read="r" in el0,
            el0_write="w" in el0,
            el0_execute="x" in el0,
            el1_read="r" in el1,
            el1_write="w" in el1,
            el1_execute="x" in el1,
            access_flag=bool(field["AP"] & 1) if controls.afe else True,
            dirty_managed=False,
            non_global=bool(field["nG"]),
            contiguous=form in (_Form.SUPERSECTION, _Form.LARGE),
            guarded=False,
            non_secure=non_secure,
            domain=domain,
            attr_index=index,
            software=field["TEX"] >> 1 if controls.tre else 0,
        )


_ADDRESS_MASKS = np.array([_LAYOUTS[form].address_mask for form in _Form], dtype=np.uint64)


def _permissions(
    field: Mapping[str, int], pxn: bool, domain: int, controls: Controls
) -> tuple[str, str]:
    """PL1's and PL0's permissions as letters of ``rwx``."""
    access = _CLIENT if controls.dacr is None else controls.dacr >> 2 * domain & 3
    if access == _MANAGER:
        return "rwx", "rwx"
    if access != _CLIENT:
        return "", ""
    if controls.afe:
        el1, el0 = _SIMPLE_PERMISSIONS[field["AP2"] << 1 | field["AP"] >> 1]
    else:
        el1, el0 = _PERMISSIONS[field["AP2"] << 2 | field["AP"]]
    if field["XN"]:
        return el1, el0
    # B3.7.2: fetching needs read permission; PXN, WXN and UWXN take execution away
    el1_execute = (
        "r" in el1
        and not pxn
        and not (controls.wxn and "w" in el1)
        and not (controls.uwxn and "w" in el0)
    )
    el0_execute = "r" in el0 and not (controls.wxn and "w" in el0)
    return el1 + "x" * el1_execute, el0 + "x" * el0_execute


def _memory(field: Mapping[str, int], controls: Controls) -> tuple[int, MemoryType, str]:
    """The index that TEX, C and B form, its memory type, and the shareability."""
    tex_c_b = field["TEX"] << 2 | field["C"] << 1 | field["B"]
    if controls.tre is None:
        return tex_c_b, UNKNOWN_TYPE, UNKNOWN
    if controls.tre:
        index = tex_c_b & 7
        if controls.prrr is None or controls.nmrr is None:
            return index, UNKNOWN_TYPE, UNKNOWN
        memory = remapped_type(controls.prrr, controls.nmrr, index)
        shareability = remapped_shareability(controls.prrr, index, field["S"], memory)
    else:
        index = tex_c_b
        memory = TEX_C_B.get(index, RESERVED_TYPE)
        shared = (memory.is_device and index != NON_SHAREABLE_DEVICE) or field["S"]
        # B3.8.2: without TEX remap shareable memory is not told inner from outer
        shareability = "outer" if shared else "non-shareable"
    if memory.memory == "Strongly-ordered" or (memory.is_device and controls.device_outer):
        shareability = "outer"
    return index, memory, shareability


@lru_cache
def short(pxn: bool = True) -> ShortFormat:
    """Short descriptors of a processor with (ID_MMFR0.VMSA ≥ 4) or without PXN."""
    return ShortFormat(pxn)
