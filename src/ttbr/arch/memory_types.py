"""Memory types: what a MAIR byte, a remapped index or TEX, C and B stand for."""

from dataclasses import dataclass
from typing import Final

from ttbr.arch.attributes import UNKNOWN


@dataclass(frozen=True, slots=True)
class MemoryType:
    """A memory type with its inner and outer cacheability (``-`` for other than Normal)."""

    memory: str
    inner: str = "-"
    outer: str = "-"

    @property
    def is_device(self) -> bool:
        """Device or Strongly-ordered memory, whose shareability is not the descriptor's."""
        return self.memory.startswith(("Device", "Strongly"))

    @property
    def is_non_cacheable(self) -> bool:
        """Normal memory that no cache holds."""
        return self.inner == self.outer == "NC"

    def __str__(self) -> str:
        if self.inner == "-":
            return self.memory
        return f"{self.memory}, inner {self.inner}, outer {self.outer}"


UNKNOWN_TYPE: Final = MemoryType(UNKNOWN)
RESERVED_TYPE: Final = MemoryType("Reserved")

SHAREABILITY: Final = ("non-shareable", "reserved", "outer", "inner")
"""SH[1:0] of long descriptors and of TCR (Arm ARM DDI 0487, D8.6; DDI 0406C, B3.8.4)."""


def long_shareability(kind: MemoryType, sh: int) -> str:
    """The shareability of ``kind`` with SH[1:0] = ``sh`` in a long format.

    Neither Device nor Non-cacheable memory heeds SH: both are Outer Shareable (Arm ARM DDI 0487,
    D8.6; DDI 0406C, B3.8.4).
    """
    if kind is UNKNOWN_TYPE:
        return UNKNOWN
    return "outer" if kind.is_device or kind.is_non_cacheable else SHAREABILITY[sh]


def _policy(nibble: int) -> str:
    """The cacheability that four bits of a MAIR byte stand for."""
    if nibble == 0b0100:
        return "NC"
    hints = [name for bit, name in ((2, "RA"), (1, "WA")) if nibble & bit]
    kind = "WB" if nibble & 0b0100 else "WT"
    transient = [] if nibble & 0b1000 else ["transient"]
    return " ".join([kind, *hints, *transient])


def _normal_rows() -> dict[int, MemoryType]:
    return {
        outer << 4 | inner: MemoryType("Normal", _policy(inner), _policy(outer))
        for outer in range(1, 16)
        for inner in range(1, 16)
    }


def _table(rows: dict[int, MemoryType]) -> tuple[MemoryType, ...]:
    return tuple(rows.get(byte, RESERVED_TYPE) for byte in range(256))


MAIR_V8: Final = _table(
    _normal_rows()
    | {
        0x00: MemoryType("Device-nGnRnE"),
        0x04: MemoryType("Device-nGnRE"),
        0x08: MemoryType("Device-nGRE"),
        0x0C: MemoryType("Device-GRE"),
        # with FEAT_XS: the same without the XS attribute
        0x01: MemoryType("Device-nGnRnE"),
        0x05: MemoryType("Device-nGnRE"),
        0x09: MemoryType("Device-nGRE"),
        0x0D: MemoryType("Device-GRE"),
        0x40: MemoryType("Normal", "NC", "NC"),
        0xA0: MemoryType("Normal", "WT RA", "WT RA"),
        # with FEAT_MTE2
        0xF0: MemoryType("Normal-Tagged", "WB RA WA", "WB RA WA"),
    }
)
"""MAIR_EL1.Attr<n> → memory type (Arm ARM DDI 0487, MAIR_EL1)."""

MAIR_V7: Final = _table(
    _normal_rows() | {0x00: MemoryType("Strongly-ordered"), 0x04: MemoryType("Device")}
)
"""MAIR0/MAIR1.Attr<n> → memory type (Arm ARM DDI 0406C, B4.1 MAIR0 and MAIR1)."""

_CACHE: Final = ("NC", "WB RA WA", "WT RA", "WB RA")
"""NMRR.IR<n> and OR<n>, and AA and BB of TEX, C, B (DDI 0406C, B4.1 NMRR; B3.8.2)."""

TEX_C_B: Final[dict[int, MemoryType]] = {
    0b000_0_0: MemoryType("Strongly-ordered"),
    0b000_0_1: MemoryType("Device"),
    0b000_1_0: MemoryType("Normal", "WT RA", "WT RA"),
    0b000_1_1: MemoryType("Normal", "WB RA", "WB RA"),
    0b001_0_0: MemoryType("Normal", "NC", "NC"),
    0b001_1_0: MemoryType("Implementation-defined"),
    0b001_1_1: MemoryType("Normal", "WB RA WA", "WB RA WA"),
    0b010_0_0: MemoryType("Device"),
} | {
    0b100_0_0 | outer << 2 | inner: MemoryType("Normal", _CACHE[inner], _CACHE[outer])
    for outer in range(4)
    for inner in range(4)
}
"""TEX[2:0]:C:B → memory type without TEX remap (DDI 0406C, B3.8.2); others are reserved."""

NON_SHAREABLE_DEVICE: Final = 0b010_0_0
"""TEX[2:0]:C:B of Non-shareable Device memory (DDI 0406C, B3.8.2)."""


def remapped_type(prrr: int, nmrr: int, index: int) -> MemoryType:
    """The memory type of index TEX[0]:C:B with TEX remap (DDI 0406C, B3.8.3)."""
    match prrr >> 2 * index & 3:
        case 0b00:
            return MemoryType("Strongly-ordered")
        case 0b01:
            return MemoryType("Device")
        case 0b10:
            inner, outer = nmrr >> 2 * index & 3, nmrr >> 2 * index + 16 & 3
            return MemoryType("Normal", _CACHE[inner], _CACHE[outer])
        case _:
            return RESERVED_TYPE


def remapped_shareability(prrr: int, index: int, shareable: int, kind: MemoryType) -> str:
    """The shareability of Device or Normal memory with TEX remap and S = ``shareable``.

    PRRR.DS<S> or NS<S> says whether, PRRR.NOS<index> whether only Inner (DDI 0406C, B3.8.3).
    """
    mapped = prrr >> (16 if kind.is_device else 18) + shareable & 1
    if not mapped:
        return "non-shareable"
    return "inner" if prrr >> 24 + index & 1 else "outer"


_STAGE_2_DEVICES: Final = {
    0b0000: MemoryType("Device-nGnRnE"),
    0b0001: MemoryType("Device-nGnRE"),
    0b0010: MemoryType("Device-nGRE"),
    0b0011: MemoryType("Device-GRE"),
}
_STAGE_2_CACHE: Final = {0b01: "NC", 0b10: "WT", 0b11: "WB"}

STAGE_2: Final[dict[int, MemoryType]] = _STAGE_2_DEVICES | {
    outer << 2 | inner: MemoryType("Normal", _STAGE_2_CACHE[inner], _STAGE_2_CACHE[outer])
    for outer in _STAGE_2_CACHE
    for inner in _STAGE_2_CACHE
}
"""MemAttr[3:0] of stage 2 with HCR_EL2.FWB = 0 (DDI 0487, D8.6); others are reserved.

It is the most that stage 2 allows: stage 1 can make memory less cacheable.
"""

AS_STAGE_1: Final = MemoryType("as stage 1")
STAGE_2_FORCED: Final[dict[int, MemoryType]] = _STAGE_2_DEVICES | {
    0b0101: MemoryType("Normal", "NC", "NC"),
    0b0110: MemoryType("Normal", "WB", "WB"),
    0b0111: AS_STAGE_1,
}
"""MemAttr[3:0] of stage 2 with HCR_EL2.FWB = 1 (DDI 0487, D8.6); others are reserved."""


def mair_bytes(mair: int) -> tuple[int, ...]:
    """The eight attribute bytes of MAIR_EL1 or MAIR1:MAIR0, index 0 first."""
    return tuple(mair >> 8 * index & 0xFF for index in range(8))
