"""A map as a column of boxes: each a stretch of addresses, the top of the space first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from ttbr.format import about, address
from ttbr.report.hostile import shown

LEAST_WIDTH, MOST_WIDTH = 30, 72  # of the boxes, in characters
LONGEST_LABEL = 16
_EXTENT = 10  # characters of "1023.9 MiB"
_INDENT = "    "

COLOURS: Mapping[str, str] = {
    "kernel": "#d55e00",
    "linear": "#0072b2",
    "tables": "#cc79a7",
    "vmalloc": "#e69f00",
    "modules": "#f0e442",
    "pages": "#56b4e9",
    "device": "#009e73",
    "user": "#999999",
    "none": "dim",
}
"""Colours by purpose, that people who see fewer colours tell apart (Okabe and Ito's)."""
_PURPOSES = (
    ("kernel mapping", "linear"),
    ("linear", "linear"),
    ("kernel", "kernel"),
    ("vectors", "kernel"),
    ("translation tables", "tables"),
    ("vmalloc", "vmalloc"),
    ("cma", "vmalloc"),
    ("modules", "modules"),
    ("initrd", "modules"),
    ("vmemmap", "pages"),
    ("struct pages", "pages"),
    ("free", "pages"),
    ("fixmap", "device"),
    ("pci", "device"),
    ("fdt", "device"),
    ("device tree", "device"),
    ("user", "user"),
    ("(", "none"),
)
"""What a stretch is for, by a word of its name; the first that is there counts."""


@dataclass(frozen=True, slots=True)
class Box:
    """``start`` to ``last`` (inclusive); ``lines`` stand below the name, ``label`` beside it."""

    start: int
    last: int
    name: str
    lines: tuple[str, ...] = ()
    label: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.last - self.start + 1


def print_boxes(
    out: Console, boxes: Sequence[Box], bits: int, marks: Mapping[int, str] | None = None
) -> None:
    """Draw the boxes, which are ascending, as wide as they need to be and the console allows.

    ``marks`` are single addresses with a name; each is shown inside its box.
    """
    labels = max(len(_label(box)) for box in boxes)
    tails = [_tail(box, labels) for box in boxes]
    wanted = [len(shown(box.name)) + len(tail) for box, tail in zip(boxes, tails, strict=True)]
    wanted += [len(_INDENT + line) for box in boxes for line in box.lines]
    left = 2 + bits // 4  # an address
    width = max(LEAST_WIDTH, min(max(wanted) + 2, out.width - left - 3, MOST_WIDTH))

    def line(start: str, name: str, tail: str = "", colour: str = "") -> None:
        name = _cut(name, width - 2 - len(tail))
        text = Text(f"{start:<{left}} │ ")
        text.append(name, colour)
        text.append(f"{tail:>{width - 2 - len(name)}} │")
        out.print(text, soft_wrap=True)

    corners = "┌┐"
    for box, tail in zip(reversed(boxes), reversed(tails), strict=True):
        edge = f"{corners[0]}{'─' * width}{corners[1]}"
        out.print(f"{address(box.last, bits)} {edge}", soft_wrap=True)
        corners = "├┤"
        line("", shown(box.name), tail, COLOURS.get(purpose(box.name), ""))
        for each in box.lines:
            line("", _INDENT + each)
        for place, name in sorted((marks or {}).items(), reverse=True):
            if box.start <= place <= box.last:
                line(address(place, bits), _INDENT + shown(name))
    out.print(f"{address(boxes[0].start, bits)} └{'─' * width}┘", soft_wrap=True)


def purpose(name: str) -> str:
    """What a stretch of this name is for, one of `COLOURS`; empty where no word tells."""
    lowered = name.lower()
    return next((found for word, found in _PURPOSES if word in lowered), "")


def _tail(box: Box, labels: int) -> str:
    """What stands at the right of a box: its size, and its label where there are any."""
    label = f"  {_label(box):<{labels}}" if labels else ""
    return f" {about(box.size):>{_EXTENT}}{label}"


def _label(box: Box) -> str:
    return _cut(shown(box.label), LONGEST_LABEL)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[:width]
