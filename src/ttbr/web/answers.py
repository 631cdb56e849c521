"""What is answered about one image: its document, a translation, what a space maps."""

from collections import OrderedDict
from functools import cached_property
from typing import Any

import numpy as np

from ttbr import open as open_image
from ttbr.errors import InputError, TtbrError
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings, Regions
from ttbr.mmu.walk import Budget
from ttbr.recover.identify import with_registers
from ttbr.recover.linux import Linux
from ttbr.recover.translate import Translator
from ttbr.report.mappings import notes
from ttbr.report.translation import translation_json
from ttbr.report.view import Room, of_image, view
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


class Answers:
    """The answers about an image, which is opened when the first is asked for.

    Not to be used by two threads at once.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._spaces: OrderedDict[str, tuple[AddressSpace, Mappings, Regions]] = OrderedDict()

    @cached_property
    def image(self) -> Image:
        """The image, with registers found in memory where it has none."""
        self.entry.check()
        return with_registers(open_image(self.entry.spec, self.entry.registers))[0]

    @cached_property
    def document(self) -> bytes:
        """The document for the page, packed."""
        linux: Linux | None = Linux(self.image)
        try:
            self.image.address_space("kernel")
        except TtbrError:
            linux = None
        subject = of_image(self.entry.name, self.image, linux)
        return view([subject], served_room()).packed()

    def translate(self, va: int, root: str | None) -> dict[str, Any]:
        """As ``ttbr translate --json`` has it: every step, fields, and the end."""
        return translation_json(Translator(self.image, root).translate(va))

    def mappings(self, root: str, start: int, last: int, limit: int) -> dict[str, Any]:
        """The ranges of a space that lie in ``start`` to ``last``, at most ``limit`` of them.

        ``next``: where to go on, null when there is no more. ``bytes``: mapped by those given.
        """
        if start > last:
            raise InputError("the range is empty: 'to' is below 'from'")
        space, mappings, regions = self._space(root)
        if not len(regions):
            first, end = 0, 0
        else:
            first = int(np.searchsorted(regions.last, np.uint64(start)))
            end = int(np.searchsorted(regions.va, np.uint64(last), side="right"))
        shown = slice(first, min(end, first + min(limit, MOST_ROWS)))
        levels = regions.levels()[shown]
        columns = (regions.va, regions.last, regions.pa, regions.attributes, regions.rows)
        values = mappings.attribute_values
        rows = [
            {
                "va": hex(va),
                "last": hex(end_va),
                "pa": hex(pa),
                "size": end_va - va + 1,
                "levels": list(level),
                "descriptors": descriptors,
                "attributes": values[index].summary() if index >= 0 else None,
            }
            for va, end_va, pa, index, descriptors, level in zip(
                *(column[shown].tolist() for column in columns), levels, strict=True
            )
        ]
        more = end > shown.stop
        return {
            "root": hex(space.root),
            "ranges": end - first,
            "mappings": rows,
            "next": hex(int(regions.va[shown.stop])) if more else None,
            "notes": notes(mappings),
        }

    def _space(self, root: str) -> tuple[AddressSpace, Mappings, Regions]:
        if root not in self._spaces:
            space = self.image.address_space(root)
            mappings = space.mappings(budget=Budget(MOST_ENTRIES))
            self._spaces[root] = space, mappings, mappings.regions()
            if len(self._spaces) > MOST_SPACES:
                self._spaces.popitem(last=False)
        self._spaces.move_to_end(root)
        return self._spaces[root]
