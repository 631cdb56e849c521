"""What memblock is told of nodes, by both generations of the code.

Source: mm/numa_memblks.c of 6.12; drivers/base/arch_numa.c of 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.machine import Machine
from ttbr.boot.regions import NO_NODE, Flags, is_node
from ttbr.errors import TtbrError
from ttbr.kernel.structs import max_numnodes

LOCAL_DISTANCE = 10
M = 1 << 20


class RejectedError(TtbrError):
    """The kernel gives up on this description of nodes and goes on without it."""


@dataclass(slots=True)
class Block:
    """A range [start, end) of a node (struct numa_memblk)."""

    nid: int
    start: int
    end: int

    @property
    def span(self) -> str:
        """As the kernel prints it."""
        return f"[mem {self.start:#010x}-{self.end - 1:#010x}]"

    def overlaps(self, other: Block) -> bool:
        """Whether they share an address."""
        return self.start < other.end and self.end > other.start


class NodeBlocks:
    """6.12: ranges are collected, cleaned, and then told memblock.

    ``parsed``: the nodes that were named (numa_nodes_parsed).
    """

    _prefix = ""  # of messages about distances
    _reset = "numa_reset_distance"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.memblock = machine.memblock
        self.limit = max_numnodes(machine.kernel)
        self.parsed: set[int] = set()
        self.blocks: list[Block] = []
        self._table: tuple[int, int] | None = None  # (address, nodes) of the distance table

    def begin(self) -> None:
        """Forget what there was (the first half of numa_memblks_init)."""
        memblock, everything = self.memblock, self.memblock.address_max
        self.parsed.clear()
        self.blocks.clear()
        memblock.set_node(0, everything, memblock.memory, NO_NODE)
        memblock.set_node(0, everything, memblock.reserved, NO_NODE)
        memblock.memory.set_flag(0, everything, Flags.HOTPLUG, False)
        self.reset_distance()

    def add(self, nid: int, start: int, end: int) -> None:
        """``numa_add_memblk``; `RejectedError` if there is no room for it."""
        if start == end:
            return
        if start > end or not 0 <= nid < self.limit:
            span = Block(nid, start, end).span
            self.machine.log.say(f"Warning: invalid memblk node {nid} {span}")
            return
        if len(self.blocks) >= 2 * self.limit:
            self.machine.log.say("too many memblk ranges")
            raise RejectedError
        self.blocks.append(Block(nid, start, end))

    def finish(self) -> None:
        """Clean the ranges and give them to memblock (the other half, numa_register_meminfo)."""
        self._cleanup()
        memblock = self.memblock
        if not self.parsed and not self.blocks:
            raise RejectedError
        for block in self.blocks:
            memblock.set_node(block.start, block.end - block.start, memblock.memory, block.nid)
        for block in self.blocks:
            memblock.set_node(block.start, block.end - block.start, memblock.reserved, block.nid)
        kept = {region.nid for region in memblock.reserved.list if is_node(region.nid)}
        for block in self.blocks:
            if block.nid in kept:
                size = block.end - block.start
                memblock.memory.set_flag(block.start, size, Flags.HOTPLUG, False)

    def _cleanup(self) -> None:
        """``numa_cleanup_meminfo``: cut to memory, then join what may be joined."""
        memblock, blocks = self.memblock, self.blocks
        low, high = memblock.start_of_dram(), memblock.end_of_dram()
        blocks[:] = [b for b in blocks if memblock.memory.overlaps(b.start, b.end - b.start)]
        for block in blocks:
            block.start, block.end = max(block.start, low), min(block.end, high)
        blocks[:] = [b for b in blocks if b.start < b.end]
        first = 0
        while first < len(blocks):
            second = first + 1
            while second < len(blocks):
                if self._join(blocks[first], blocks[second]):
                    del blocks[second]
                else:
                    second += 1
            first += 1

    def _join(self, block: Block, other: Block) -> bool:
        say = self.machine.log.say
        if block.overlaps(other):
            if block.nid != other.nid:
                say(f"node {block.nid} {block.span} overlaps with node {other.nid} {other.span}")
                raise RejectedError
            say(f"Warning: node {block.nid} {block.span} overlaps with itself {other.span}")
        if block.nid != other.nid:
            return False
        whole = Block(block.nid, min(block.start, other.start), max(block.end, other.end))
        if any(third.nid != block.nid and whole.overlaps(third) for third in self.blocks):
            return False
        say(f"NUMA: Node {block.nid} {block.span} + {other.span} -> {whole.span}")
        block.start, block.end = whole.start, whole.end
        return True

    def check(self) -> None:
        """``memblock_validate_numa_coverage``: all memory must be some node's."""
        page = self.memblock.page_size
        pages = sum(
            end - start for start, end, nid in self.memblock.mem_pfn_ranges() if not is_node(nid)
        )
        if pages:
            total = self.memblock.phys_mem_size() // M
            self.machine.log.say(
                f"NUMA: no nodes coverage for {pages * page // M}MB of {total}MB RAM"
            )
            raise RejectedError

    def set_distance(self, here: int, there: int, distance: int) -> None:
        """``numa_set_distance``: makes a table if there is none."""
        if self._table is None:
            nodes = self.parsed | {block.nid for block in self.blocks}
            self._alloc_distance(max(nodes, default=0) + 1, "numa_set_distance")
            if self._table is not None:
                cnt = self._table[1]
                self.machine.log.say(f"NUMA: Initialized distance table, cnt={cnt}")
        if self._table is None:
            return
        self._check_distance(here, there, distance, self._table[1])

    def _check_distance(self, here: int, there: int, distance: int, nodes: int) -> None:
        pair = f"from={here} to={there} distance={distance}"
        prefix = self._prefix
        if max(here, there) >= nodes:
            self.machine.log.say(f"{prefix}Warning: node ids are out of bound, {pair}")
        elif distance > 0xFF or (here == there and distance != LOCAL_DISTANCE):
            self.machine.log.say(f"{prefix}Warning: invalid distance parameter, {pair}")
        else:
            self.machine.distances[here, there] = distance

    def _alloc_distance(self, nodes: int, *callers: str) -> None:
        """``numa_alloc_distance``: a byte for each pair."""
        function = self.machine.kernel.caller("numa_alloc_distance", *callers)
        found = self.memblock.alloc(nodes * nodes, self.memblock.page_size, function)
        if found:
            self._table = found, nodes

    def reset_distance(self) -> None:
        """``numa_reset_distance``: give the table back."""
        if self._table is not None:
            address, nodes = self._table
            self.memblock.free(address, nodes * nodes, self._reset)
            self._table = None
        self.machine.distances.clear()


class MemblockNodes(NodeBlocks):
    """6.1: memblock hears of each range at once; the distance table comes first."""

    _prefix = "NUMA: "
    _reset = "numa_free_distance"

    def begin(self) -> None:
        """A distance table for as many nodes as there can be."""
        self.parsed.clear()
        self._alloc_distance(self.limit, "numa_init", "arch_numa_init")
        if self._table is None:
            raise RejectedError

    def add(self, nid: int, start: int, end: int) -> None:
        """``numa_add_memblk``."""
        self.memblock.set_node(start, end - start, self.memblock.memory, nid)
        self.parsed.add(nid)

    def finish(self) -> None:
        """Nothing: memblock knows."""

    def check(self) -> None:
        """``numa_register_nodes``: every region must have a node."""
        pa = self.machine.kernel.pa
        for region in self.memblock.memory.list:
            if not is_node(region.nid):
                nid = region.nid if region.nid < 0 else self.limit
                self.machine.log.say(
                    f"NUMA: Warning: invalid memblk node {nid} "
                    f"[mem {pa(region.base)}-{pa(region.end - 1)}]"
                )
                raise RejectedError

    def set_distance(self, here: int, there: int, distance: int) -> None:
        """``numa_set_distance``."""
        if self._table is not None:
            self._check_distance(here, there, distance, self._table[1])
