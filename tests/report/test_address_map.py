"""The address maps as boxes: what is drawn is what there is, at any width, under any name."""

from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ttbr.report.address_map import MOST_BOXES, boxes_json, folded, physical_boxes
from ttbr.report.boxes import Box, print_boxes
from ttbr.report.coverage import Coverage
from ttbr.report.view.physical import LAYERS, Range

K = 1 << 10
SPACE = 1 << 8  # small enough to count address by address

ranges = st.builds(
    lambda layer, start, size, what: Range(layer, start, min(start + size, SPACE) - 1, what),
    st.sampled_from(LAYERS),
    st.integers(0, SPACE - 1),
    st.integers(1, SPACE),
    st.sampled_from(["0 DMA", "1 Normal", "kernel", "initrd"]),
)


def drawn(boxes: list[Box], width: int = 80, *, terminal: bool = False, **options) -> str:
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=terminal,
        color_system="truecolor" if terminal else None,
        highlight=False,
    )
    print_boxes(console, boxes, 32, **options)
    return out.getvalue()


@given(st.lists(ranges, max_size=12))
def test_boxes_tile_memory_and_name_the_smallest_content(found):
    boxes = physical_boxes(found)
    banks = [r for r in found if r.layer == "ram"]
    if not banks:
        assert not boxes
        return
    assert boxes[0].start == min(r.start for r in banks)
    assert boxes[-1].last == max(r.last for r in banks)
    assert all(a.last + 1 == b.start for a, b in pairwise(boxes))
    for box in boxes:
        for at in (box.start, box.last):
            inside = {
                layer: [r for r in found if r.layer == layer and r.start <= at <= r.last]
                for layer in LAYERS
            }
            if not inside["ram"]:
                assert box.name == "(no memory)"
            elif inside["content"]:
                least = min(r.last - r.start for r in inside["content"])
                assert box.name in {r.what for r in inside["content"] if r.last - r.start == least}
            else:
                assert box.name == ("reserved" if inside["reserved"] else "RAM")


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=8),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_coverage_counts_as_addresses_do(gaps, start, length):
    at, first, size = 0, [], []
    for gap, count in gaps:
        first.append(at + gap)
        size.append(count)
        at += gap + count
    covered = {a for f, s in zip(first, size, strict=True) for a in range(f, f + s)}
    coverage = Coverage(np.array(first, np.uint64), np.array(size, np.uint64))
    wanted = len(covered & set(range(start, start + length + 1)))
    assert coverage.within(start, start + length) == wanted
    rows = coverage.rows(start, start + length)
    assert [
        f for f, s in zip(first, size, strict=True) if f <= start + length and f + s > start
    ] == (coverage.first[rows].tolist())


def test_coverage_reaches_the_end_of_the_space():
    coverage = Coverage(np.array([(1 << 64) - 4096], np.uint64), np.array([4096], np.uint64))
    assert coverage.within(0, (1 << 64) - 1) == 4096
    assert coverage.within((1 << 64) - 1, (1 << 64) - 1) == 1


def test_free_memory_and_zones_are_told():
    found = [
        Range("ram", 0, 64 * K - 1, "RAM"),
        Range("zone", 0, 64 * K - 1, "0 DMA"),
        Range("content", 16 * K, 32 * K - 1, "kernel text"),
        Range("reserved", 0, 4 * K - 1, ""),
    ]
    free = Coverage(np.array([48 * K], np.uint64), np.array([8 * K], np.uint64))
    boxes = physical_boxes(found, free)
    assert [(b.name, b.size // K, b.label, b.lines) for b in boxes] == [
        ("reserved", 4, "DMA", ()),
        ("RAM", 12, "DMA", ("none of it free",)),
        ("kernel text", 16, "DMA", ()),
        ("RAM", 32, "DMA", ("free 8 KiB",)),
    ]
    assert boxes_json(boxes)[2] == {
        "start": "0x4000",
        "last": "0x7fff",
        "size": 16 * K,
        "what": "kernel text",
        "zone": "DMA",
    }


def test_many_small_ranges_are_folded_and_none_is_lost():
    found = [Range("ram", 0, (1 << 24) - 1, "RAM")]
    found += [Range("content", n << 14, (n << 14) + 0xFFF, f"thing {n}") for n in range(900)]
    boxes = physical_boxes(found)
    few = folded(boxes)
    assert len(boxes) > 900 and len(few) <= MOST_BOXES
    assert (few[0].start, few[-1].last) == (boxes[0].start, boxes[-1].last)
    assert sum(box.size for box in few) == sum(box.size for box in boxes)


def test_an_image_that_claims_very_many_ranges_is_drawn_in_bounded_time():
    found = [Range("ram", 0, (1 << 40) - 1, "RAM")]
    found += [Range("reserved", n << 13, (1 << 40) - 1, "") for n in range(1 << 15)]
    assert [box.name for box in physical_boxes(found)] == ["reserved"]


def test_addresses_may_reach_the_end_of_all():
    last = (1 << 64) - 1
    found = [Range("ram", 1 << 63, last, "RAM"), Range("content", last, 1 << 70, "kernel")]
    assert [(box.name, box.last) for box in physical_boxes(found)] == [
        ("RAM", last - 1),
        ("kernel", last),
    ]


BOXES = [Box(0, 0xFFF, "kernel text", ("mapped 4 KiB",), "DMA"), Box(0x1000, 0x7FFFFFFF, "RAM")]


@pytest.mark.parametrize("width", [45, 60, 80, 200])
def test_lines_have_one_width_and_fit(width):
    lines = drawn(BOXES, width, marks={0x40: "_text"}).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= width
    assert any(line.startswith("0x00000040") and "_text" in line for line in lines)


def test_colour_is_for_terminals():
    assert "\x1b[" in drawn(BOXES, terminal=True)
    assert "\x1b[" not in drawn(BOXES)


@given(st.text(max_size=80))
def test_names_cannot_break_the_picture(name):
    boxes = [Box(0, 0xFFF, name, (), name[:8]), Box(0x1000, 0x1FFF, "RAM")]
    lines = drawn(boxes, marks={1: name}).split("\n")
    assert len(lines) == 7
    assert {len(line) for line in lines[:-1]} == {len(lines[0])}
    assert all(line.isprintable() for line in lines)
