"""A kernel's symbols as text and JSON."""

import re
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console

from ttbr.errors import InputError
from ttbr.recover.kernel_symbols import KernelSymbols
from ttbr.report.hostile import shown


def matching(symbols: KernelSymbols, pattern: str | None) -> list[int]:
    """The rows whose whole name matches a regular expression; all without one."""
    if pattern is None:
        return list(range(len(symbols)))
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise InputError(f"'{pattern}' is no regular expression: {error}") from error
    return [row for row, name in enumerate(symbols.names) if wanted.fullmatch(name)]


def _rows(symbols: KernelSymbols, rows: list[int]) -> Iterator[tuple[int, str, str, str | None]]:
    for row in rows:
        module = int(symbols.module[row])
        yield (
            int(symbols.address[row]),
            symbols.types[row],
            symbols.names[row],
            symbols.modules[module] if module >= 0 else None,
        )


def write_symbols(out: TextIO, symbols: KernelSymbols, rows: list[int], word: int) -> None:
    """Lines as /proc/kallsyms has them."""
    for address, kind, name, module in _rows(symbols, rows):
        tail = "" if module is None else f"\t[{shown(module)}]"
        out.write(f"{address:0{2 * word}x} {shown(kind)} {shown(name)}{tail}\n")


def symbols_json(symbols: KernelSymbols, rows: list[int]) -> dict[str, Any]:
    """``source`` and ``symbols``: address, type, name, module (null for the kernel's own)."""
    return {
        "source": symbols.source,
        "symbols": [
            {
                "address": hex(address),
                "type": shown(kind),
                "name": shown(name),
                "module": None if module is None else shown(module),
            }
            for address, kind, name, module in _rows(symbols, rows)
        ],
    }


def print_nearest(out: Console, symbols: KernelSymbols, addresses: list[int]) -> bool:
    """For each address the symbol at or below it; whether all have one."""
    found = [symbols.nearest(address) for address in addresses]
    for address, near in zip(addresses, found, strict=True):
        text = "no symbol" if near is None else f"{shown(near[0])}+{near[1]:#x}"
        out.print(f"{address:#x} {text}")
    return None not in found
