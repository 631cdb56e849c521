"""The virtual address map of an image: regions top to bottom, and what is mapped in each."""

from dataclasses import dataclass

import numpy as np
from rich.console import Console

from ttbr.format import about, address
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings

SPACE_END = {64: 1 << 64, 32: 1 << 32}
WIDTH = 46  # of the boxes, in characters


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the virtual space: ``start`` to ``last`` (inclusive); ``mapped`` bytes of it."""

    name: str
    start: int
    last: int
    mapped: int


def regions(image: Image, mappings: Mappings) -> list[Region]:
    """The regions between the kernel's markers, ascending, unnamed ones included.

    Regions follow `ImageFacts.markers`: "… start" opens one, "… end" closes it, other names open
    one that lasts to the next marker.
    """
    bits = 64 if image.arch == "arm64" else 32
    edges = sorted({0: "user space", **_edges(image)}.items())
    rows = []
    for (start, name), (end, _) in zip(edges, [*edges[1:], (SPACE_END[bits], "")], strict=True):
        if end > start:
            rows.append(Region(name, start, end - 1, _mapped(mappings, start, end - 1)))
    return rows


def print_va_map(out: Console, rows: list[Region], bits: int, marks: dict[int, str]) -> None:
    """The regions as a column of boxes, the top of the space first.

    ``marks`` are single addresses with a name; each is shown inside its region.
    """
    indent = " " * (2 + bits // 4)
    for number, row in enumerate(reversed(rows)):
        corner = "┌┐" if number == 0 else "├┤"
        out.print(f"{address(row.last, bits)} {corner[0]}{'─' * WIDTH}{corner[1]}")
        extent = about(row.last - row.start + 1)
        out.print(f"{indent} │ {row.name or '(nothing)':<{WIDTH - 18}}{extent:>16} │")
        if row.mapped:
            out.print(f"{indent} │ {'':<4}{'mapped ' + about(row.mapped):<{WIDTH - 6}} │")
        for place, name in sorted(marks.items(), reverse=True):
            if row.start <= place <= row.last:
                out.print(f"{address(place, bits)} │ {'':<4}{name:<{WIDTH - 6}} │")
    out.print(f"{address(rows[0].start, bits)} └{'─' * WIDTH}┘")


def _edges(image: Image) -> dict[int, str]:
    """Where regions begin, by the markers; behind an end lies a nameless one."""
    edges: dict[int, str] = {}
    if image.facts.markers:
        first = min(va for va, _ in image.facts.markers)
        if image.arch == "arm64":
            edges[1 << image.user_regime.input_bits] = "(neither TTBR)"
        else:
            edges[first] = ""
    for va, name in sorted(image.facts.markers):
        lowered = name.lower()
        if lowered.endswith(" end"):
            edges.setdefault(va, "")
        else:
            edges[va] = name.removesuffix(" start").removesuffix(" begin").replace("()", "")
    return edges


def _mapped(mappings: Mappings, start: int, last: int) -> int:
    """Bytes mapped from ``start`` to ``last``; runs end with their table, regions with blocks."""
    runs = mappings.runs
    inside = (runs.va >= np.uint64(start)) & (runs.va <= np.uint64(last))
    return int(runs.bytes[inside].sum())
