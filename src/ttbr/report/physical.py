"""Where everything is in physical memory at a stage of the boot."""

from collections.abc import Iterator
from dataclasses import dataclass

from ttbr.boot.boot import Boot
from ttbr.kernel.segments import segments

TABLES = "translation tables"
CALLERS = {
    "early_pgtable_alloc": TABLES,
    "early_alloc": TABLES,
    "early_init_dt_alloc_memory_arch": "unflattened device tree",
    "memmap_alloc": "struct pages",
    "__earlyonly_bootmem_alloc": "vmemmap: tables, struct pages without a buffer",
    "vmemmap_alloc_block": "vmemmap: tables, struct pages without a buffer",
    "sparse_init": "sections of memory",
    "memblocks_present": "sections of memory",
    "sparse_index_alloc": "sections of memory",
    "sparse_init_nid": "usage maps of sections",
    "sparse_early_usemaps_alloc_pgdat_section": "usage maps of sections",
}
"""What the memory is for that a kernel function takes from memblock."""


@dataclass(frozen=True, slots=True)
class Place:
    """A range of physical memory: ``start``, ``last`` (inclusive) and what it is."""

    start: int
    last: int
    what: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.last - self.start + 1


def places(result: Boot) -> list[Place]:
    """What lies where, ascending; a part of something larger follows it.

    Kernel segments, device tree, initrd, reserved-memory nodes, CMA areas, root tables, the tables
    and other pages taken from memblock (neighbouring ones of one kind as one).
    """
    machine = result.machine
    base = machine.placement.kernel
    found = [
        Place(base + part.start, base + part.start + part.size - 1, f"kernel {part.name}")
        for part in segments(machine.kernel)
    ]
    found.append(Place(machine.dtb, machine.dtb + machine.tree.totalsize - 1, "device tree"))
    if machine.initrd is not None:
        start, size = machine.initrd
        found.append(Place(start, start + size - 1, "initrd"))
    found += [
        Place(node.base, node.base + node.size - 1, f"reserved-memory {node.path}")
        for node in machine.reserved_regions
        if node.size
    ]
    known = {(node.base, node.size) for node in machine.reserved_regions}
    found += [
        Place(area.base, area.base + area.size - 1, f"CMA area '{area.name}'")
        for area in machine.cma.areas
        if (area.base, area.size) not in known
    ]
    named = {(place.start, place.last) for place in found}
    found += [place for place in _allocations(result) if (place.start, place.last) not in named]
    # Larger ranges first where several begin at one address.
    return sorted(found, key=lambda place: (place.start, -place.last, place.what))


def memory_rows(result: Boot) -> Iterator[tuple[str, int, int, str]]:
    """memblock's two lists: (list, start, last, flags) of each region."""
    memblock = result.machine.memblock
    for name, regions in (("memory", memblock.memory), ("reserved", memblock.reserved)):
        for region in regions.list:
            yield name, region.base, region.end - 1, str(region.flags.name) if region.flags else ""


def _allocations(result: Boot) -> list[Place]:
    """Memory that the boot took from memblock and kept, runs of one kind joined."""
    node_data = set(result.machine.numa.node_data.values())
    taken: list[Place] = []
    for event in result.events:
        if event.kind == "memblock_phys_free":
            taken = [part for place in taken for part in _without(place, event.start, event.end)]
        if event.kind == "memblock_reserve" and event.function == "memblock_alloc_range_nid":
            caller = event.detail.rpartition(" ")[2]
            what = CALLERS.get(caller, f"taken by {caller}")
            if event.start in node_data:
                what = "data of a node"
            taken.append(Place(event.start, event.end, what))
    joined: list[Place] = []
    for place in sorted(taken, key=lambda place: place.start):
        before = joined[-1] if joined else None
        if before and before.what == place.what and before.last + 1 == place.start:
            joined[-1] = Place(before.start, place.last, place.what)
        else:
            joined.append(place)
    return joined


def _without(place: Place, start: int, last: int) -> Iterator[Place]:
    """What is left of a place when [start, last] is given back."""
    if last < place.start or start > place.last:
        yield place
        return
    if place.start < start:
        yield Place(place.start, start - 1, place.what)
    if last < place.last:
        yield Place(last + 1, place.last, place.what)
