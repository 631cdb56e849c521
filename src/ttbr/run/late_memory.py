"""What the page allocator gets between the hand-over and the first program.

Source: mm/mm_init.c: deferred_init_memmap (6.1: mm/page_alloc.c); mm/cma.c: cma_activate_area;
mm/mm_init.c: init_cma_reserved_pageblock; mm/page_alloc.c: free_reserved_page. What is freed then
is the rule of `ttbr.boot.when_up`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ttbr.boot.free_area import CMA
from ttbr.boot.when_up import CONTIGUOUS, INIT, INITRD, freed_later
from ttbr.run.events import RunLog
from ttbr.run.zone import RunZone

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

_FUNCTIONS = {CONTIGUOUS: "cma_activate_area", INITRD: "free_initrd_mem", INIT: "free_initmem"}

ZonesOf = Callable[[int, int], list[tuple[int, int, RunZone]]]
"""The parts of a range of frames by zone: (first, behind the last, zone)."""


def free_deferred(machine: Machine, zones: list[RunZone], log: RunLog) -> None:
    """``deferred_init_memmap``: the pages whose struct page had to wait, one thread for a node."""
    got = machine.handed_over
    assert got is not None
    by_name = {(zone.node, zone.name): zone for zone in zones}
    for node, name, start, end in got.waiting:
        zone = by_name[node, name]
        zone.free_range(start, end, to_tail=True)
        zone.managed += end - start
        _note(machine, log, "deferred_init_memmap", start, end)


def free_reserved(machine: Machine, zones_of: ZonesOf, name: str, log: RunLog) -> None:
    """Memory that was reserved at the hand-over, and now is free: areas of one of the names."""
    page = machine.kernel.page_size
    for what, low, high in freed_later(machine):
        if what != name or low >= high:
            continue
        start, end = low // page, high // page
        parts = zones_of(start, end)
        if name == CONTIGUOUS and len(parts) == 1 and parts[0][:2] == (start, end):
            _activate(parts[0][2], start, end)
        else:
            for first, behind, zone in parts:
                zone.free_range(first, behind, to_tail=False)
                zone.managed += behind - first
        _note(machine, log, _FUNCTIONS[name], start, end)


def _activate(zone: RunZone, start: int, end: int) -> None:
    """``cma_activate_area``: page block by page block. An area that is in two zones is none."""
    for pfn in range(start, end, 1 << zone.pageblock_order):
        zone.set_block_type(pfn, CMA)
        zone.free_block(pfn, zone.pageblock_order)
    zone.managed += end - start
    zone.cma += end - start


def _note(machine: Machine, log: RunLog, function: str, start: int, end: int) -> None:
    page = machine.kernel.page_size
    log.add("free", function, f"{end - start} pages", start * page, end * page - 1)
