"""A machine as an image has it, with what its own Linux says where there is one."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ttbr.arch.regime import MissingRegister
from ttbr.errors import TtbrError
from ttbr.kernel.linux_pte import FLAGS
from ttbr.mmu.image import Image
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.linux_reading import KINDS
from ttbr.recover.markers import find_markers
from ttbr.report.relations import RELATIONS
from ttbr.report.relations.source import Source
from ttbr.report.view.columns import Head
from ttbr.report.view.machines import Pen, Root, held_roots, machine_json
from ttbr.report.view.physical import free_table, of_image
from ttbr.report.view.regions import UNIT

SHOWN = ("tasks", "vmas", "zones", "memblock", "vmalloc", "meminfo", "symbols")
USER = "user:"
MOST_SPACES = 256
"""Processes whose spaces are shown."""


def image_json(pen: Pen, image: Image, linux: Linux | None) -> tuple[Head, Head]:
    """The machine; and its relations, and Linux's own entries of each process.

    ``linux``: None where there is no kernel's table to read it by.
    """
    roots = held_roots(image)
    notes: list[str] = []
    if linux is None:
        told: Head = {"relations": {}, "entries": {}, "flags": [], "notes": notes}
        return machine_json(pen, image, roots, ()), told
    roots += list(_processes(linux, notes))
    memory = KernelMemory(linux)
    pen.progress("memory")
    ranges, free = [], None
    try:
        ranges = list(of_image(memory))
        blocks = memory.free_blocks
        if blocks is not None:
            free = free_table(pen.body, blocks.pfn, blocks.order, linux.page_size)
    except TtbrError as error:
        notes.append(f"physical memory: {error}")
    machine = machine_json(pen, _with_markers(image), roots, ranges, free)
    if machine["release"] is None and linux.release is not None:
        machine["release"] = str(linux.release)
    return machine, {
        "relations": _relations(pen, linux, notes),
        "entries": _entries(pen, linux, roots),
        "flags": list(FLAGS),
        "notes": notes,
    }


def _with_markers(image: Image) -> Image:
    """The image with the borders of its kernel's regions, as far as they are known."""
    try:
        found = find_markers(image)
    except (TtbrError, MissingRegister):
        return image
    return replace(image, facts=replace(image.facts, markers=found.markers))


def _processes(linux: Linux, notes: list[str]) -> Iterator[Root]:
    """The root of each process, with the numbers of the tasks that have it."""
    try:
        tasks = linux.tasks
    except TtbrError as error:
        notes.append(str(error))
        return
    roots = dict.fromkeys(tasks.pgd[tasks.pgd != 0].tolist())
    if len(roots) > MOST_SPACES:
        notes.append(f"{len(roots) - MOST_SPACES} of {len(roots)} processes are not shown")
    for root in list(roots)[:MOST_SPACES]:
        yield Root(f"{USER}{root:#x}", tasks.pid[tasks.pgd == root].tolist())


def _relations(pen: Pen, linux: Linux, notes: list[str]) -> Head:
    source, found = Source(linux), {}
    for name in SHOWN:
        pen.progress(name)
        try:
            made = RELATIONS[name].make(source)
        except TtbrError as error:
            notes.append(f"{name}: {error}")
            continue
        if made is not None:
            found[name] = pen.body.relation(RELATIONS[name], made)
    notes += dict.fromkeys(source.notes)
    return found


def _entries(pen: Pen, linux: Linux, roots: list[Root]) -> Head:
    """Linux's own entries of each process by its root: runs of pages, of swap, of others."""
    found: Head = {}
    for root in roots:
        if not root.owners:
            continue
        try:
            view = linux.processes.of(int(root.name.removeprefix(USER), 16)).view
        except TtbrError:
            continue
        first = view.runs()
        first = first[: pen.room.take_regions(len(first))]
        final = np.append(first[1:], len(view))[: len(first)] - 1
        read, body, unit = view.readings, pen.body, np.uint64(UNIT)
        size = view.va[final] + view.size[final] - view.va[first] if len(first) else first
        found[root.name.removeprefix(USER)] = body.table(
            len(first),
            {
                "page": body.numbers(view.va[first] >> unit),
                "pages": body.numbers(size.astype(np.uint64) >> unit),
                "pa": body.numbers(np.where(read.has_page, read.pa, np.uint64(0))[first]),
                "unit": body.numbers(view.size[first] >> unit),
                "kind": body.coded(read.kind[first], KINDS),
                "flags": body.numbers(read.flags[first]),
            },
        )
    return found
