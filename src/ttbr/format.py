"""How numbers are written, and read: addresses, sizes, ranges."""

import re

_SUFFIX = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def address(value: int, bits: int = 64) -> str:
    """An address with all its digits: ``0xffff000000000000`` (64 bits) or ``0xc0000000`` (32)."""
    return f"0x{value & ((1 << 64) - 1):0{bits // 4}x}"


def hex_value(value: int) -> str:
    """A number as JSON carries it: ``0x40000000``."""
    return f"{value:#x}"


def size(value: int) -> str:
    """A size in the largest unit that states it exactly (``2 MiB``, ``1664 KiB``, ``40 B``)."""
    unit = 0
    while value and value % 1024 == 0 and unit < len(_UNITS) - 1:
        value //= 1024
        unit += 1
    return f"{value} {_UNITS[unit]}"


def about(value: int) -> str:
    """A size for reading, rounded to four digits (``1.213 GiB``)."""
    amount, unit = float(value), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{amount:.4g} {_UNITS[unit]}" if unit else f"{value} B"


def counted(count: int, noun: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def number(text: str) -> int:
    """``0x40000000``, ``4096`` or ``2G`` (binary suffixes K to P) as an integer.

    Raises ValueError for anything else, or for more than 64 bits.
    """
    match = re.fullmatch(
        r"(0[xX][0-9a-fA-F_]+|[0-9][0-9_]*)([kKmMgGtTpP]?)(?:i?[bB])?", text.strip()
    )
    if match is None:
        raise ValueError(f"{text!r} is not a number (write 0x40000000, 4096 or 2G)")
    value = int(match[1], 0 if match[1][:2].lower() == "0x" else 10) * _SUFFIX[match[2].lower()]
    if value >= 1 << 64:
        raise ValueError(f"{text!r} has more than 64 bits")
    return value
