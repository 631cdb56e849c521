"""The virtual address map of an image as a picture: its regions top to bottom."""

from rich.console import Console

from ttbr.format import about, address
from ttbr.mmu.regions import Region

WIDTH = 46  # of the boxes, in characters


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
