"""The text of a kernel's own dump of its tables (debugfs ``kernel_page_tables``), from an image.

The kernel visits its tables in the order of addresses and looks at one entry after the other. It
starts a line where what it prints changes, and where an entry lies at or behind the next marker.
So what matters of an entry is where it lies and what would be said of it. Here the entries of all
tables become runs of equal ones, with NumPy; only lines are made in a loop.

Source: mm/ptdump.c, mm/pagewalk.c, arch/arm64/mm/ptdump.c and arch/arm/mm/dump.c (6.1 and 6.12).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ttbr.kernel.release import Release
from ttbr.mmu.address_space import AddressSpace
from ttbr.report.hostile import visible
from ttbr.report.ptdump_entries import (
    Entries,
    arm64_entries,
    lpae_entries,
    short_entries,
    with_hole_below,
)
from ttbr.report.ptdump_words import describe

UNITS = "KMGTPE"
"""Sizes are printed in the largest of these in which they are whole numbers."""

Markers = Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Style:
    """What the dumps of the two architectures do differently.

    ``bits`` of an address; ``holes``: whether ranges without any entry get a line, too;
    ``second_marker``: whether an entry that starts a line may bring a second marker with it.
    """

    bits: int
    holes: bool
    second_marker: bool


ARM64 = Style(bits=64, holes=True, second_marker=True)
ARM = Style(bits=32, holes=False, second_marker=False)


@dataclass(frozen=True, slots=True)
class Dump:
    """``text`` as the kernel prints it; ``missing``: what could not be looked at, a line each."""

    text: str
    missing: tuple[str, ...]


def ptdump(space: AddressSpace, markers: Markers, release: Release | None) -> Dump:
    """The kernel's dump of an address space.

    ``markers``: (first virtual address, name), in the order in which the kernel lists them;
    without any, no marker lines are made. ``release``: None stands for the newest known rules.
    """
    match space.regime.format.name:
        case "short":
            style, entries = ARM, short_entries(space)
        case "lpae":
            style, entries = ARM, lpae_entries(space)
        case _:
            style, entries = ARM64, arm64_entries(space, release)
            late = release is None or release.has("arm64_ptdump_from_run_time_offset")
            if markers and not late:
                entries = with_hole_below(space, entries, markers[0][0])
    end = space.regime.base + (1 << space.regime.input_bits)
    lines = _Lines(entries, markers, style).lines(end % (1 << style.bits))
    return Dump("".join(f"{line}\n" for line in lines), entries.missing)


class _Lines:
    """Makes the lines of one dump, in the order in which the kernel prints them."""

    def __init__(self, entries: Entries, markers: Markers, style: Style) -> None:
        self._entries = entries
        self._markers = markers
        self._style = style
        self._next_marker = 0
        self._said: dict[tuple[int, int], str] = {}
        runs = entries.runs
        change = np.ones(len(runs), np.bool_)
        change[1:] = (runs.bits[1:] != runs.bits[:-1]) | (runs.label[1:] != runs.label[:-1])
        self._changes = np.flatnonzero(change)

    def lines(self, end: int) -> Iterator[str]:
        """Every line; ``end`` is what the last one ends with."""
        runs = self._entries.runs
        if not len(runs):
            return
        heads = self._changes
        starts = runs.first[heads].tolist()
        bits, labels = runs.bits[heads].tolist(), runs.label[heads].tolist()
        start, place = starts[0], 0
        yield from self._marker(force=True)
        if self._style.second_marker:
            yield from self._marker(start)
        while True:
            change = starts[place + 1] if place + 1 < len(starts) else None
            marked = self._first_entry_marked(start)
            if change is None and marked is None:
                yield from self._line(start, end, bits[place], labels[place])
                return
            now = min(at for at in (change, marked) if at is not None)
            yield from self._line(start, now, bits[place], labels[place])
            yield from self._marker(now)
            start = now
            place += now == change
            if self._style.second_marker:
                yield from self._marker(now)

    def _marker(self, at: int = 0, force: bool = False) -> Iterator[str]:
        """The next marker, if an entry at ``at`` has reached it."""
        if self._next_marker < len(self._markers):
            address, name = self._markers[self._next_marker]
            if force or at >= address:
                self._next_marker += 1
                yield f"---[ {visible(name)} ]---"

    def _first_entry_marked(self, after: int) -> int | None:
        """Where the first entry behind ``after`` lies that has reached the next marker."""
        if self._next_marker == len(self._markers):
            return None
        runs = self._entries.runs
        wanted = max(self._markers[self._next_marker][0], after + 1)
        if wanted > int(runs.last[-1]):
            return None
        # The runs do not overlap, so their last entries ascend as their first ones do.
        place = int(np.searchsorted(runs.last, np.uint64(wanted)))
        first, step = int(runs.first[place]), 1 << int(runs.shift[place])
        return first + max(0, -(-(wanted - first) // step)) * step

    def _line(self, start: int, end: int, bits: int, label: int) -> Iterator[str]:
        """The line of a range, if it gets one."""
        if not bits and not self._style.holes:
            return
        digits = self._style.bits // 4
        size = (end - start) % (1 << self._style.bits) >> 10
        unit = 0
        while size % 1024 == 0 and unit + 1 < len(UNITS):
            size, unit = size >> 10, unit + 1
        said = self._said.get((bits, label))
        if said is None:
            what = self._entries.labels[label]
            said = what.text + (describe(what.words, bits) if bits else "")
            self._said[bits, label] = said
        yield f"0x{start:0{digits}x}-0x{end:0{digits}x}   {size:9d}{UNITS[unit]} {said}"
