"""Linux's view of an address space as text, JSON or CSV: one line a run of entries."""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import numpy as np
from rich.console import Console

from ttbr.format import address, size
from ttbr.kernel.swap_types import ASSUMPTION, SPECIAL
from ttbr.mmu.address_space import AddressSpace
from ttbr.recover.linux_reading import KINDS, LinuxReader, flag_names
from ttbr.recover.linux_view import LinuxView
from ttbr.report.mappings import space_bits

CSV_COLUMNS = ("va", "last", "kind", "pa", "swap_type", "swap_offset", "size", "level", "flags")


@dataclass(frozen=True, slots=True)
class Row:
    """A run of entries that follow each other: ``va`` to ``last`` (inclusive).

    ``pa`` is None without a page, ``swap_type`` and ``swap_offset`` (in pages) for pages that are
    present; ``flags`` are of each entry.
    """

    va: int
    last: int
    kind: str
    pa: int | None
    swap_type: int | None
    swap_offset: int | None
    level: int
    flags: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the run."""
        return self.last - self.va + 1


def print_linux_view(
    out: Console, space: AddressSpace, reader: LinuxReader, view: LinuxView
) -> None:
    """One line a run, then how many entries there are of each kind."""
    bits = space_bits(space)
    for row in _rows(view):
        if row.kind == "swap":
            where = f"swap type {row.swap_type}, offset {row.swap_offset:#x}"
        elif row.pa is not None:
            where = f"{row.pa:#014x}"
        else:
            where = "-" if row.swap_offset is None else f"offset {row.swap_offset:#x}"
        text = (
            f"{address(row.va, bits)}-{address(row.last, bits)} -> {where} {size(row.size):>9}  "
            f"L{row.level}   {row.kind:<11} {' '.join(row.flags)}"
        )
        out.print(text.rstrip())
    counts = ", ".join(f"{count} {kind}" for kind, count in view.counts().items())
    out.print(f"{len(view)} entries of tables from {space.root:#x}: {counts or 'none'}")
    for note in _notes(view, reader):
        out.print(f"note: {note}")


def write_linux_json(
    out: TextIO, space: AddressSpace, reader: LinuxReader, view: LinuxView
) -> None:
    """The runs as one JSON document; addresses in hexadecimal, swap offsets in pages."""
    document: dict[str, Any] = {
        "root": hex(space.root),
        "format": space.regime.format.name,
        "release": None if reader.release is None else str(reader.release),
        "entries": len(view),
        "kinds": view.counts(),
        "notes": _notes(view, reader),
        "linux": [
            asdict(row)
            | {
                "va": hex(row.va),
                "last": hex(row.last),
                "pa": None if row.pa is None else hex(row.pa),
                "size": row.size,
            }
            for row in _rows(view)
        ],
    }
    json.dump(document, out, indent=1)
    out.write("\n")


def write_linux_csv(out: TextIO, view: LinuxView) -> None:
    """The runs as CSV with a heading; what a run does not have is empty."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for row in _rows(view):
        table.writerow(
            (
                hex(row.va),
                hex(row.last),
                row.kind,
                "" if row.pa is None else hex(row.pa),
                "" if row.swap_type is None else row.swap_type,
                "" if row.swap_offset is None else hex(row.swap_offset),
                row.size,
                row.level,
                " ".join(row.flags),
            )
        )


def _notes(view: LinuxView, reader: LinuxReader) -> list[str]:
    """What the listing leaves out or takes for granted."""
    lines = [view.truncated] if view.truncated else []
    if reader.release is None:
        lines.append("the kernel's release is not known: swap entries cannot be read")
    elif any(kind in SPECIAL for kind in view.counts()):
        lines.append(ASSUMPTION)
    return lines


def _rows(view: LinuxView) -> Iterator[Row]:
    first = view.runs()
    last = np.append(first[1:], len(view))[: len(first)] - 1
    read = view.readings
    columns = (
        view.va[first],
        view.va[last] + (view.size[last] - np.uint64(1)),
        read.kind[first],
        read.has_page[first],
        read.pa[first],
        read.swap_type[first],
        read.swap_offset[first],
        view.level[first],
        read.flags[first],
    )
    for va, end, kind, has_page, pa, swap_type, offset, level, flags in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        swapped = swap_type >= 0
        yield Row(
            va=va,
            last=end,
            kind=KINDS[kind],
            pa=pa if has_page else None,
            swap_type=swap_type if swapped else None,
            swap_offset=offset if swapped else None,
            level=level,
            flags=flag_names(flags),
        )
