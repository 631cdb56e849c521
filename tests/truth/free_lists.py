"""The page allocator's free lists out of a recording's RAM, by the offsets that it states.

The reading is the test's own: it knows struct zone and struct page, and nothing of the model.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.image import Image
from ttbr.recover.registers import registers_in

BEFORE, STAGE = "mem_init-begin", "mem_init-end"
# Boards were recorded without a module that states offsets: these ran the very same kernels.
SAME_KERNEL = {"board-raspi2b": "arm32-stock-6.1", "board-raspi3b": "arm64-stock-6.1"}

Region = tuple[int, int, int, int]
"""Of memblock: base, size, flags, node."""
Lists = dict[tuple[int, str, int, int], list[int]]


def at_stage(truth: ModuleType, case: str, stage: str) -> Image:
    """The machine of a recording at a stage."""
    (found,) = [s for s in truth.stages(case) if s["stage"] == stage]
    banks = truth.stage(case, stage)
    memory = BankedMemory(Piece(base, len(data), data) for base, data in banks.items())
    return Image(memory, registers_in({"cpu0": found["registers"]}, case))


@dataclass
class KernelMemory:
    """Reads a kernel's structures in a recording, by virtual address."""

    image: Image
    expected: dict[str, Any]
    symbols: dict[str, int]
    same: dict[str, Any]

    def __post_init__(self) -> None:
        self.space = self.image.address_space("kernel")
        self.word = 8 if self.image.arch == "arm64" else 4
        self.pages: dict[int, int] = {}
        self.offsets = self.same["struct_offsets"]
        self.sizes = self.same["struct_sizes"]

    def read(self, va: int, size: int) -> bytes:
        page = va & ~0xFFF
        if page not in self.pages:
            pa = self.space.translate(page).pa
            assert pa is not None, hex(va)
            self.pages[page] = pa
        return self.image.memory.read(self.pages[page] + (va & 0xFFF), size)

    def number(self, va: int) -> int:
        return int(struct.unpack("<Q" if self.word == 8 else "<I", self.read(va, self.word))[0])

    def nodes(self) -> list[tuple[int, int]]:
        """(number, address of its pglist_data)."""
        if "contig_page_data" in self.symbols:
            return [(0, self.symbols["contig_page_data"])]
        stated = self.expected.get("nodes") or [{"node": n} for n in range(1)]
        table = self.symbols["node_data"]
        return [(int(n["node"]), self.number(table + int(n["node"]) * self.word)) for n in stated]

    def pfn_of(self, page: int) -> int:
        """The page frame that a struct page describes."""
        size = self.sizes["page"]
        vmemmap = self.vmemmap()
        if vmemmap is not None:
            return (page - vmemmap & (1 << 64) - 1) // size
        mem_map = self.number(self.symbols["mem_map"])
        first = self.number(self.symbols["contig_page_data"] + self.start_offset)
        return first + (page - mem_map) // size

    @property
    def start_offset(self) -> int:
        return int(self.offsets["pglist_data.node_start_pfn"])

    def vmemmap(self) -> int | None:
        """What struct page 0 would lie at; None with FLATMEM."""
        stated = self.same["constants"].get("vmemmap")
        if stated is None:
            return None
        if self.same is self.expected:
            return int(stated, 16)
        # The same kernel with RAM elsewhere: vmemmap moves with memstart.
        (start,) = (b.base for b in self.image.memory.banks[:1])
        there = int(self.same["constants"]["memstart_addr"], 16)
        return int(stated, 16) + (there - start) // self.same["page_size"] * self.sizes["page"]

    def zones(self) -> list[tuple[int, str, int]]:
        """(node, name, address) of every zone; the names themselves are not in the recording."""
        names = list(dict.fromkeys(zone["name"] for zone in self.same["zones"]))
        return [
            (node, name, pgdat + index * self.sizes["zone"])
            for node, pgdat in self.nodes()
            for index, name in enumerate(names)
        ]

    def figure(self, zone: int, name: str) -> int:
        return self.number(zone + self.offsets[f"zone.{name}"])

    def memblock(self, wide: int, numa: bool) -> dict[str, list[Region]]:
        """The regions of memblock's two arrays; ``wide``: bytes of a physical address.

        struct memblock has bottom_up and current_limit, then for each array cnt, max, total_size,
        regions and name, which no stage holds; a region base, size, flags and, with NUMA, nid
        (include/linux/memblock.h).
        """
        word, found = self.word, {}
        region = 2 * wide + (8 if numa or wide == 8 else 4)
        head = self.symbols["memblock"] + 2 * wide
        step = -(-(4 * word + wide) // wide) * wide
        for number, name in enumerate(("memory", "reserved")):
            at = head + number * step
            count, total = self.number(at), self.integer(at + 2 * word, wide)
            array = self.number(at + 2 * word + wide)
            found[name] = [self.region(array + i * region, wide, numa) for i in range(count)]
            assert sum(size for _, size, *_ in found[name]) == total
        return found

    def region(self, at: int, wide: int, numa: bool) -> Region:
        flags = self.integer(at + 2 * wide, 4)
        nid = self.integer(at + 2 * wide + 4, 4) if numa else 0
        return self.integer(at, wide), self.integer(at + wide, wide), flags, nid

    def integer(self, va: int, size: int) -> int:
        return int.from_bytes(self.read(va, size), "little")

    def free_lists(self) -> Lists:
        """Blocks (first page frame) by node, zone, order and migrate type, from head to tail."""
        lists: Lists = {}
        area_size = self.sizes["free_area"]
        types = (area_size - self.word) // (2 * self.word)
        (orders,) = [
            int(line.partition("=")[2])
            for line in self.same["vmcoreinfo"]
            if line.startswith("LENGTH(zone.free_area)=")
        ]
        lru = self.offsets["page.lru"]
        for node, name, zone in self.zones():
            for order in range(orders):
                area = zone + self.offsets["zone.free_area"] + order * area_size
                for kind in range(types):
                    head = area + kind * 2 * self.word
                    at = self.number(head)
                    blocks = []
                    while at and at != head:
                        blocks.append(self.pfn_of(at - lru))
                        at = self.number(at)
                    if blocks:
                        lists[node, name, order, kind] = blocks
        return lists


def kernel_memory(
    truth: ModuleType, case: str, symbols: dict[str, int], stage: str = STAGE
) -> KernelMemory:
    """The kernel of a recording at the hand-over; ``symbols``: run-time addresses."""
    same = truth.expected(SAME_KERNEL.get(case, case))
    return KernelMemory(at_stage(truth, case, stage), truth.expected(case), symbols, same)
