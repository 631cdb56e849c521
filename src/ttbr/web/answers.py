"""What is answered about an image or a board: its document, a translation, what a space maps."""

from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ttbr import open as open_image
from ttbr.boot.board import Board
from ttbr.boot.boot import boot_until_failure, default_kernel
from ttbr.boot.fdt import read_blob
from ttbr.boot.loader import qemu
from ttbr.errors import InputError
from ttbr.findings.attempt import attempt
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Regions
from ttbr.mmu.walk import Budget
from ttbr.recover.identify import with_registers
from ttbr.recover.translate import Translator
from ttbr.report.mappings import notes
from ttbr.report.translation import translation_json
from ttbr.report.view import Room, Subject, linux_in, of_attempt, of_image, view
from ttbr.web.library import Entry

MOST_ROWS = 4096
"""Ranges in one answer."""
MOST_ENTRIES = 1 << 24
"""Entries of tables that are looked at for one space."""
MOST_SPACES = 4
"""Spaces of one image that are kept."""


def served_room() -> Room:
    """What a document holds at once: the page asks for the rest when it is looked at."""
    return Room(regions=1 << 15, tables=1 << 14, entries=1 << 21)


class _Space:
    """A space with the ranges that it maps."""

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self.mappings = space.mappings(budget=Budget(MOST_ENTRIES))
        self._regions = self.mappings.regions()
        self.va, self.last = self._regions.va, self._regions.last

    def rows(self, first: int, end: int) -> list[dict[str, Any]]:
        """Ranges ``first`` to ``end`` (exclusive) as JSON; sizes in bytes."""
        if first >= end:
            return []
        shown, regions = slice(first, end), self._regions
        low = int(regions.first[first])
        runs = regions.runs.chosen(slice(low, int(regions.final[end - 1]) + 1))
        part = Regions(runs, regions.first[shown] - low, regions.final[shown] - low)
        columns = (part.va, part.last, part.pa, part.attributes, part.rows)
        values = self.mappings.attribute_values
        return [
            {
                "va": hex(va),
                "last": hex(last),
                "pa": hex(pa),
                "size": last - va + 1,
                "levels": list(levels),
                "descriptors": descriptors,
                "attributes": values[index].summary() if index >= 0 else None,
            }
            for va, last, pa, index, descriptors, levels in zip(
                *(column.tolist() for column in columns), part.levels(), strict=True
            )
        ]


class Answers:
    """The answers about an image or a board, which is opened when the first is asked for.

    ``machine``: which of its machines, by the number in the document. Not to be used by two
    threads at once.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._spaces: OrderedDict[tuple[int, str], _Space] = OrderedDict()

    @cached_property
    def subject(self) -> Subject:
        """The board as it boots, or the image, with registers found in memory if it has none."""
        entry = self.entry
        entry.check()
        if entry.board:
            blob = read_blob(Path(entry.spec))
            tried = attempt(blob, Board.from_dtb, default_kernel, qemu, boot_until_failure)
            return of_attempt(entry.name, tried)
        image = with_registers(open_image(entry.spec, entry.registers))[0]
        return of_image(entry.name, image, linux_in(image))

    @cached_property
    def document(self) -> bytes:
        """The document for the page, packed."""
        return view([self.subject], served_room()).packed()

    def translate(self, machine: int, va: int, root: str | None) -> dict[str, Any]:
        """As ``ttbr translate --json`` has it: every step, fields, and the end."""
        return translation_json(Translator(self._image(machine), root).translate(va))

    def mappings(
        self, machine: int, root: str, start: int, last: int, limit: int
    ) -> dict[str, Any]:
        """The ranges of a space that lie in ``start`` to ``last``, at most ``limit`` of them.

        ``next``: where to go on, null when there is no more. ``bytes``: mapped by those given.
        """
        if start > last:
            raise InputError("the range is empty: 'to' is below 'from'")
        found = self._space(machine, root)
        first = int(np.searchsorted(found.last, np.uint64(start)))
        end = int(np.searchsorted(found.va, np.uint64(last), side="right"))
        behind = max(first, min(end, first + min(limit, MOST_ROWS)))
        return {
            "root": hex(found.space.root),
            "ranges": max(0, end - first),
            "mappings": found.rows(first, behind),
            "next": hex(int(found.va[behind])) if behind < end else None,
            "notes": notes(found.mappings),
        }

    def _image(self, machine: int) -> Image:
        images = self.subject.images
        if machine >= len(images):
            raise InputError(f"there are {len(images)} machines, the first is 0")
        return images[machine]

    def _space(self, machine: int, root: str) -> _Space:
        key = machine, root
        if key not in self._spaces:
            self._spaces[key] = _Space(self._image(machine).address_space(root))
            if len(self._spaces) > MOST_SPACES:
                self._spaces.popitem(last=False)
        self._spaces.move_to_end(key)
        return self._spaces[key]
