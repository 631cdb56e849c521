"""Nodes out of the device tree, or one for all memory, as both generations of Linux do it."""

import pytest
from machines import G, M, board_tree, kernel, machine, pairs

from device_trees import cells
from ttbr.boot.machine import Machine
from ttbr.boot.numa import arch_numa_init, early_pfn_to_nid

NUMA = {"NUMA": "y", "OF_NUMA": "y", "NODES_SHIFT": "2", "SMP": "y"}
RELEASES = ("6.1.176", "6.12.117")
BANKS = ((G, G // 2), (G + G // 2, G // 2))


def memory(base: int, size: int, nid: int | None = None):
    node = {} if nid is None else {"numa-node-id": cells(nid)}
    return (f"memory@{base:x}", {"device_type": b"memory\0", "reg": pairs((base, size))} | node, [])


def distances(*triples: tuple[int, int, int]):
    matrix = b"".join(cells(*triple) for triple in triples)
    return ("map", {"compatible": b"numa-distance-map-v1\0", "distance-matrix": matrix}, [])


def booted(*nodes, release: str = "6.12.117", line: str = "", **options: str) -> Machine:
    tree = board_tree(*nodes, memory=(), chosen={"bootargs": line.encode() + b"\0"})
    there = machine(tree, kernel(release=release, **(NUMA | options)))
    for node in nodes:
        if node[1].get("device_type") == b"memory\0":
            reg = node[1]["reg"]
            base, size = (int.from_bytes(reg[at : at + 8], "big") for at in (0, 8))
            there.memblock.add(base, size, "f")
    there.set_command_line(line)
    arch_numa_init(there)
    return there


def regions(there: Machine) -> list[tuple[int, int]]:
    return [(region.base, region.nid) for region in there.memblock.memory.list]


def said(there: Machine) -> str:
    return "\n".join(message.text for message in there.log.messages)


@pytest.mark.parametrize("release", RELEASES)
def test_two_nodes(release: str) -> None:
    there = booted(*(memory(*bank, nid) for nid, bank in enumerate(BANKS)), release=release)
    assert regions(there) == [(base, nid) for nid, (base, _) in enumerate(BANKS)]
    assert there.numa.online == [0, 1]
    for nid, (base, size) in enumerate(BANKS):
        assert base <= there.numa.node_data[nid] < base + size
        assert early_pfn_to_nid(there, base >> 12) == nid
    assert said(there).count("NODE_DATA") == 2


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("line", ["", "numa=off"])
def test_one_node_for_everything(release: str, line: str) -> None:
    nodes = [memory(*bank) for bank in BANKS]
    there = booted(*nodes, release=release, line=line)
    assert regions(there) == [(G, 0)]
    assert there.numa.online == [0]
    assert "Faking a node at [mem 0x0000000040000000-0x000000007fffffff]" in said(there)
    assert ("NUMA disabled" in said(there)) == bool(line)


def test_numa_off_ignores_the_tree() -> None:
    there = booted(*(memory(*bank, nid) for nid, bank in enumerate(BANKS)), line="numa=off")
    assert there.numa.online == [0]


@pytest.mark.parametrize("release", RELEASES)
def test_memory_that_no_node_has_undoes_all(release: str) -> None:
    there = booted(memory(*BANKS[1]), memory(*BANKS[0], 0), release=release)
    assert there.numa.online == [0] and regions(there) == [(G, 0)]
    words = "no nodes coverage for 512MB of 1024MB RAM" if release == "6.12.117" else "invalid"
    assert words in said(there) and "Faking a node" in said(there)


def test_a_last_memory_node_without_an_id() -> None:
    """6.12 takes it for a tree without nodes before it looks at what is covered."""
    there = booted(memory(*BANKS[0], 0), memory(*BANKS[1]))
    assert "coverage" not in said(there) and "Faking a node" in said(there)


@pytest.mark.parametrize("release", RELEASES)
def test_bad_ids_undo_all(release: str) -> None:
    there = booted(memory(*BANKS[0], 0), memory(*BANKS[1], 4), release=release)
    assert there.numa.online == [0]
    assert "OF: NUMA: Node id 4 exceeds maximum value" in said(there)
    assert "OF: NUMA: bad property in memory node" in said(there)


@pytest.mark.parametrize("release", RELEASES)
def test_distances(release: str) -> None:
    nodes = [memory(*bank, nid) for nid, bank in enumerate(BANKS)]
    matrix = distances((0, 0, 10), (0, 1, 25), (1, 1, 10))
    there = booted(*nodes, matrix, release=release)
    assert there.node_distance(0, 1) == there.node_distance(1, 0) == 25
    bad = booted(*nodes, distances((0, 1, 5)), release=release)
    assert bad.numa.online == [0] and bad.node_distance(0, 1) == 20
    assert "Invalid distance[node0 -> node1] = 5" in said(bad)


def test_the_table_of_distances_is_as_long_as_there_can_be_or_are_nodes() -> None:
    nodes = [memory(*bank, nid) for nid, bank in enumerate(BANKS)]
    matrix = distances((0, 1, 25))
    taken = {
        release: [
            event.end - event.start + 1
            for event in booted(*nodes, matrix, release=release).log
            if "numa_" in event.detail
        ]
        for release in RELEASES
    }
    assert taken == {"6.1.176": [16], "6.12.117": [4]}


def test_overlapping_nodes_are_refused_by_6_12() -> None:
    there = booted(memory(G, G, 0), memory(G + G // 2, G // 2, 1))
    assert "overlaps with node 1" in said(there) and there.numa.online == [0]


def test_neighbouring_ranges_of_one_node_are_joined() -> None:
    there = booted(memory(G, G // 4, 0), memory(G + G // 2, G // 2, 0))
    assert "NUMA: Node 0 [mem 0x40000000-0x4fffffff] + [mem 0x60000000-0x7fffffff]" in said(there)
    assert regions(there) == [(G, 0), (G + G // 2, 0)]


def test_reserved_memory_gets_nodes_in_6_12_only() -> None:
    tree = board_tree(*(memory(*bank, nid) for nid, bank in enumerate(BANKS)), memory=())
    for release in RELEASES:
        there = machine(tree, kernel(release=release, **NUMA))
        for bank in BANKS:
            there.memblock.add(*bank, "f")
        there.memblock.reserve(G + G // 2 - 4096, 8192, "f")
        arch_numa_init(there)
        halves = [r.nid for r in there.memblock.reserved.list if r.base >> 12 in (0x5FFFF, 0x60000)]
        assert (halves == [0, 1]) == (release == "6.12.117")


def test_a_mask_of_cpus_for_each_node() -> None:
    options = {"CPUMASK_OFFSTACK": "y", "NR_CPUS": "512"}
    there = booted(*(memory(*bank, nid) for nid, bank in enumerate(BANKS)), **options)
    masks = [e for e in there.log if e.detail.endswith("alloc_bootmem_cpumask_var")]
    assert [mask.end - mask.start + 1 for mask in masks] == [64, 64]


def test_without_numa_there_is_node_0() -> None:
    there = machine(board_tree(), kernel())
    there.memblock.add(G, 64 * M, "f")
    arch_numa_init(there)
    assert there.numa.online == [0] and not there.numa.node_data
