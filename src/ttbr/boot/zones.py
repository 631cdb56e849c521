"""Nodes and zones: free_area_init(), its lines in the kernel's log, and what it allocates.

Source: mm/mm_init.c (6.1: mm/page_alloc.c). Page frame numbers and pages throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ttbr.boot.mem_map import alloc_node_mem_map, setup_usemap
from ttbr.boot.zone_movable import PfnRange, find_zone_movable_pfns
from ttbr.kernel.pageblock import pageblock_bytes
from ttbr.kernel.structs import struct_size

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.kernel.config import Config

DMA, DMA32, NORMAL, HIGHMEM, MOVABLE = "DMA", "DMA32", "Normal", "HighMem", "Movable"
_OPTIONAL = {DMA: "ZONE_DMA", DMA32: "ZONE_DMA32", HIGHMEM: "HIGHMEM"}


@dataclass(slots=True)
class Zone:
    """A zone of a node (struct zone).

    ``start_pfn`` is 0 for a zone that spans nothing. ``present``: its pages that are memory.
    ``managed``: those that the page allocator has, once it does. ``usemap``: physical address of
    its page-block flags, None where sections have them (SPARSEMEM).
    """

    name: str
    start_pfn: int = 0
    spanned: int = 0
    present: int = 0
    managed: int = 0
    usemap: int | None = None

    @property
    def end_pfn(self) -> int:
        """The page frame behind the last."""
        return self.start_pfn + self.spanned

    @property
    def absent(self) -> int:
        """Pages of its span that are no memory."""
        return self.spanned - self.present


@dataclass(slots=True)
class Node:
    """A memory node (struct pglist_data) and its zones in the kernel's order.

    ``mem_map``: physical address of the struct page of the first page of the block of the largest
    order in which the node begins, None where sections have theirs (SPARSEMEM).
    """

    number: int
    start_pfn: int
    end_pfn: int
    zones: list[Zone] = field(default_factory=list)
    mem_map: int | None = None

    @property
    def spanned(self) -> int:
        """Pages from the node's first to its last."""
        return self.end_pfn - self.start_pfn

    @property
    def present(self) -> int:
        """Pages that are memory."""
        return sum(zone.present for zone in self.zones)


def zone_names(config: Config) -> list[str]:
    """The zones that a kernel has, in its order, but for Device, which has no memory at boot."""
    return [
        name
        for name in (DMA, DMA32, NORMAL, HIGHMEM, MOVABLE)
        if name not in _OPTIONAL or config.enabled(_OPTIONAL[name])
    ]


def free_area_init(
    machine: Machine,
    max_zone_pfn: Mapping[str, int],
    *,
    nodes: Sequence[int] = (0,),
    section_bytes: int | None = None,
) -> None:
    """free_area_init(): fill `Machine.nodes` from memblock.memory.

    Args:
        machine: its log gets the kernel's lines, memblock the allocations.
        max_zone_pfn: the page frame behind each zone that the architecture has, by name.
        nodes: the possible nodes, ascending.
        section_bytes: bytes of a section of a SPARSEMEM kernel, None with FLATMEM.
    """
    say = machine.log.say
    page = machine.kernel.page_size
    names = zone_names(machine.kernel.config)
    ranges = list(machine.memblock.mem_pfn_ranges())
    bounds = _zone_bounds(machine, names, max_zone_pfn)
    # The highest zone that is not empty is the one to carve ZONE_MOVABLE from.
    movable_zone = next(
        (name for name in reversed(bounds) if bounds[name][1] > bounds[name][0]), NORMAL
    )
    movable = find_zone_movable_pfns(machine, ranges, bounds[movable_zone][0])

    say("Zone ranges:")
    for name, (low, high) in bounds.items():
        say(f"  {name:<8} " + (_mem(low, high, page) if low != high else "empty"))
    if machine.kernel.config.enabled("ZONE_DEVICE"):
        say("  Device   empty")
    say("Movable zone start for each node")
    for number, start in sorted(movable.items()):
        say(f"  Node {number}: {start * page:#018x}")
    say("Early memory node ranges")
    for start, end, number in ranges:
        say(f"  node {number:3}: {_mem(start, end, page)}")

    for number in nodes:
        mine = [(start, end) for start, end, owner in ranges if owner == number]
        node = (
            Node(number, min(mine)[0], max(end for _, end in mine)) if mine else Node(number, 0, 0)
        )
        if mine:
            say(f"Initmem setup node {number} {_mem(node.start_pfn, node.end_pfn, page)}")
        else:
            say(f"Initmem setup node {number} as memoryless")
        for name in names:
            span = _zone_span(name, node, bounds, movable.get(number, 0), movable_zone)
            node.zones.append(_zone(name, span, mine))
        machine.nodes.append(node)
        if section_bytes is None:
            alloc_node_mem_map(machine, node)
        if not machine.kernel.release.has("kernel_pages_are_free_memory"):
            _count_kernel_pages(machine, node, movable_zone, sparse=section_bytes is not None)
        if section_bytes is None:
            for zone in node.zones:
                setup_usemap(machine, node, zone)
    if machine.kernel.release.has("kernel_pages_are_free_memory"):
        _calc_nr_kernel_pages(machine, bounds)
    _memmap_init(machine, ranges, section_bytes)


def _mem(start: int, end: int, page: int) -> str:
    return f"[mem {start * page:#018x}-{end * page - 1:#018x}]"


def _zone_bounds(
    machine: Machine, names: Iterable[str], max_zone_pfn: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """arch_zone_lowest_possible_pfn and …highest…, by zone."""
    bounds = {}
    start = machine.memblock.start_of_dram() // machine.kernel.page_size
    for name in names:
        if name != MOVABLE:
            end = max(max_zone_pfn.get(name, 0), start)
            bounds[name] = start, end
            start = end
    return bounds


def _zone_span(
    name: str,
    node: Node,
    bounds: Mapping[str, tuple[int, int]],
    movable_start: int,
    movable_zone: str,
) -> tuple[int, int]:
    """zone_spanned_pages_in_node(): first frame of a zone in a node and the one behind it."""
    if node.start_pfn == node.end_pfn:
        return 0, 0
    if name == MOVABLE:
        if not movable_start:
            return 0, 0
        start, end = movable_start, min(node.end_pfn, bounds[movable_zone][1])
    else:
        low, high = bounds[name]
        start, end = (min(max(at, low), high) for at in (node.start_pfn, node.end_pfn))
        if movable_start and start < movable_start < end:
            end = movable_start
        elif movable_start and start >= movable_start:
            start = end
    if end < node.start_pfn or start > node.end_pfn:
        return 0, 0
    return max(start, node.start_pfn), min(end, node.end_pfn)


def _zone(name: str, span: tuple[int, int], memory: Iterable[tuple[int, int]]) -> Zone:
    first, behind = span
    if first >= behind:
        return Zone(name)
    present = sum(max(0, min(end, behind) - max(start, first)) for start, end in memory)
    return Zone(name, first, behind - first, present)


def _count_kernel_pages(machine: Machine, node: Node, movable_zone: str, *, sparse: bool) -> None:
    """free_area_init_core() of 6.1: what hash tables are sized by, present pages less mem_map."""
    page = machine.kernel.page_size
    for zone in node.zones:
        pages = zone.spanned
        if sparse and zone.spanned > zone.present + (zone.present >> 4):
            pages = zone.present
        memmap = -(-pages * struct_size(machine.kernel, "page") // page)
        free = zone.present
        if zone.name == HIGHMEM or (zone.name == MOVABLE and movable_zone == HIGHMEM):
            if machine.nr_kernel_pages > memmap * 2:
                machine.nr_kernel_pages -= memmap
        else:
            if free >= memmap:
                free -= memmap
            else:
                machine.log.say(
                    f"  {zone.name} zone: {memmap} memmap pages exceeds freesize {free}"
                )
            machine.nr_kernel_pages += free
        machine.nr_all_pages += free


def _calc_nr_kernel_pages(machine: Machine, bounds: Mapping[str, tuple[int, int]]) -> None:
    """calc_nr_kernel_pages(): the pages that are free now, and those of them below highmem."""
    page = machine.kernel.page_size
    highmem = bounds[HIGHMEM][0] if HIGHMEM in bounds else None
    for base, behind in machine.memblock.free_ranges():
        start, end = -(-base // page), behind // page
        if start < end:
            machine.nr_all_pages += end - start
            if highmem is not None:
                start, end = min(start, highmem), min(end, highmem)
            machine.nr_kernel_pages += end - start


def _memmap_init(machine: Machine, ranges: Sequence[PfnRange], section_bytes: int | None) -> None:
    """memmap_init(): count the struct pages of holes, which belong to the zone above them."""
    page = machine.kernel.page_size
    by_number = {node.number: node for node in machine.nodes}
    described = _described(machine, section_bytes)
    hole = end = number = 0
    zone_name = machine.nodes[0].zones[0].name
    for start, end, number in ranges:
        for zone in by_number[number].zones:
            if not zone.present:
                continue
            low, high = (min(max(at, zone.start_pfn), zone.end_pfn) for at in (start, end))
            if low < high:
                if hole < low:
                    _init_unavailable_range(machine, described, (hole, low), zone.name, number)
                hole = high
            zone_name = zone.name
    if section_bytes is not None:
        end = -(-end * page // section_bytes) * section_bytes // page
    if hole < end:
        _init_unavailable_range(machine, described, (hole, end), zone_name, number)


def _init_unavailable_range(
    machine: Machine,
    described: Iterable[tuple[int, int]],
    hole: tuple[int, int],
    zone: str,
    node: int,
) -> None:
    count = sum(max(0, min(end, hole[1]) - max(start, hole[0])) for start, end in described)
    if count:
        machine.log.say(f"On node {node}, zone {zone}: {count} pages in unavailable ranges")


def _described(machine: Machine, section_bytes: int | None) -> list[tuple[int, int]]:
    """pfn_valid(): the frame ranges that have a struct page, ascending and apart.

    arm has its own rule, by page blocks that hold memory; elsewhere sections that do count.
    """
    unit = section_bytes
    if unit is None or machine.kernel.arch == "arm":
        unit = pageblock_bytes(machine.kernel)
    page = machine.kernel.page_size
    found: list[tuple[int, int]] = []
    for region in machine.memblock.memory.list:
        start, end = region.base // unit * unit // page, -(-region.end // unit) * unit // page
        if found and start <= found[-1][1]:
            start = found.pop()[0]
        found.append((start, end))
    return found
