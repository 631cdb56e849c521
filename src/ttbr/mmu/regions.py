"""The virtual space by the kernel's markers: regions, what is mapped there, what tables cost."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings

SPACE_END = {64: 1 << 64, 32: 1 << 32}


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the virtual space: ``start`` to ``last`` (inclusive); ``mapped`` bytes of it."""

    name: str
    start: int
    last: int
    mapped: int


def regions(image: Image, mappings: Mappings) -> list[Region]:
    """The regions between the kernel's markers, ascending, unnamed ones included.

    Regions follow `ImageFacts.markers`: "… start" opens one, "… end" closes it, other names open
    one that lasts to the next marker.
    """
    bits = 64 if image.arch == "arm64" else 32
    edges = sorted({0: "user space", **_edges(image)}.items())
    rows = []
    for (start, name), (end, _) in zip(edges, [*edges[1:], (SPACE_END[bits], "")], strict=True):
        if end > start:
            rows.append(Region(name, start, end - 1, _mapped(mappings, start, end - 1)))
    return rows


def kernel_mappings(image: Image) -> Mappings | None:
    """What the kernel's root maps at this stage; None before there is one."""
    ttbr = "TTBR1" if "TTBCR" in image.registers else "TTBR1_EL1"
    if not image.registers.get(ttbr):
        return None
    return image.address_space("kernel").mappings()


def linear_map(image: Image, mappings: Mappings) -> list[dict[str, Any]]:
    """What the linear map is made of: count and bytes of each size of block or page, largest first.

    The linear map is what lies between the markers of the linear (arm: kernel) mapping.
    """
    rows = [r for r in regions(image, mappings) if r.name in ("Linear Mapping", "Kernel Mapping")]
    counts: Counter[tuple[int, bool]] = Counter()
    values, runs = mappings.attribute_values, mappings.runs
    for row in rows:
        inside = runs.chosen((runs.va >= np.uint64(row.start)) & (runs.va <= np.uint64(row.last)))
        columns = (inside.size.tolist(), inside.attributes.tolist(), inside.leaves.tolist())
        for span, index, leaves in zip(*columns, strict=True):
            counts[span, values[index].contiguous] += leaves
    page = 1 << 12 if image.arch == "arm" else 1 << image.kernel_regime.levels[-1].shift
    return [
        {
            "size": span,
            "count": count,
            "bytes": span * count,
            "contiguous": contiguous,
            "kind": ("pages" if span == page else "blocks")
            + (" in contiguous runs" if contiguous else ""),
        }
        for (span, contiguous), count in sorted(counts.items(), reverse=True)
    ]


def table_bytes(image: Image, mappings: Mappings) -> int:
    """Memory that the kernel's tables take, in bytes, roots of less than a page as they are.

    On ARM32 a second-level table is a page: two hardware tables of 1 KiB and Linux's own two.
    """
    entries = mappings.tables.entries.astype(np.int64)
    total = int(entries.sum()) * image.kernel_regime.format.entry_size
    if image.kernel_regime.format.name == "short":
        pages = np.unique(mappings.tables.address[mappings.tables.level == 2] >> np.uint64(12))
        total = image.kernel_regime.root_size + len(pages) * 4096
    return total


def _edges(image: Image) -> dict[int, str]:
    """Where regions begin, by the markers; behind an end lies a nameless one."""
    edges: dict[int, str] = {}
    if image.facts.markers:
        first = min(va for va, _ in image.facts.markers)
        if image.arch == "arm64":
            edges[1 << image.user_regime.input_bits] = "(neither TTBR)"
        else:
            edges[first] = ""
    for va, name in sorted(image.facts.markers):
        lowered = name.lower()
        if lowered.endswith(" end"):
            edges.setdefault(va, "")
        else:
            edges[va] = name.removesuffix(" start").removesuffix(" begin").replace("()", "")
    return edges


def _mapped(mappings: Mappings, start: int, last: int) -> int:
    """Bytes mapped from ``start`` to ``last``; runs end with their table, regions with blocks."""
    runs = mappings.runs
    inside = (runs.va >= np.uint64(start)) & (runs.va <= np.uint64(last))
    return int(runs.bytes[inside].sum())
