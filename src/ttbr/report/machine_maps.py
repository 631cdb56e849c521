"""What the address maps of a machine are made of: a board's after its boot, or an image's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import MissingRegister
from ttbr.boot.boot import Boot
from ttbr.errors import InputError, TtbrError
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.regions import Region, kernel_mappings, regions
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.markers import find_markers
from ttbr.report.address_map import physical_boxes
from ttbr.report.boxes import Box
from ttbr.report.coverage import Coverage
from ttbr.report.view import physical
from ttbr.report.view.physical import Range

ENDS = ("_text", "_end")


@dataclass(frozen=True)
class MachineMaps:
    """``bits`` of an address; the regions of the kernel's virtual space, ``marks`` in it
    (addresses with a name); ``physical`` memory as boxes. ``notes``: what could not be told.
    """

    bits: int
    virtual: list[Region]
    marks: Mapping[int, str]
    physical: list[Box]
    notes: tuple[str, ...] = ()


def maps_of_boot(result: Boot) -> MachineMaps:
    """The maps when the boot is done; `InputError` if the kernel has no tables by then."""
    image = result.images[result.stages[-1]]
    mappings = kernel_mappings(image)
    if mappings is None:
        raise InputError("the boot ends before the kernel has tables of its own")
    symbols = image.facts.symbols
    marks = {symbols[name]: f"kernel {name}" for name in ENDS if name in symbols}
    free = None
    if result.machine.handed_over is not None:
        blocks = result.machine.handed_over.free
        free = _free(blocks.pfn, blocks.order, result.machine.kernel.page_size)
    ranges = physical.of_boot(result, done=True)
    bits = 64 if image.arch == "arm64" else 32
    return MachineMaps(bits, regions(image, mappings), marks, physical_boxes(ranges, free))


def maps_of_image(linux: Linux) -> MachineMaps:
    """The maps of an image, as far as its own Linux tells."""
    image, notes = linux.image, []
    mappings = image.address_space("kernel").mappings()
    if mappings.truncated:
        notes.append(mappings.truncated)
    try:
        markers = find_markers(image)
    except (InputError, MissingRegister):
        markers = None
    if markers is not None:
        if markers.unknown:
            notes.append(f"regions without a known begin: {', '.join(markers.unknown)}")
        image = replace(image, facts=replace(image.facts, markers=markers.markers))
    marks = {}
    if linux.image_range is not None:
        marks = {at: f"kernel {name}" for at, name in zip(linux.image_range, ENDS, strict=True)}
    memory, free = KernelMemory(linux), None
    ranges = list(_tables(mappings))
    try:
        ranges += physical.of_image(memory)
        blocks = memory.free_blocks
    except TtbrError as error:
        notes.append(f"physical memory: {error}")
        blocks = None
        ranges += (Range("ram", bank.base, bank.end - 1, "RAM") for bank in image.memory.banks)
    if blocks is None:
        notes.append("which memory is free: the free lists were not found")
    else:
        free = _free(blocks.pfn, blocks.order, linux.page_size)
    boxes = physical_boxes(ranges, free)
    bits = 64 if image.arch == "arm64" else 32
    return MachineMaps(bits, regions(image, mappings), marks, boxes, tuple(notes))


def _free(pfn: NDArray[np.uint64], order: NDArray[Any], page: int) -> Coverage:
    """Blocks of 2**order pages of ``page`` bytes."""
    return Coverage(pfn * np.uint64(page), np.uint64(page) << order.astype(np.uint64))


def _tables(mappings: Mappings) -> Iterator[Range]:
    """The kernel's translation tables, neighbours as one."""
    size = mappings.tables.entries.astype(np.uint64) * np.uint64(_entry_size(mappings))
    order = np.argsort(mappings.tables.address, kind="stable")
    start, end = mappings.tables.address[order], mappings.tables.address[order] + size[order]
    head = np.append(True, start[1:] > np.maximum.accumulate(end)[:-1]) if len(start) else start
    first = np.flatnonzero(head)
    ends = np.maximum.reduceat(end, first) if len(first) else end
    for at, after in zip(start[first].tolist(), ends.tolist(), strict=True):
        yield Range("content", at, after - 1, "translation tables")


def _entry_size(mappings: Mappings) -> int:
    return mappings.attribute_table.regime.format.entry_size
