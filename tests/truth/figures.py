"""Figures of comparisons, and the cells of docs/linux-in-an-image.md that must say the same.

A cell that is out of date fails the test that compared; TTBR_WRITE_DOCS=1 writes it anew (with one
worker: -n0). The page speaks of the recordings that its readers can have, and has a row or column
for each; of others it says nothing.
"""

import os
import pathlib
import re
from collections.abc import Callable, Mapping

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "linux-in-an-image.md"
FIGURES = (
    *("kallsyms", "processes", "areas", "pagemap frames", "pagemap flags", "memblock", "zones"),
    *("free lists", "buddyinfo", "vmalloc", "meminfo", "table pages", "layouts"),
    "copy-on-write pages",
)
"""Columns of the table of what was compared."""
Cells = Mapping[tuple[str, str], str]
"""Text by the first cell of a row and the heading of a column."""


class Figures:
    """What was compared on one recording: said at the end of the run, and held against the page."""

    def __init__(self, case: str, say: Callable[[str], None]) -> None:
        self._case = case
        self._say = say

    def __call__(
        self, name: str, compared: int, equal: int, unknown: int = 0, note: str = ""
    ) -> None:
        """``name``: one of `FIGURES`; ``unknown``: what the image does not tell, not compared."""
        assert name in FIGURES
        more = f"; {note}" if note else ""
        self._say(
            f"{self._case}: {name}, compared {compared}, equal {equal}, unknown {unknown}{more}"
        )
        text = f"{equal} of {compared}" + (f", unknown {unknown}" if unknown else "")
        hold({(self._case, name): text})


def tables() -> list[list[list[str]]]:
    """The tables of the page, as cells of lines; the second line is the rule."""
    return [_cells(found[0]) for found in _tables(PAGE.read_text())]


def hold(cells: Cells) -> None:
    """The page has these cells where it has their rows and columns; or is written so."""
    writing, text = bool(os.environ.get("TTBR_WRITE_DOCS")), PAGE.read_text()
    stated = {}
    for found in _tables(text):
        table = _cells(found[0])
        heading, rows = table[0], {line[0]: line for line in table[2:]}
        mine = [(row, column) for row, column in cells if row in rows and column in heading[1:]]
        for row, column in mine:
            place = heading.index(column)
            stated[row, column] = rows[row][place]
            rows[row][place] = cells[row, column]
        if mine and writing:
            lines = "".join(f"| {' | '.join(line)} |\n" for line in table)
            text = text.replace(found[0], lines)
    if writing:
        PAGE.write_text(text)
    else:
        stale = [
            f"{' / '.join(place)}: {cell!r}, found {cells[place]!r}"
            for place, cell in stated.items()
            if cell != cells[place]
        ]
        assert not stale, f"{PAGE.name} is out of date: {'; '.join(stale)}"


def _tables(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"(?:^\|.*\|\n)+", text, re.M))


def _cells(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        for line in table.splitlines()
    ]
