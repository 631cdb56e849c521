"""Sparse memory: sections, what describes them, and the memory for their pages' descriptions.

Source: mm/sparse.c (sparse_init and what it calls), include/linux/mmzone.h, asm/sparsemem.h. How
the array of struct page of a section comes about is the architecture's or, without a virtual map,
`SectionArrays`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ttbr.boot.machine import Machine
from ttbr.boot.mem_map import memmap_alloc
from ttbr.boot.numa import early_pfn_to_nid
from ttbr.boot.regions import BootPanic
from ttbr.kernel.pageblock import pageblock_bytes
from ttbr.kernel.structs import section_shift, struct_size

PAGEBLOCK_BITS = 4
"""Bits that a section has for each of its page blocks (NR_PAGEBLOCK_BITS)."""


class MapPopulator(Protocol):
    """Makes the struct pages of sections."""

    def section_map_size(self) -> int:
        """Bytes that a section asks of the buffer, a multiple of what it must be aligned to."""

    def populate(self, section: int, nid: int, buffer: SparseBuffer) -> None:
        """``__populate_section_memmap``: describe the pages of a section."""


@dataclass(slots=True)
class SparseBuffer:
    """Memory for the descriptions of all sections of a node, handed out from its start.

    ``at`` and ``end`` are physical addresses, 0 without a buffer.
    """

    machine: Machine
    at: int = 0
    end: int = 0

    @classmethod
    def of(cls, machine: Machine, size: int, align: int, goal: int, nid: int) -> SparseBuffer:
        """``sparse_buffer_init``: ``size`` bytes on the node, above ``goal`` if possible."""
        callers = "sparse_buffer_init", "sparse_init_nid", "sparse_init"
        found = memmap_alloc(machine, size, align, callers, nid=nid, goal=goal, exact=True)
        return cls(machine, found, found + size if found else 0)

    def alloc(self, size: int) -> int:
        """``sparse_buffer_alloc``: the next ``size`` bytes, aligned to as much; 0 if none are left.

        What is skipped for the alignment, which is that of the virtual address, is given back.
        """
        bias = _linear_bias(self.machine)
        start = -(-(self.at + bias) // size) * size - bias
        if not self.at or start + size > self.end:
            return 0
        if start > self.at:
            self._free(start, "sparse_buffer_alloc")
        self.at = start + size
        return start

    def run(self, size: int, count: int) -> tuple[int, int]:
        """Up to ``count`` such allocations in a row: (address of the first, how many)."""
        first = self.alloc(size)
        if not first:
            return 0, 0
        more = min(count - 1, (self.end - self.at) // size)
        self.at += more * size
        return first, 1 + more

    def close(self) -> None:
        """``sparse_buffer_fini``: give back what is left."""
        if self.at and self.end > self.at:
            self._free(self.end, "sparse_buffer_fini", "sparse_init_nid", "sparse_init")
        self.at = self.end = 0

    def _free(self, end: int, *callers: str) -> None:
        function = self.machine.kernel.caller("sparse_buffer_free", *callers)
        self.machine.memblock.free(self.at, end - self.at, function)


def _linear_bias(machine: Machine) -> int:
    """From physical to virtual addresses, where that is not a multiple of every size asked for."""
    if machine.kernel.arch != "arm" or machine.page_offset is None:
        return 0
    return machine.page_offset - machine.phys_offset


@dataclass(slots=True)
class SectionArrays:
    """Without a virtual map: an array of struct page for each section, wherever there is room.

    ``arrays`` gets the physical address of each section's. ``goal``: where memory is looked for
    first (MAX_DMA_ADDRESS), as a physical address.
    """

    machine: Machine
    goal: int
    arrays: dict[int, int] = field(default_factory=dict)

    def section_map_size(self) -> int:
        """A section's struct pages, in whole pages."""
        kernel = self.machine.kernel
        pages = (1 << section_shift(kernel)) // kernel.page_size
        page = kernel.page_size
        return -(-struct_size(kernel, "page") * pages // page) * page

    def populate(self, section: int, nid: int, buffer: SparseBuffer) -> None:
        """From the buffer, or an allocation of its own; `BootPanic` if there is no memory."""
        size = self.section_map_size()
        callers = "__populate_section_memmap", "sparse_init_nid", "sparse_init"
        found = buffer.alloc(size) or memmap_alloc(
            self.machine, size, size, callers, nid=nid, goal=self.goal
        )
        if not found:
            raise BootPanic(
                f"the kernel panics: '__populate_section_memmap: Failed to allocate {size} bytes "
                f"align={self.machine.kernel.page_size:#x} nid={nid} from={self.goal:#x}'"
            )
        self.arrays[section] = found
        self.machine.memmap_bytes += size


def sparse_init(machine: Machine, maps: MapPopulator, *, physmem_bits: int, goal: int) -> None:
    """``sparse_init``: find the sections, allocate for them, populate their maps by node.

    The sections go to ``Machine.sections``.

    Args:
        machine: memblock has the memory, with nodes.
        maps: makes the struct pages.
        physmem_bits: MAX_PHYSMEM_BITS.
        goal: physical address above which memory is looked for first.
    """
    machine.sections = memblocks_present(machine, physmem_bits)
    pending = list(machine.sections.items())
    while pending:
        nid = pending[0][1]
        count = next((n for n, (_, other) in enumerate(pending) if other != nid), len(pending))
        _sparse_init_nid(machine, maps, nid, [section for section, _ in pending[:count]], goal)
        del pending[:count]


def memblocks_present(machine: Machine, physmem_bits: int) -> dict[int, int]:
    """``memblocks_present``: the sections that hold memory, and the arrays of struct mem_section.

    Returns section number → node of the first memory in it.
    """
    kernel, memblock = machine.kernel, machine.memblock
    shift, page = section_shift(kernel), kernel.page_size
    dynamic = kernel.config.enabled("SPARSEMEM_EXTREME")
    per_root = page // struct_size(kernel, "mem_section") if dynamic else 1
    word = 8 if kernel.arch == "arm64" else 4
    if dynamic:
        roots = -(-(1 << (physmem_bits - shift)) // per_root)
        function = kernel.caller("memblocks_present", "sparse_init")
        _panicking(memblock.alloc(roots * word, memblock.cache_line, function))
    found: dict[int, int] = {}
    made: set[int] = set()
    for start, end, nid in memblock.mem_pfn_ranges():
        for section in range(start * page >> shift, ((end * page - 1) >> shift) + 1):
            root = section // per_root
            if dynamic and root not in made:
                made.add(root)
                size = per_root * struct_size(kernel, "mem_section")
                function = kernel.caller("sparse_index_alloc", "sparse_index_init", "sparse_init")
                _panicking(memblock.alloc_try_nid(size, memblock.cache_line, function, nid=nid))
            found.setdefault(section, nid)
    return dict(sorted(found.items()))


def _sparse_init_nid(
    machine: Machine, maps: MapPopulator, nid: int, sections: list[int], goal: int
) -> None:
    """``sparse_init_nid``: usage maps, a buffer, and the maps of a node's sections."""
    usage = _usemaps_alloc(machine, nid, usage_size(machine) * len(sections))
    if not usage:
        machine.log.say(f"sparse_init_nid: node[{nid}] usemap allocation failed")
        return
    unit = maps.section_map_size()
    buffer = SparseBuffer.of(machine, unit * len(sections), unit, goal, nid)
    circular = _Circular(machine, nid)
    for section in sections:
        maps.populate(section, nid, buffer)
        circular.check(usage)
        usage += usage_size(machine)
    buffer.close()


def usage_size(machine: Machine) -> int:
    """``mem_section_usage_size``: bytes of a section's bookkeeping, page-block flags included."""
    kernel = machine.kernel
    word = 64 if kernel.arch == "arm64" else 32
    blocks = (1 << section_shift(kernel)) // pageblock_bytes(kernel)
    flags = -(-blocks * PAGEBLOCK_BITS // word) * word // 8
    return struct_size(kernel, "mem_section_usage") + flags


def _usemaps_alloc(machine: Machine, nid: int, size: int) -> int:
    """``sparse_early_usemaps_alloc_pgdat_section``: near the node's data if that may be removed."""
    kernel, memblock = machine.kernel, machine.memblock
    name = "sparse_early_usemaps_alloc_pgdat_section"
    function = kernel.caller(name, "sparse_init_nid", "sparse_init")
    line = memblock.cache_line
    if not kernel.config.enabled("MEMORY_HOTREMOVE"):
        return memblock.alloc_try_nid(size, line, function, nid=nid)
    section = 1 << section_shift(kernel)
    start = _pgdat(machine, nid) // section * section
    near = early_pfn_to_nid(machine, start // kernel.page_size)
    return memblock.alloc_try_nid(
        size, line, function, start=start, end=start + section, nid=near
    ) or memblock.alloc_try_nid(size, line, function, start=start, nid=near)


def _pgdat(machine: Machine, nid: int) -> int:
    """Physical address of a node's data: allocated, or without NUMA a part of the image."""
    if nid in machine.numa.node_data:
        return machine.numa.node_data[nid]
    return machine.physical("contig_page_data")


@dataclass(slots=True)
class _Circular:
    """``check_usemap_section_nr``: sections that cannot be removed one without the other."""

    machine: Machine
    nid: int
    last: tuple[int, int] | None = None

    def check(self, usage: int) -> None:
        kernel = self.machine.kernel
        if not kernel.config.enabled("MEMORY_HOTREMOVE"):
            return
        shift = section_shift(kernel)
        pair = usage >> shift, _pgdat(self.machine, self.nid) >> shift
        if pair[0] == pair[1] or pair == self.last:
            return
        self.last = pair
        owner = early_pfn_to_nid(self.machine, usage // kernel.page_size)
        if owner != self.nid:
            self.machine.log.say(f"node {self.nid} must be removed before remove section {pair[0]}")
            return
        self.machine.log.say(
            f"Section {pair[0]} and {pair[1]} (node {self.nid}) have a circular dependency on "
            "usemap and pgdat allocations"
        )


def _panicking(found: int) -> None:
    if not found:
        raise BootPanic("the kernel panics: there is no memory for the array of its sections")
