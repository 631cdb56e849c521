"""Every table that ttbr can show of an image, as a relation: for SQL, files, and Arrow in Python.

A new relation is a row of `RELATIONS`, made in a module of this package.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ttbr.errors import InputError
from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.linux import Linux
from ttbr.report.relations import arrow
from ttbr.report.relations.findings import FINDINGS
from ttbr.report.relations.memory import FREE_BLOCKS, MEMBLOCK, MEMINFO, PAGES, VMALLOC, ZONES
from ttbr.report.relations.processes import PROCESS_PAGES, TASKS, VMAS
from ttbr.report.relations.relation import Column, Relation
from ttbr.report.relations.source import Source
from ttbr.report.relations.spaces import MAPPINGS, REGIONS, TABLES
from ttbr.report.relations.symbols import SYMBOLS

RELATIONS: Mapping[str, Relation] = {
    relation.name: relation
    for relation in (
        *(MAPPINGS, REGIONS, TABLES),
        *(TASKS, VMAS, PROCESS_PAGES),
        *(PAGES, ZONES, FREE_BLOCKS, MEMBLOCK, VMALLOC, MEMINFO),
        *(SYMBOLS, FINDINGS),
    )
}
"""All relations by name."""


class Relations(Mapping[str, Any]):
    """The relations of one image by name, as pyarrow.Table; each is made when it is asked for.

    ``root``: the space that ``mappings``, ``regions`` and ``tables`` are about. An `InputError`
    says which relation the image does not hold.
    """

    def __init__(self, linux: Linux, root: str = "kernel") -> None:
        self._source = Source(linux, root)
        self._made: dict[str, Any] = {}

    @classmethod
    def of(cls, image: Image, root: str = "kernel") -> "Relations":
        """Those of an image, whose kernel is looked for where no registers say where it is."""
        return cls(Linux(with_registers(image)[0]), root)

    def __getitem__(self, name: str) -> Any:
        if name not in RELATIONS:
            raise KeyError(name)
        if name not in self._made:
            arrow.pyarrow()  # before anything is read
            columns = RELATIONS[name].make(self._source)
            if columns is None:
                raise InputError(f"{name}: not found in the image, or its layout is unknown")
            self._made[name] = arrow.table(RELATIONS[name], columns)
        return self._made[name]

    @property
    def notes(self) -> list[str]:
        """What the relations made so far leave out or could not tell, in sentences."""
        return list(dict.fromkeys(self._source.notes))

    def __iter__(self) -> Iterator[str]:
        return iter(RELATIONS)

    def __len__(self) -> int:
        return len(RELATIONS)


__all__ = ["RELATIONS", "Column", "Relation", "Relations"]
