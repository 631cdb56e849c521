"""A whole address space as text, JSON or CSV: one line a range."""

import csv
import json
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np
from rich.console import Console

from ttbr.format import address, counted, size
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.contiguous import REASONS, Disagreements
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.tables import Shared
from ttbr.report.regions import RegionNames

CSV_COLUMNS = (
    "va",
    "last",
    "pa",
    "size",
    "levels",
    "el1",
    "el0",
    "memory",
    "inner",
    "outer",
    "shareability",
    "access_flag",
    "non_global",
    "contiguous",
)


SHOWN = 100  # shared tables and contiguous groups that JSON names one by one


def print_mappings(
    out: Console,
    image: Image,
    space: AddressSpace,
    mappings: Mappings,
    wrong: Disagreements,
) -> None:
    """One line a range, under the name of its region where the layout is known.

    ``wrong``: the contiguous groups whose entries disagree.
    """
    bits = space_bits(space)
    names = RegionNames(image.facts.markers)
    regions = mappings.regions()
    attributes = mappings.attribute_values
    named = ""
    for va, last, pa, index, levels in _rows(mappings):
        region = names(va)
        if region != named:
            out.print(f"-- {region or 'outside the named regions'}")
            named = region
        out.print(
            f"{address(va, bits)}-{address(last, bits)} -> {pa:#014x} {size(last - va + 1):>9}  "
            f"L{'/'.join(str(level) for level in levels):<3} {attributes[index].summary()}"
        )
    total = mappings.mapped_bytes
    out.print(
        f"{counted(len(regions), 'range')}, {counted(len(mappings), 'descriptor')}, "
        f"{size(total)} mapped; {counted(len(mappings.tables), 'table')} from {space.root:#x}"
    )
    for note in (*notes(mappings), *wrong.notes()):
        out.print(f"note: {note}")


def write_json(out: TextIO, space: AddressSpace, mappings: Mappings, wrong: Disagreements) -> None:
    """The ranges as one JSON document; ``attributes`` is an index into ``attribute_values``.

    ``wrong``: the contiguous groups whose entries disagree.
    """
    document: dict[str, Any] = {
        "root": hex(space.root),
        "format": space.regime.format.name,
        "tables": len(mappings.tables),
        "descriptors": len(mappings),
        "notes": [*notes(mappings), *wrong.notes()],
        "shared_tables": _shared_json(mappings.shared),
        "contiguous_groups": _groups_json(wrong),
        "attribute_values": [value.as_dict() for value in mappings.attribute_values],
        "mappings": [
            {
                "va": hex(va),
                "last": hex(last),
                "pa": hex(pa),
                "size": last - va + 1,
                "levels": list(levels),
                "attributes": index,
            }
            for va, last, pa, index, levels in _rows(mappings)
        ],
    }
    json.dump(document, out, indent=1)
    out.write("\n")


def write_csv(out: TextIO, mappings: Mappings) -> None:
    """The ranges as CSV with a heading; addresses in hex, ``last`` inclusive, ``size`` in bytes."""
    table = csv.writer(out, lineterminator="\n")
    values = mappings.attribute_values
    privileged = values[0].exception_levels[0] if values else 1
    table.writerow(f"el{privileged}" if name == "el1" else name for name in CSV_COLUMNS)
    for va, last, pa, index, levels in _rows(mappings):
        a = values[index]
        table.writerow(
            (
                hex(va),
                hex(last),
                hex(pa),
                last - va + 1,
                "/".join(str(level) for level in levels),
                a.permissions(1),
                a.permissions(0),
                a.memory,
                a.inner,
                a.outer,
                a.shareability,
                int(a.access_flag),
                int(a.non_global),
                int(a.contiguous),
            )
        )


def notes(mappings: Mappings) -> list[str]:
    """What the listing leaves out or could not read, in sentences."""
    lines = []
    if mappings.truncated:
        lines.append(mappings.truncated)
    if len(mappings.unreadable):
        first = mappings.unreadable
        lines.append(
            f"{len(first)} tables lie outside the image, the first at "
            f"{int(first.address[0]):#x} (for va {int(first.va[0]):#x})"
        )
    if mappings.misdirected:
        lines.append(f"{mappings.misdirected} descriptors have an output address out of range")
    if not mappings.truncated and len(mappings.shared):
        shared = mappings.shared
        most = int(shared.reached.argmax())
        lines.append(
            f"tables used in more than one place: {len(shared)}, most often "
            f"{int(shared.address[most]):#x}, at level {int(shared.level[most])} in "
            f"{int(shared.reached[most])} places"
        )
    return lines


def _shared_json(shared: Shared) -> list[dict[str, Any]]:
    """The tables that are used most often, by descending use; ``listed`` places are followed."""
    order = np.argsort(-shared.reached, kind="stable")[:SHOWN]
    return [
        {"table": hex(table), "level": level, "places": reached, "listed": listed}
        for table, level, reached, listed in zip(
            shared.address[order].tolist(),
            shared.level[order].tolist(),
            shared.reached[order].tolist(),
            shared.listed[order].tolist(),
            strict=True,
        )
    ]


def _groups_json(wrong: Disagreements) -> dict[str, Any]:
    """How many contiguous groups there are, and those that are wrong."""
    rows = zip(
        wrong.va[:SHOWN].tolist(),
        wrong.size[:SHOWN].tolist(),
        wrong.level[:SHOWN].tolist(),
        wrong.reason[:SHOWN].tolist(),
        strict=True,
    )
    return {
        "groups": wrong.groups,
        "wrong": len(wrong),
        "first_wrong": [
            {"va": hex(va), "size": size, "level": level, "reason": REASONS[reason]}
            for va, size, level, reason in rows
        ],
    }


def space_bits(space: AddressSpace) -> int:
    """How many bits a virtual address of this space is written with."""
    return 64 if space.regime.format.name.startswith("vmsav8-64") else 32


def _rows(mappings: Mappings) -> Iterator[tuple[int, int, int, int, tuple[int, ...]]]:
    """(va, last, pa, attribute index, levels) of each range."""
    regions = mappings.regions()
    return zip(
        regions.va.tolist(),
        regions.last.tolist(),
        regions.pa.tolist(),
        regions.attributes.tolist(),
        regions.levels(),
        strict=True,
    )
