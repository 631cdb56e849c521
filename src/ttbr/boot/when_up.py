"""What the page allocator gets after the hand-over, until the kernel is up.

Source: mm/mm_init.c: deferred_init_memmap; mm/cma.c: cma_activate_area; arch/arm64/mm/init.c,
arch/arm/mm/init.c: free_initmem, free_initrd_mem; init/initramfs.c: free_initrd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.boot.zones import Zone

DEFERRED = "struct pages made later"
CONTIGUOUS = "contiguous areas"
INIT = "init memory"
INITRD = "initrd"


@dataclass(frozen=True, slots=True)
class ZoneWhenUp:
    """A zone when the kernel is up, in pages.

    ``handed_over``: what memblock gave it. ``later``: what comes to that, by name. ``managed``:
    all of it, as /proc/zoneinfo has it then.
    """

    node: int
    zone: Zone
    handed_over: int
    later: dict[str, int]

    @property
    def managed(self) -> int:
        """Pages that the zone has in the end."""
        return self.handed_over + sum(self.later.values())


def when_up(machine: Machine) -> list[ZoneWhenUp]:
    """Every zone that has pages; an empty list before the hand-over."""
    got = machine.handed_over
    if got is None:
        return []
    page = machine.kernel.page_size
    ranges = freed_later(machine)
    found = []
    for node in machine.nodes:
        for zone in node.zones:
            if not zone.present:
                continue
            later: dict[str, int] = {}
            for name, start, end in ranges:
                low, high = max(start, zone.start_pfn * page), min(end, zone.end_pfn * page)
                if low < high:
                    later[name] = later.get(name, 0) + (high - low) // page
            waiting = got.deferred.get((node.number, zone.name), 0)
            if waiting:
                later[DEFERRED] = waiting
            found.append(ZoneWhenUp(node.number, zone, zone.managed, later))
    return found


def freed_later(machine: Machine) -> list[tuple[str, int, int]]:
    """(name, start, end) of reserved memory that is freed; whole pages, in bytes."""
    page = machine.kernel.page_size
    ranges = [(CONTIGUOUS, area.base, area.base + area.size) for area in machine.cma.areas]
    symbols = machine.kernel.symbols
    if "__init_begin" in symbols and "__init_end" in symbols:
        ranges.append((INIT, machine.physical("__init_begin"), machine.physical("__init_end")))
    kept = machine.params.given("retain_initrd") or machine.params.given("keepinitrd")
    if machine.initrd is not None and machine.kernel.config.enabled("BLK_DEV_INITRD") and not kept:
        start, size = machine.initrd
        end = start + size
        if machine.kernel.arch == "arm":
            start, end = start // page * page, -(-end // page) * page
        else:  # the pages at its ends stay reserved
            start, end = -(-start // page) * page, end // page * page
        ranges.append((INITRD, start, end))
    return ranges
