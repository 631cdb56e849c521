"""kallsyms: the symbol table that a kernel carries, found in memory without symbols.

The order of its parts (scripts/kallsyms.c): addresses, their base, the number, names, markers and
tokens; since 6.4 the number comes first and the addresses follow the tokens. Addresses are
pointers, or 32-bit offsets from a base, of which a kernel with absolute per-CPU symbols counts
negative ones downwards. All parts are aligned to a pointer's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.kallsyms_names import DIGITS, Names, Tokens, decode, find_names, read_tokens
from ttbr.recover.kernel_symbols import KernelSymbols
from ttbr.recover.search import find
from ttbr.recover.virtual_memory import VirtualMemory

_BEFORE, _AFTER = 24 << 20, 16 << 20  # bytes around the tokens in which the rest is
_MOST_PLACES = 64  # with the ten digits in a row that are looked at
_IMAGE = 1 << 28  # bytes of a kernel's image at most
_USER = {4: 0x4000_0000, 8: 0xFFF0 << 48}  # no kernel address is below, by pointer size


@dataclass(frozen=True)
class Table:
    """A symbol table in memory: ``at`` is the physical address of its tokens; ``layout`` in words.

    ``address``: run-time virtual addresses, uint64; ``base``: what offsets count from, or None.
    """

    at: int
    layout: str
    base: int | None
    address: NDArray[np.uint64]
    types: str
    names: list[str]


def find_tables(memory: PhysicalMemory, word: int) -> Iterator[Table]:
    """Every kallsyms in memory; ``word``: bytes of the kernel's pointers."""
    for place in islice(find(memory, DIGITS), _MOST_PLACES):
        bank = next(bank for bank in memory.banks if bank.base <= place < bank.end)
        start = max(bank.base, place - _BEFORE) // 8 * 8
        end = min(bank.end, place + _AFTER)
        near = min(end, place + (1 << 16))
        if start < bank.base:
            start += 8
        tokens = read_tokens(memory.read(start, near - start), place - start, word)
        if tokens is None:
            continue
        data = memory.read(start, end - start)
        names = find_names(data, tokens, word)
        if names is None:
            continue
        addresses = _addresses(data, tokens, names, word)
        decoded = decode(data, tokens, names)
        if addresses is None or decoded is None:
            continue
        layout, base, address = addresses
        yield Table(start + tokens.start, layout, base, address, *decoded)


def _addresses(
    data: bytes, tokens: Tokens, names: Names, word: int
) -> tuple[str, int | None, NDArray[np.uint64]] | None:
    """Layout, base and addresses: behind the tokens, or before the number."""
    count = len(names.first)
    room = -(-4 * count // word) * word
    behind = -(-tokens.end // word) * word
    before = names.count_at
    for where, offsets, base, pointers in (
        ("behind the tokens", behind, behind + room, behind),
        ("before the names", before - word - room, before - word, before - word * count),
    ):
        found = _relative(data, offsets, base, count, word)
        if found is not None:
            kind, value, address = found
            return f"{kind} {where}", value, address
        absolute = _numbers(data, pointers, count, word)
        if absolute is not None and _is_sorted(absolute) and int(absolute[-1]) >= _USER[word]:
            return f"pointers {where}", None, absolute
    return None


def _numbers(data: bytes, at: int, count: int, size: int) -> NDArray[np.uint64] | None:
    if at < 0 or at + count * size > len(data):
        return None
    return np.frombuffer(data, f"<u{size}", count, at).astype(np.uint64)


def _is_sorted(numbers: NDArray[np.uint64]) -> bool:
    return bool((numbers[1:] >= numbers[:-1]).all())


def _relative(
    data: bytes, at: int, base_at: int, count: int, word: int
) -> tuple[str, int, NDArray[np.uint64]] | None:
    """Offsets at ``at`` from the base at ``base_at``: what kind, the base, the addresses."""
    offsets, base = _numbers(data, at, count, 4), _numbers(data, base_at, 1, word)
    if offsets is None or base is None or int(base[0]) < _USER[word]:
        return None
    start = base[0]
    mask = np.uint64((1 << 8 * word) - 1)
    if _is_sorted(offsets):
        if int(start) + int(offsets[-1]) > int(mask):
            return None
        return "offsets", int(start), start + offsets
    signed = offsets.astype(np.uint32).view(np.int32).astype(np.int64)
    downwards = (start - np.uint64(1) - signed.astype(np.uint64)) & mask
    address = np.where(signed >= 0, signed.astype(np.uint64), downwards)
    if not _is_sorted(address):
        return None
    return "offsets with absolute per-CPU symbols", int(start), address


def kernel_kallsyms(memory: PhysicalMemory, kernel: VirtualMemory) -> KernelSymbols | None:
    """The running kernel's symbols, without its modules'; None if it carries none.

    A kernel that is loaded, but does not run (for a crash), has a table, too: the running one's
    lies where the kernel's tables map it, at the distance from its text that the image has.
    """
    for table in find_tables(memory, kernel.word):
        text = _text(table)
        start = None if text is None else kernel.pa(text)
        if text is None or start is None or abs(table.at - start) > _IMAGE:
            continue
        if kernel.pa(text + table.at - start) == table.at:
            none = np.full(len(table.address), -1, np.int16)
            source = f"kallsyms at {table.at:#x}, {table.layout}"
            return KernelSymbols(table.address, table.types, table.names, none, (), source)
    return None


def _text(table: Table) -> int | None:
    """Where the kernel's text begins by its own symbols."""
    for name in ("_stext", "_text", "stext"):
        if name in table.names:
            return int(table.address[table.names.index(name)])
    return None
