"""The two address maps of a machine as boxes: the kernel's virtual space, and physical memory."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.format import about, counted
from ttbr.mmu.regions import Region
from ttbr.report.boxes import Box
from ttbr.report.coverage import Coverage
from ttbr.report.view.physical import Range

MOST_BOXES = 32
"""Boxes of a picture: the smallest neighbours beyond are drawn as one."""
MOST_RANGES = 1 << 12
"""Ranges of a layer that are drawn: a board has dozens, an image can claim any number."""
PAGE = 1 << 12
NO_MEMORY, RAM, RESERVED = "(no memory)", "RAM", "reserved"


def virtual_boxes(rows: Iterable[Region]) -> list[Box]:
    """The regions of the kernel's layout with what is mapped in each."""
    return [
        Box(
            row.start,
            row.last,
            row.name or "(nothing)",
            (f"mapped {about(row.mapped)}",) if row.mapped else (),
        )
        for row in rows
    ]


def physical_boxes(ranges: Iterable[Range], free: Coverage | None = None) -> list[Box]:
    """Physical memory from the first bank to the last: what lies where, in which zone, how free.

    Where several things lie in each other the smallest counts. What nothing is known of is
    reserved by memblock, or RAM of which ``free``, the page allocator's blocks, covers a part.
    """
    layers: dict[str, list[Range]] = {}
    for each in ranges:
        layers.setdefault(each.layer, []).append(each)
    layers = {name: sorted(found, key=_place)[:MOST_RANGES] for name, found in layers.items()}
    banks = layers.get("ram", [])
    if not banks:
        return []
    first, end = banks[0].start, max(bank.last for bank in banks) + 1
    edges = {first, end}
    for found in layers.values():
        edges |= {min(max(edge, first), end) for r in found for edge in (r.start, r.last + 1)}
    atoms = sorted(edges)
    owners = {name: _innermost(atoms, found) for name, found in layers.items()}
    nodes = {zone.what.partition(" ")[0] for zone in layers.get("zone", [])}
    boxes: list[Box] = []
    for at, (start, after) in enumerate(pairwise(atoms)):
        inside = {
            layer: found[owners[layer][at]]
            for layer, found in layers.items()
            if owners[layer][at] >= 0
        }
        name, label = _named(inside, len(nodes) > 1)
        goes_on = boxes and (boxes[-1].name, boxes[-1].label) == (name, label)
        begin = boxes.pop().start if goes_on else start
        boxes.append(Box(begin, after - 1, name, (), label))
    if free is None:
        return boxes
    return [_with_free(box, free) if box.name == RAM else box for box in boxes]


def _with_free(box: Box, free: Coverage) -> Box:
    found = free.within(box.start, box.last)
    return replace(box, lines=(f"free {about(found)}" if found else "none of it free",))


def folded(boxes: Sequence[Box], most: int = MOST_BOXES) -> list[Box]:
    """At most ``most`` boxes if that can be: runs of boxes below some size are one.

    What is smaller than a page always is.
    """
    found = _fold(boxes, PAGE - 1)
    for size in sorted({box.size for box in boxes}):
        if len(found) <= most:
            break
        found = _fold(boxes, size)
    return found


def boxes_json(boxes: Iterable[Box]) -> list[dict[str, Any]]:
    """The boxes as JSON: addresses in hex, ``last`` inclusive, sizes in bytes."""
    return [
        {
            "start": hex(box.start),
            "last": hex(box.last),
            "size": box.size,
            "what": box.name,
            "zone": box.label or None,
        }
        for box in boxes
    ]


def _place(each: Range) -> tuple[int, int]:
    return each.start, -each.last


def _named(inside: dict[str, Range], many_nodes: bool) -> tuple[str, str]:
    """Name and zone of a stretch by the range of each layer that it lies in."""
    if "ram" not in inside:
        return NO_MEMORY, ""
    zone = ""
    if "zone" in inside:
        node, _, name = inside["zone"].what.partition(" ")
        zone = f"node {node} {name}" if many_nodes else name
    if "content" in inside:
        return inside["content"].what, zone
    return RESERVED if "reserved" in inside else RAM, zone


def _innermost(atoms: Sequence[int], ranges: Sequence[Range]) -> NDArray[np.intp]:
    """For each stretch between two atoms the smallest range that it lies in, or −1."""
    owner = np.full(len(atoms) - 1, -1, np.intp)
    by_size = sorted(range(len(ranges)), key=lambda k: ranges[k].start - ranges[k].last)
    for number in by_size:
        low = bisect_left(atoms, ranges[number].start)
        owner[low : bisect_left(atoms, ranges[number].last + 1)] = number
    return owner


def _fold(boxes: Sequence[Box], least: int) -> list[Box]:
    """Runs of boxes of at most ``least`` bytes as one box each."""
    found: list[Box] = []
    run: list[Box] = []
    for box in (*boxes, None):
        if box is not None and box.size <= least:
            run.append(box)
            continue
        if len(run) > 1:
            words = ", ".join(dict.fromkeys(each.name for each in run))
            name = f"{counted(len(run), 'range')}: {words}"
            found.append(Box(run[0].start, run[-1].last, name, (), run[0].label))
        else:
            found += run
        run = []
        if box is not None:
            found.append(box)
    return found
