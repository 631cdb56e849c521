"""A boot as a notebook shows it: what was booted, and how far each stage came."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ttbr import html
from ttbr.format import about
from ttbr.mmu.regions import kernel_mappings, table_bytes

if TYPE_CHECKING:
    from ttbr.boot.boot import Boot


def boot_html(result: Boot) -> str:
    """The board, the kernel, and a row for each stage: events and the kernel's tables."""
    machine = result.machine
    ram = about(sum(bank.size for bank in machine.board.ram))
    head = (
        f"Boot: {machine.board.model or 'unnamed board'} with {ram}: Linux "
        f"{machine.kernel.release} ({machine.kernel.name}), loader {machine.placement.loader}"
    )
    events = Counter(event.stage for event in result.events)
    rows = []
    for name in result.stages:
        image = result.images[name]
        found = kernel_mappings(image)
        kernel = ("", "", "")
        if found is not None:
            cost = about(table_bytes(image, found))
            kernel = about(found.mapped_bytes), str(len(found.tables)), cost
        rows.append((name, events[name], *kernel))
    names = ("stage", "events", "kernel maps", "by tables", "that take")
    parts = [html.line(head), html.table(names, rows, len(rows))]
    if result.failure is not None:
        parts.append(html.line(f"it ended there: {result.failure}"))
    if machine.unknowns:
        unknown = "".join(html.line(each) for each in machine.unknowns)
        parts.append(html.folded(f"{len(machine.unknowns)} not known from the inputs", unknown))
    return "".join(parts)
