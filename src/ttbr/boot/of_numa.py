"""Memory nodes of the device tree: drivers/of/of_numa.c."""

from __future__ import annotations

from ttbr.boot.fdt import Node
from ttbr.boot.machine import Machine
from ttbr.boot.numa_blocks import LOCAL_DISTANCE, NodeBlocks, RejectedError
from ttbr.boot.of_address import address_to_resource

U32 = 4
DISTANCE_MAP = b"numa-distance-map-v1"


def of_numa_init(machine: Machine, blocks: NodeBlocks) -> None:
    """``of_numa_init``: CPUs, memory, distances; `RejectedError` if the tree describes no nodes."""
    if not machine.kernel.config.enabled("OF_NUMA"):
        raise RejectedError
    _parse_cpu_nodes(machine, blocks)
    _parse_memory_nodes(machine, blocks)
    _parse_distance_map(machine, blocks)


def _parse_cpu_nodes(machine: Machine, blocks: NodeBlocks) -> None:
    """Nodes that CPUs name exist, with memory or without."""
    cpus = machine.tree.find("/cpus")
    for node in cpus.children if cpus is not None else ():
        if node.base_name != "cpu" and _type(node) != b"cpu":
            continue
        nid = _node_id(node)
        if nid is None:
            continue
        if nid >= blocks.limit:
            machine.log.say(f"OF: NUMA: Node id {nid} exceeds maximum value")
        else:
            blocks.parsed.add(nid)


def _parse_memory_nodes(machine: Machine, blocks: NodeBlocks) -> None:
    """Every memory node of the tree, also what Linux takes no memory from."""
    say = machine.log.say
    described = False
    for node in machine.tree.root.walk():
        if _type(node) != b"memory":
            continue
        described = node.prop("numa-node-id") is not None
        if not described:
            continue
        nid = _node_id(node)
        if nid is not None and nid >= blocks.limit:
            say(f"OF: NUMA: Node id {nid} exceeds maximum value")
            nid = None
        ranges: list[tuple[int, int]] = []
        while nid is not None and (found := address_to_resource(node, len(ranges))) is not None:
            ranges.append(found)
            start, size = found
            blocks.add(nid, start, (start + size) & ((1 << 64) - 1))
            blocks.parsed.add(nid)
        if not ranges:
            say("OF: NUMA: bad property in memory node")
            raise RejectedError
    if not described and machine.kernel.release.has("of_numa_last_node_counts"):
        raise RejectedError


def _parse_distance_map(machine: Machine, blocks: NodeBlocks) -> None:
    """``of_numa_parse_distance_map``: triples of two nodes and a distance."""
    say = machine.log.say
    found = next((n for n in machine.tree.root.walk() if _is_distance_map(n)), None)
    if found is None:
        return
    say("OF: NUMA: parsing numa-distance-map-v1")
    matrix = found.prop("distance-matrix")
    if matrix is None:
        say("OF: NUMA: No distance-matrix property in distance-map")
        raise RejectedError
    if not matrix.data or len(matrix.data) % U32:
        say("OF: NUMA: Invalid distance-matrix")
        raise RejectedError
    cells = matrix.cells
    for here, there, distance in zip(cells[::3], cells[1::3], cells[2::3], strict=False):
        fits = distance == LOCAL_DISTANCE if here == there else distance > LOCAL_DISTANCE
        if not fits:
            say(f"OF: NUMA: Invalid distance[node{here} -> node{there}] = {distance}")
            raise RejectedError
        if here < blocks.limit:
            blocks.parsed.add(here)
        blocks.set_distance(here, there, distance)
        if there > here:
            blocks.set_distance(there, here, distance)


def _node_id(node: Node) -> int | None:
    """The first cell of numa-node-id; None without one."""
    found = node.prop("numa-node-id")
    if found is None or len(found.data) < U32:
        return None
    return int.from_bytes(found.data[:U32], "big")


def _type(node: Node) -> bytes | None:
    found = node.prop("device_type")
    return None if found is None else found.data.partition(b"\0")[0]


def _is_distance_map(node: Node) -> bool:
    found = node.prop("compatible")
    return found is not None and DISTANCE_MAP in found.data.split(b"\0")
