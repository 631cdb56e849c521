"""Kinds of register fields that both architectures' registers are made of."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch.fields import Field, Layout
from ttbr.arch.long_format import SH_VALUES, YES_NO
from ttbr.arch.memory_types import MemoryType

ENABLED: Final[Mapping[int, str]] = {0: "disabled", 1: "enabled"}
WALKS: Final[Mapping[int, str]] = {0: "allowed", 1: "fault"}
"""EPDn and PDn: what table walks do."""
CACHE_POLICIES: Final[Mapping[int, str]] = {
    0: "Non-cacheable",
    1: "Write-Back Write-Allocate",
    2: "Write-Through no Write-Allocate",
    3: "Write-Back no Write-Allocate",
}
"""IRGN, ORGN, RGN, and NMRR's fields."""
NOT_THERE: Final[dict[int, str]] = {0: "not implemented", 1: "implemented"}


def flag(name: str, bit: int, meaning: str, values: Mapping[int, str] = YES_NO) -> Field:
    """A field of one bit."""
    return Field(name, bit, bit, meaning, values)


def feature(name: str, low: int, meaning: str, values: Mapping[int, str] = NOT_THERE) -> Field:
    """A four-bit field of an identification register."""
    return Field(name, low + 3, low, meaning, values)


def walk_fields(half: int, low: int) -> tuple[Field, ...]:
    """SHn, ORGNn and IRGNn, how walks through TTBRn access memory; IRGNn from bit ``low``."""
    who = f"walks through TTBR{half}"
    return (
        Field(f"SH{half}", low + 5, low + 4, f"shareability of {who}", SH_VALUES),
        Field(f"ORGN{half}", low + 3, low + 2, f"outer cacheability of {who}", CACHE_POLICIES),
        Field(f"IRGN{half}", low + 1, low, f"inner cacheability of {who}", CACHE_POLICIES),
    )


def memory_attributes(
    name: str, width: int, first: int, types: tuple[MemoryType, ...], source: str
) -> Layout:
    """A register of memory attribute bytes, the lowest of index ``first``."""
    values = {byte: str(kind) for byte, kind in enumerate(types)}
    fields = tuple(
        Field(f"Attr{first + at}", 8 * at + 7, 8 * at, f"memory type of index {first + at}", values)
        for at in reversed(range(width // 8))
    )
    return Layout(name, width, fields, source)
