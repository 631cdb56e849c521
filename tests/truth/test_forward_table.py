"""docs/forward-exactness.md says what is true of the recordings at hand."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from types import ModuleType

from forward_table import Row, row, table

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "forward-exactness.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->\n"


def test_the_table_in_the_docs_is_current(truth: ModuleType, say: Callable[[str], None]) -> None:
    rows = [row(truth, case) for case in truth.cases()]
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if os.environ.get("TTBR_WRITE_DOCS"):
        PAGE.write_text(before + BEGIN + table(rows) + END + after, "utf-8")
        return
    for found in rows:
        say(f"{found.case}: {found.markdown()}")
    written = {line.split(" | ")[0].removeprefix("| "): line for line in rest.splitlines()}
    # Another set of recordings may hold others; what the page speaks of must be true of it.
    stale = [r.case for r in rows if written.get(r.case, r.markdown()) != r.markdown()]
    assert not stale, "TTBR_WRITE_DOCS=1 writes the table anew"
    assert all(not _wrong(found) for found in rows)


def _wrong(found: Row) -> list[str]:
    """Comparisons that are not all equal."""
    pairs = [value.split(" of ") for value in vars(found).values() if " of " in value]
    return [f"{a} of {b}" for a, b in pairs if a != b]
