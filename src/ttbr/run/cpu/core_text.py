"""TLBs in words: a core's, or a core's with other figures."""

from __future__ import annotations

from dataclasses import replace

from ttbr.errors import InputError
from ttbr.run.cpu.cores import TLBS, CoreTlbs, G, K, M, TlbShape

FORM = "CORE[,fetch|data|main=ENTRIES[/WAYS[/SIZE+SIZE]]][,walk_cache=ENTRIES]"
MOST_ENTRIES = 1 << 16
SMALLEST, LARGEST = 4 * K, 512 * G
_UNITS = {"K": K, "M": M, "G": G}


def parse_tlbs(text: str) -> CoreTlbs:
    """The TLBs that a text of the form `FORM` describes; `InputError` for any other.

    Without WAYS a TLB is fully associative, without sizes it has those of the core's.
    ``Cortex-A53,main=64/4/4K+64K`` is a Cortex-A53 whose main TLB has 64 entries in sets of four,
    for 4 KiB and 64 KiB.
    """
    name, *changes = text.split(",")
    if name not in TLBS:
        raise InputError(f"'{name}' is not one of the cores {', '.join(TLBS)}")
    core = TLBS[name]
    for change in changes:
        level, _, figures = change.partition("=")
        match level:
            case "fetch":
                core = replace(core, instruction=_shape(figures, change, core.instruction))
            case "data":
                core = replace(core, data=_shape(figures, change, core.data))
            case "main":
                core = replace(core, main=_shape(figures, change, core.main))
            case "walk_cache":
                core = replace(core, walk_cache=_number(figures, change, least=0))
            case _:
                raise InputError(f"'{change}' is no part of TLBs: {FORM}")
    return core


def _shape(text: str, change: str, before: TlbShape) -> TlbShape:
    entries_text, *more = text.split("/")
    entries = _number(entries_text, change, least=1)
    ways = _number(more[0], change, least=1) if more else entries
    sizes = tuple(_size(each, change) for each in more[1].split("+")) if more[1:] else before.sizes
    if len(more) > 2 or entries % ways or sizes != tuple(sorted(set(sizes))):
        raise InputError(f"'{change}': sets are equally large, and sizes ascend: {FORM}")
    return TlbShape(entries, ways, sizes)


def _number(text: str, change: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= MOST_ENTRIES:
        raise InputError(f"'{change}': entries and ways are {least} to {MOST_ENTRIES}: {FORM}")
    return int(text[:9])


def _size(text: str, change: str) -> int:
    unit, digits = _UNITS.get(text[-1:], 0), text[:-1]
    size = int(digits[:9]) * unit if digits.isascii() and digits.isdigit() else 0
    if not SMALLEST <= size <= LARGEST or size & size - 1:
        raise InputError(f"'{change}': sizes are powers of two with K, M or G, from 4K: {FORM}")
    return size
