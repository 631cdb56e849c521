"""The relation of the kernel's symbols."""

from collections.abc import Mapping

import numpy as np

from ttbr.report.relations.relation import Coded, Column, Relation, Values, coded
from ttbr.report.relations.source import Source


def _symbols(source: Source) -> Mapping[str, Values] | None:
    found = source.linux.symbols
    if not len(found):
        return None
    letters = sorted(set(found.types))
    place = {letter: at for at, letter in enumerate(letters)}
    return {
        "address": found.address,
        "type": Coded(np.array([place[t] for t in found.types], np.int32), letters),
        "name": found.names,
        "module": coded(found.module.astype(np.int32), found.modules),
    }


SYMBOLS = Relation(
    "symbols",
    "The symbols of the kernel, by address, then those of each module.",
    "symbols",
    (
        Column("address", "uint64", "virtual address at which it is"),
        Column("type", "category", "one letter, as nm has it"),
        Column("name", "string", "name; several may be called the same"),
        Column("module", "category", "name of the module, null for the kernel's own"),
    ),
    _symbols,
)
