"""One address space: what its root table maps, and by which tables."""

from collections.abc import Sequence

import numpy as np

from ttbr.format import hex_value
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.mappings import Mappings
from ttbr.report.view.catalogue import Catalogue
from ttbr.report.view.columns import Body, Head
from ttbr.report.view.regions import UNIT, detail, regions_table
from ttbr.report.view.room import Room
from ttbr.report.view.tables import TablePool

LINUX_HALF = 0x800
"""How far below the hardware's tables of short descriptors Linux has its own (PTE_HWTABLE_OFF)."""


def space_json(
    body: Body,
    catalogue: Catalogue,
    pool: TablePool,
    room: Room,
    name: str,
    space: AddressSpace,
    mappings: Mappings,
    owners: Sequence[int] = (),
) -> Head:
    """A space under the ``name`` that `Image.address_space` knows it by; ``owners``: pids."""
    regime = space.regime
    meaning = np.array(catalogue.meanings(mappings.attribute_table), np.int64)
    rows = detail(mappings, room.take_regions(len(mappings.runs)))
    return {
        "name": name,
        "root": hex_value(space.root),
        "regime": catalogue.regime(regime),
        "owners": list(owners),
        "mapped_bytes": hex_value(mappings.mapped_bytes),
        "descriptors": len(mappings),
        "regions": regions_table(body, rows, meaning),
        "cut": rows.cut,
        "truncated": mappings.truncated,
        "misdirected": mappings.misdirected,
        "tables": _tables(body, pool, room, space, mappings),
        "unreadable": _unreadable(body, mappings),
        "shared": _shared(body, mappings),
    }


def _tables(
    body: Body, pool: TablePool, room: Room, space: AddressSpace, mappings: Mappings
) -> Head:
    """The tables, level by level, and their words into the pool."""
    found, size = mappings.tables, space.regime.format.entry_size
    most = room.take_tables(len(found))
    address, level = found.address[:most], found.level[:most]
    for each in space.regime.levels:
        of_level = address[level == each.number]
        pool.add(of_level, each.entries, size)
        if space.regime.format.name == "short" and each.number == space.regime.format.last_level:
            linux = of_level - np.uint64(LINUX_HALF)
            pool.add(linux[of_level & np.uint64(LINUX_HALF) != 0], each.entries, size)
    return {
        **body.table(
            most,
            {
                "pa": body.numbers(address),
                "level": body.numbers(level),
                "page": body.numbers(found.va[:most] >> np.uint64(UNIT)),
                "entries": body.numbers(found.entries[:most]),
            },
        ),
        "left_out": len(found) - most,
    }


def _unreadable(body: Body, mappings: Mappings) -> Head:
    found = mappings.unreadable
    return body.table(
        len(found.address),
        {
            "pa": body.numbers(found.address, "word"),
            "level": body.numbers(found.level),
            "page": body.numbers(found.va >> np.uint64(UNIT)),
        },
    )


def _shared(body: Body, mappings: Mappings) -> Head:
    found = mappings.shared
    return body.table(
        len(found),
        {
            "pa": body.numbers(found.address),
            "level": body.numbers(found.level),
            "reached": body.numbers(found.reached),
        },
    )
