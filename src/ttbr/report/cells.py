"""Rows of a query or a relation as text, JSON and CSV.

Addresses and words of bits are hexadecimal in all three. In text and CSV strings are shown with
escapes; JSON has them as they are, in JSON's own escapes. In CSV a string that a spreadsheet would
take for a formula begins with an escape.
"""

import csv
import json
import math
import re
from typing import Any, TextIO

from rich.console import Console

from ttbr.report.hostile import shown
from ttbr.report.rows import Cell, Hex, Rows
from ttbr.report.sql import Cells

_FORMULA = "=+-@"
_PERMISSIONS = re.compile(r"[r-][w-][x-][ps]")


def print_cells(out: Console, cells: Cells) -> int:
    """A line a row under a heading; what is null is a question mark. Returns how many rows.

    The heading comes again, and columns get another width, where rows come in several parts: any
    number can be printed.
    """
    names, count = [shown(name) for name in cells.names], 0
    for part in cells.rows:
        rows = [
            [_cell(value, word) for value, word in zip(row, cells.is_word, strict=True)]
            for row in part
        ]
        Rows(names, rows).print(out)
        count += len(rows)
    if not count:
        Rows(names, []).print(out)
    return count


def write_cells_json(out: TextIO, cells: Cells) -> None:
    """An array with an object a row; addresses are strings with 0x, what is not known is null."""
    out.write("[")
    between = "\n"
    for part in cells.rows:
        for row in part:
            values = zip(cells.names, map(_plain, row, cells.is_word), strict=True)
            out.write(between + json.dumps(dict(values), allow_nan=False))
            between = ",\n"
    out.write("\n]\n")


def write_cells_csv(out: TextIO, cells: Cells) -> None:
    """A heading, then a line a row; what is not known is empty, bools are 0 and 1."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(map(shown, cells.names))
    for part in cells.rows:
        for row in part:
            table.writerow(_csv(_plain(v, w)) for v, w in zip(row, cells.is_word, strict=True))


def _cell(value: Any, word: bool) -> Cell:
    plain = _plain(value, False)
    if word and isinstance(plain, int):
        return Hex(plain)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return plain if plain is None or isinstance(plain, int | str) else json.dumps(plain)


def _csv(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        text = shown(value)
        # A spreadsheet would take it for a formula and run that.
        acts = text[:1] in tuple(_FORMULA) and not _PERMISSIONS.fullmatch(text)
        return f"\\x{ord(text[0]):02x}{text[1:]}" if acts else text
    return json.dumps(value) if isinstance(value, list | dict) else value


def _plain(value: Any, word: bool) -> Any:
    """The value as JSON has it; what JSON has no form for is a string."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return hex(value) if word else value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [_plain(each, word) for each in value]
        case dict():
            return {str(name): _plain(each, word) for name, each in value.items()}
        case _:
            return str(value)
