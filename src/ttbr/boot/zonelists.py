"""build_all_zonelists(): the lines about nodes, zones and grouping by mobility.

Source: mm/page_alloc.c; include/linux/mmzone.h: enum migratetype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.kernel.pageblock import pageblock_bytes

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

MOVABLE = "Movable"


def build_all_zonelists(machine: Machine) -> None:
    """Fallback orders (NUMA), the count of zonelists, and how pages will be grouped."""
    config, say = machine.kernel.config, machine.log.say
    numa = config.enabled("NUMA")
    if numa:
        for node, order in fallback_orders(machine).items():
            say(f"Fallback order for Node {node}: {''.join(f'{n} ' for n in order)}")
    total, online = _total_pages(machine), len(machine.nodes)
    grouping = "on" if mobility_grouping(machine) else "off"
    say(f"Built {online} zonelists, mobility grouping {grouping}.  Total pages: {total}")
    if numa:
        populated = [
            zone.name
            for node in machine.nodes
            for zone in node.zones
            if zone.present and zone.name != MOVABLE
        ]
        names = [zone.name for zone in machine.nodes[0].zones]
        say(f"Policy zone: {max(populated or names[:1], key=names.index)}")


def _total_pages(machine: Machine) -> int:
    """What zones count as managed until memblock frees their pages."""
    if machine.kernel.release.has("kernel_pages_are_free_memory"):
        return sum(node.present for node in machine.nodes)
    return machine.nr_all_pages


def mobility_grouping(machine: Machine) -> bool:
    """Whether pages are grouped by mobility: not if a page block for each type is too much."""
    config = machine.kernel.config
    block = pageblock_bytes(machine.kernel) // machine.kernel.page_size
    # Unmovable, movable, reclaimable, reserved for high orders; contiguous, isolated.
    types = 4 + config.enabled("CMA") + config.enabled("MEMORY_ISOLATION")
    return _total_pages(machine) >= block * types


def fallback_orders(machine: Machine) -> dict[int, list[int]]:
    """For each node, the nodes with memory in the order in which its allocations try them."""
    load: dict[int, int] = {}
    return {node.number: _fallback_order(machine, node.number, load) for node in machine.nodes}


def _fallback_order(machine: Machine, local: int, load: dict[int, int]) -> list[int]:
    """build_zonelists(): nodes from the nearest on; one that others prefer already comes later.

    No node counts as one with CPUs: even the boot CPU is put on its node's list only later
    (arm64 smp_prepare_cpus: numa_add_cpu).
    """
    with_memory = [node.number for node in machine.nodes if node.present]
    order: list[int] = []
    previous = local
    first = local in with_memory or not machine.kernel.release.has("fallback_skips_memoryless")
    if first:
        order.append(local)
    distance = machine.node_distance
    while left := [n for n in with_memory if n not in order]:

        def value(node: int) -> tuple[int, int, int]:
            return distance(local, node) + (node < local), load.get(node, 0), node

        best = min(left, key=value)
        if distance(local, best) != distance(local, previous):
            load[best] = load.get(best, 0) + 1
        order.append(best)
        previous = best
    return order
