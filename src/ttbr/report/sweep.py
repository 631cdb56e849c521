"""Many variants of a boot, one row each: text, CSV and JSON."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console

from ttbr.format import about, size
from ttbr.report.overview import Overview

COLUMNS = ("usable", "lowmem", "highmem", "linear map", "tables", "reserved", "CMA", "zones")
NUMBERS = (
    *("ram_bytes", "memory_bytes", "nomap_bytes", "lowmem_bytes", "highmem_bytes"),
    "reserved_bytes",
)
OTHERS = ("linear_map", "tables", "table_bytes", "cma", "zones")  # further columns of the CSV


@dataclass(frozen=True, slots=True)
class Row:
    """A variant: its values by key, and what came of it; ``error`` if the boot cannot go on."""

    variant: dict[str, str]
    stage: str | None = None
    overview: Overview | None = None
    messages: tuple[str, ...] = ()
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "variant": self.variant,
            "stage": self.stage,
            "error": self.error,
            **({} if self.overview is None else self.overview.as_json()),
            "messages": list(self.messages),
        }


def print_sweep(out: Console, rows: Sequence[Row]) -> None:
    """The rows as a table; an error stands in the place of the numbers."""
    keys = list(rows[0].variant) if rows else []
    lines = [[*keys, *COLUMNS]]
    lines += [[*row.variant.values(), *_cells(row)] for row in rows]
    widths = [
        max(len(line[i]) for line in lines if len(line) == len(lines[0]) or i < len(keys))
        for i in range(len(lines[0]))
    ]
    for number, line in enumerate(lines):
        text = "  ".join(
            cell if i == len(line) - 1 else cell.ljust(widths[i]) for i, cell in enumerate(line)
        )
        out.print(text, style="bold" if number == 0 else None, soft_wrap=True)


def _cells(row: Row) -> list[str]:
    found = row.overview
    if found is None:
        return [f"error: {row.error}"]
    return [
        about(found.memory),
        about(found.lowmem),
        about(found.highmem) if found.highmem else "-",
        _linear(found),
        f"{found.tables}, {about(found.table_bytes)}",
        about(found.reserved),
        ", ".join(f"{base:#x}-{base + length - 1:#x}" for _, base, length in found.cma) or "-",
        ", ".join(f"{zone.name} {zone.start:#x}-{zone.end - 1:#x}" for zone in found.zones) or "-",
    ]


def _linear(found: Overview) -> str:
    """What the linear map is made of, ``300×2 MiB 512×4 KiB``; ``c`` marks contiguous runs."""
    return " ".join(
        f"{kind['count']}×{size(kind['size']).replace(' ', '')}{'c' * kind['contiguous']}"
        for kind in found.linear_map
    )


def write_sweep_csv(out: TextIO, rows: Sequence[Row]) -> None:
    """The rows as CSV, bytes and addresses as numbers; lists in one field."""
    keys = list(rows[0].variant) if rows else []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*keys, *NUMBERS, *OTHERS, "error"])
    for row in rows:
        found = row.overview
        if found is None:
            numbers = [""] * len([*NUMBERS, *OTHERS])
        else:
            document = found.as_json()
            numbers = [
                *(str(document[name]) for name in NUMBERS),
                *(_linear(found), str(found.tables), str(found.table_bytes)),
                *("" if cell == "-" else cell for cell in _cells(row)[-2:]),
            ]
        writer.writerow([*row.variant.values(), *numbers, row.error or ""])
