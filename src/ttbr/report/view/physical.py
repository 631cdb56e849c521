"""Physical memory in layers of ranges: RAM, zones, what was reserved, what lies where.

Layers are independent of each other; within one, a range may lie in another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.boot import Boot
from ttbr.boot.fdt import MAGIC
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.memblock import FLAGS, LISTS
from ttbr.report.kernel_memory import flag_words
from ttbr.report.physical import memory_rows, places
from ttbr.report.view.columns import Body, Head, text

LAYERS = ("ram", "memory", "zone", "reserved", "content")
"""``ram``: banks of the machine; ``memory`` and ``reserved``: memblock's lists; ``zone``; what
``content`` is known."""
ADDRESS_BITS = 52
"""No processor has more physical address bits; what an image claims beyond is left out."""


@dataclass(frozen=True, slots=True)
class Range:
    """``start`` to ``last`` (inclusive) of physical memory, in a layer; ``what`` lies there."""

    layer: str
    start: int
    last: int
    what: str


def ranges_table(body: Body, ranges: Sequence[Range]) -> Head:
    """The ranges in the order of their layers, ascending."""
    sane = (r for r in ranges if 0 <= r.start <= r.last < 1 << ADDRESS_BITS)
    rows = sorted(sane, key=lambda r: (LAYERS.index(r.layer), r.start, -r.last))
    return body.table(
        len(rows),
        {
            "layer": body.coded(np.array([LAYERS.index(r.layer) for r in rows], np.int64), LAYERS),
            "start": body.integers([r.start for r in rows]),
            "size": body.integers([r.last - r.start + 1 for r in rows]),
            "what": text([r.what for r in rows]),
        },
    )


def free_table(body: Body, pfn: NDArray[np.uint64], order: NDArray[Any], page: int) -> Head:
    """Free blocks of 2**order pages of ``page`` bytes, ascending."""
    ascending = np.argsort(pfn, kind="stable")
    return body.table(
        len(pfn),
        {
            "pa": body.numbers(pfn[ascending] * np.uint64(page)),
            "order": body.numbers(order[ascending]),
        },
    )


def of_boot(result: Boot, *, done: bool) -> Iterator[Range]:
    """Where everything is at the end of a boot; before it is ``done`` only what does not change.

    The page replays the boot's events for what lies where before.
    """
    machine = result.machine
    for bank in machine.board.ram:
        yield Range("ram", bank.base, bank.end - 1, "RAM")
    for place in places(result):
        if done or place.what.startswith(("kernel", "device tree", "initrd")):
            yield Range("content", place.start, place.last, place.what)
    if not done:
        return
    for name, start, last, flags in memory_rows(result):
        yield Range(name, start, last, flags)
    page = machine.kernel.page_size
    for node in machine.nodes:
        for zone in node.zones:
            if zone.spanned:
                last = zone.end_pfn * page - 1
                yield Range("zone", zone.start_pfn * page, last, f"{node.number} {zone.name}")


def of_image(memory: KernelMemory) -> Iterator[Range]:
    """What an image's own Linux says; what is not found is left out."""
    linux = memory.linux
    page = linux.page_size
    for bank in linux.image.memory.banks:
        yield Range("ram", bank.base, bank.end - 1, "RAM")
    if linux.image_range is not None:
        start = linux.memory.pa(linux.image_range[0])
        if start is not None:
            last = start + linux.image_range[1] - linux.image_range[0] - 1
            yield Range("content", start, last, "kernel")
    yield from _device_tree(linux)
    lists = memory.memblock
    if lists is not None:
        rows = zip(lists.list, lists.base, lists.size, lists.flags, strict=True)
        for which, base, size, flags in rows:
            words = flag_words(int(flags), FLAGS)
            yield Range(LISTS[which], int(base), int(base) + int(size) - 1, words)
    zones = memory.zones
    for at, name in enumerate(zones.name):
        spanned = int(zones.spanned[at]) * page
        if spanned:
            start = int(zones.start[at]) * page
            yield Range("zone", start, start + spanned - 1, f"{max(0, zones.node[at])} {name}")


def _device_tree(linux: Linux) -> Iterator[Range]:
    """The device tree that the kernel was given (drivers/of/fdt.c: initial_boot_params)."""
    where = linux.symbol("initial_boot_params")
    at = None if where is None else linux.memory.number(where)
    header = linux.memory.try_read(at, 8) if at else None
    start = linux.memory.pa(at) if at else None
    if header is not None and start is not None and int.from_bytes(header[:4], "big") == MAGIC:
        yield Range("content", start, start + int.from_bytes(header[4:], "big") - 1, "device tree")
