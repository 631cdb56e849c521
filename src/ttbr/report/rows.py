"""Rows under a heading, as text and as JSON: for listings whose columns are named once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from ttbr.report.hostile import shown


@dataclass(frozen=True, slots=True)
class Hex:
    """A number that is written in hexadecimal."""

    value: int


WIDEST = 120
"""Characters of a column at most: one long name must not make every line as long."""

Cell = int | str | Hex | None
"""None is what is not known."""


@dataclass(frozen=True)
class Rows:
    """``names`` of the columns, and the ``rows``."""

    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def as_json(self) -> list[dict[str, Any]]:
        """One object a row; addresses are strings with 0x."""
        return [dict(zip(self.names, map(_plain, row), strict=True)) for row in self.rows]

    def print(self, out: Console) -> None:
        """A line a row; numbers stand at the right of their column.

        What is wider than `WIDEST` moves what stands behind it in its own line only.
        """
        head = [name.upper() for name in self.names]
        table = [head, *([_text(cell) for cell in row] for row in self.rows)]
        count = range(len(head))
        widths = [min(WIDEST, max(len(line[k]) for line in table)) for k in count]
        numbers = [all(isinstance(row[k], int) for row in self.rows) for k in count]
        for line in table:
            cells = [
                text.rjust(width) if is_number else text.ljust(width)
                for text, width, is_number in zip(line, widths, numbers, strict=True)
            ]
            out.print("  ".join(cells).rstrip(), soft_wrap=True)


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Hex):
        return hex(cell.value)
    return shown(cell) if isinstance(cell, str) else cell


def _text(cell: Cell) -> str:
    if cell is None:
        return "?"
    if isinstance(cell, Hex):
        return f"{cell.value:#x}"
    return shown(cell) if isinstance(cell, str) else str(cell)
