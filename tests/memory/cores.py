"""ELF cores made by the tests, field by field."""

import struct
from dataclasses import dataclass

PT_LOAD, PT_NOTE, PT_DYNAMIC = 1, 4, 2
ARM, AARCH64, X86_64 = 40, 183, 62


@dataclass
class Load:
    address: int
    data: bytes
    memory_size: int | None = None
    kind: int = PT_LOAD


def note(name: bytes, kind: int, data: bytes) -> bytes:
    name += b"\0"
    return (
        struct.pack("<III", len(name), len(data), kind)
        + name.ljust(-(-len(name) // 4) * 4, b"\0")
        + data.ljust(-(-len(data) // 4) * 4, b"\0")
    )


def core(
    loads: list[Load], *, bits: int = 64, machine: int = AARCH64, kind: int = 4, order: str = "<"
) -> bytes:
    """An ELF core with the segments; those of another kind than PT_LOAD may stand among them."""
    header_size, step = (64, 56) if bits == 64 else (52, 32)
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    word = "Q" if bits == 64 else "I"
    header = ident + struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        *(kind, machine, 1, 0, header_size, 0, 0, header_size, step, len(loads), 0, 0, 0),
    )
    at = header_size + step * len(loads)
    table = body = b""
    for load in loads:
        size = len(load.data) if load.memory_size is None else load.memory_size
        values = (at + len(body), 0, load.address, len(load.data), size)
        if bits == 64:
            table += struct.pack(f"{order}IIQQQQQQ", load.kind, 6, *values, 0)
        else:
            table += struct.pack(f"{order}IIIIIIII", load.kind, *values, 6, 0)
        body += load.data
    return header + table + body
