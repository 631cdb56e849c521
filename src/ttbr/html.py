"""Small pieces of HTML for notebooks: no script, no style sheet, nothing that is not escaped.

Names in an image or a device tree are chosen by whoever made it: all text passes `text`.
"""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

MOST_ROWS = 24
"""Rows of a table that are shown; how many more there are is said below it."""
LONGEST_TEXT = 400
_TABLE = ' style="font-family:monospace;white-space:nowrap"'
_CELL = ' style="text-align:left"'


def text(value: object) -> str:
    """A value as HTML's text; what does not print is an escape, what is very long is cut."""
    found = str(value)
    if len(found) > LONGEST_TEXT:
        found = f"{found[:LONGEST_TEXT]}…"
    if not found.isprintable():
        found = found.encode("unicode_escape").decode("ascii")
    return escape(found)


def line(value: object) -> str:
    """A paragraph of one sentence."""
    return f"<p>{text(value)}</p>"


def table(names: Sequence[str], rows: Iterable[Sequence[object]], count: int) -> str:
    """A table of at most `MOST_ROWS` of ``rows``, of which there are ``count``."""
    head = "".join(f"<th{_CELL}>{text(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td{_CELL}>{text(cell)}</td>" for cell in row) + "</tr>"
        for row in islice(rows, MOST_ROWS)
    )
    more = line(f"… and {count - MOST_ROWS} more") if count > MOST_ROWS else ""
    return f"<table{_TABLE}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def folded(summary: object, inner: str) -> str:
    """HTML that opens when its summary is clicked."""
    return f"<details><summary>{text(summary)}</summary>{inner}</details>"
