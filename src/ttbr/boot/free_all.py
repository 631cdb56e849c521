"""memblock_free_all() and free_highpages(): memory goes over to the page allocator.

Source: mm/memblock.c, mm/mm_init.c (6.1: mm/page_alloc.c), arch/arm/mm/init.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.buddy import Buddies, FreeBlocks, Rules, columns
from ttbr.boot.regions import Flags, is_node
from ttbr.boot.zonelists import mobility_grouping
from ttbr.kernel.pageblock import max_page_order, pageblock_bytes
from ttbr.kernel.structs import section_shift, struct_size

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.boot.zones import Node, Zone


@dataclass(frozen=True, slots=True)
class HandOver:
    """What the page allocator got.

    ``free``: its lists. ``totalram``: pages that count as RAM in use or free, also those whose
    struct page waits for a later moment. ``highmem``: those of them in highmem. ``waiting``: the
    frames that wait, (node, zone, first, behind the last), ascending. ``unmovable``: by zone, as
    in ``free.zones``, the first frames of page blocks that are not movable.
    """

    free: FreeBlocks
    totalram: int
    highmem: int
    waiting: tuple[tuple[int, str, int, int], ...]
    unmovable: tuple[frozenset[int], ...]

    @property
    def deferred(self) -> dict[tuple[int, str], int]:
        """Pages whose struct page waits, by node and zone."""
        found: dict[tuple[int, str], int] = {}
        for node, zone, start, end in self.waiting:
            found[node, zone] = found.get((node, zone), 0) + end - start
        return found


def memblock_free_all(machine: Machine) -> HandOver:
    """Give all free memory away, lowmem first, and set `Zone.managed`."""
    kernel, memblock = machine.kernel, machine.memblock
    _free_unused_memmap(machine)
    # Even what may be unplugged is memory to give away (free_low_memory_core_early).
    memblock.memory.set_flag(0, memblock.address_max, Flags.HOTPLUG, False)
    if kernel.release.has("reserved_regions_get_nodes"):
        for region in list(memblock.memory.list):
            memblock.set_node(region.base, region.size, memblock.reserved, region.nid)
    rules = Rules.of(kernel, grouping=mobility_grouping(machine))
    made = [
        (
            node.number,
            zone,
            Buddies(rules, unmovable_blocks(machine, zone, 1 << rules.pageblock_order)),
        )
        for node in machine.nodes
        for zone in node.zones
    ]
    by_zone = {id(zone): buddies for _, zone, buddies in made}
    places = zone_places(machine)
    max_low = _max_low_pfn(machine)
    deferred_from = {node.number: first_deferred_pfn(machine, node) for node in machine.nodes}
    page = kernel.page_size
    totalram = highmem = 0
    waiting: list[tuple[int, str, int, int]] = []
    for base, behind in memblock.free_ranges():
        start, end = -(-base // page), min(behind // page, max_low)
        if start < end:
            totalram += end - start
        for node, zone, low, high in _pieces(places, start, end):
            stop = min(high, max(low, deferred_from[node.number]))
            by_zone[id(zone)].free_range(low, stop, to_tail=True)
            if stop < high:
                waiting.append((node.number, zone.name, stop, high))
    if kernel.config.enabled("HIGHMEM"):
        for base, behind in memblock.free_ranges():
            start, end = max(-(-base // page), max_low), behind // page
            if start < end:
                highmem += end - start
            for _, zone, low, high in _pieces(places, start, end):
                by_zone[id(zone)].free_range(low, high, to_tail=False)
    for _, zone, buddies in made:
        zone.managed = buddies.pages
    return HandOver(
        columns([(node, zone.name, buddies) for node, zone, buddies in made]),
        totalram + highmem,
        highmem,
        tuple(waiting),
        tuple(buddies.unmovable for *_, buddies in made),
    )


def zone_places(machine: Machine) -> list[tuple[int, int, Node, Zone]]:
    """Memory by node and zone, ascending: (first frame, the one behind the last, node, zone).

    Where nodes take turns the spans of their zones overlap; the memory does not.
    """
    by_number = {node.number: node for node in machine.nodes}
    found = []
    for start, end, number in machine.memblock.mem_pfn_ranges():
        for zone in by_number[number].zones:
            low, high = max(start, zone.start_pfn), min(end, zone.end_pfn)
            if zone.present and low < high:
                found.append((low, high, by_number[number], zone))
    return sorted(found, key=lambda place: place[0])


def _pieces(
    places: list[tuple[int, int, Node, Zone]], start: int, end: int
) -> Iterator[tuple[Node, Zone, int, int]]:
    """The parts of a frame range by node and zone, ascending."""
    for first, behind, node, zone in places:
        low, high = max(start, first), min(end, behind)
        if low < high:
            yield node, zone, low, high


def unmovable_blocks(machine: Machine, zone: Zone, block: int) -> frozenset[int]:
    """First frames of the zone's page blocks that begin where no memory is.

    A page block becomes movable when the struct page of its first frame is made
    (memmap_init_range). Where the flags belong to the zone (FLATMEM), that frame must be the
    zone's, too; those of SPARSEMEM belong to a section, whatever zone it is in.
    """
    page = machine.kernel.page_size
    low, high = zone.start_pfn, zone.end_pfn
    memory = [(-(-r.base // page), r.end // page) for r in machine.memblock.memory.list]
    clipped = [(max(start, low), min(end, high)) for start, end in memory]
    known = memory if machine.kernel.config.enabled("SPARSEMEM") else clipped
    firsts = {start // block * block for start, end in clipped if start < end and start % block}
    return frozenset(
        first for first in firsts if not any(start <= first < end for start, end in known)
    )


def _max_low_pfn(machine: Machine) -> int:
    """max_low_pfn: the frame behind the last one with a linear address.

    On arm, where lowmem ends, which is what memblock's limit was set to.
    """
    memblock = machine.memblock
    return min(memblock.current_limit, memblock.end_of_dram()) // machine.kernel.page_size


def first_deferred_pfn(machine: Machine, node: Node) -> int:
    """From where on a node's struct pages are made later (DEFERRED_STRUCT_PAGE_INIT).

    The zone that reaches the end of the node gets a section's worth of pages, and what is left of
    the section in which they end; zones below it are complete.
    """
    none = 1 << 64
    config = machine.kernel.config
    if not config.enabled("DEFERRED_STRUCT_PAGE_INIT"):
        return none
    if config.enabled("PAGE_EXTENSION") and machine.params.given("early_page_ext"):
        return none
    section = (1 << section_shift(machine.kernel)) // machine.kernel.page_size
    page = machine.kernel.page_size
    ranges = [
        (-(-region.base // page), region.end // page)
        for region in machine.memblock.memory.list
        if region.nid == node.number or not is_node(region.nid)
    ]
    for zone in node.zones:
        if not zone.spanned or zone.end_pfn < node.end_pfn:
            continue
        made = 0
        for low, high in ranges:
            start, end = max(low, zone.start_pfn), min(high, zone.end_pfn)
            if start >= end:
                continue
            # The first section boundary after more than a section's worth was made.
            enough = start + max(section - made, 0)
            boundary = -(-enough // section) * section
            if boundary < end:
                return boundary
            made += end - start
    return none


def _free_unused_memmap(machine: Machine) -> None:
    """free_unused_memmap() of arm: what describes the holes between banks is not needed.

    With sparse memory the end of a section that no bank reaches is not, either.
    """
    kernel = machine.kernel
    sparse = kernel.config.enabled("SPARSEMEM")
    if kernel.arch != "arm":
        return
    page, block = kernel.page_size, pageblock_bytes(kernel) // kernel.page_size
    section = (1 << section_shift(kernel)) // page
    previous = end = 0
    for region in machine.memblock.memory.list:
        start, end = -(-region.base // page), region.end // page
        if start >= end:
            continue
        if sparse:
            start = min(start, -(-previous // section) * section)
        start = start // block * block
        if previous and previous < start:
            _free_memmap(machine, previous, start)
        previous = -(-end // block) * block
    if sparse and previous % section:
        _free_memmap(machine, previous, -(-previous // section) * section)


def _free_memmap(machine: Machine, start_pfn: int, end_pfn: int) -> None:
    """free_memmap(): whole pages of what describes [start_pfn, end_pfn)."""
    page = machine.kernel.page_size
    low, high = _behind_struct_page(machine, start_pfn), _behind_struct_page(machine, end_pfn)
    if low is None or high is None:
        return
    low, high = -(-low // page) * page, high // page * page
    if low < high:
        function = machine.kernel.caller(
            "free_memmap", "free_unused_memmap", "memblock_free_all", tail=1
        )
        machine.memblock.phys_free(low, high - low, function)


def _behind_struct_page(machine: Machine, pfn: int) -> int | None:
    """Physical address behind the struct page of the frame before ``pfn``; None without one."""
    kernel, node = machine.kernel, machine.nodes[0]
    described = struct_size(kernel, "page")
    if kernel.config.enabled("SPARSEMEM"):
        pages = (1 << section_shift(kernel)) // kernel.page_size
        array = machine.section_arrays.get((pfn - 1) // pages)
        return None if array is None else array + ((pfn - 1) % pages + 1) * described
    if node.mem_map is None:
        return None
    block = 1 << max_page_order(kernel)
    return node.mem_map + (pfn - node.start_pfn // block * block) * described
