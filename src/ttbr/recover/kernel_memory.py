"""The kernel's own account of memory: memblock, nodes, zones, free lists, counters, vmalloc."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.linux import Linux
from ttbr.recover.memblock import Memblock, find_memblock
from ttbr.recover.meminfo import Meminfo, read_meminfo
from ttbr.recover.memory_map import MemoryMap, Pages, read_pages
from ttbr.recover.vmalloc import VmallocAreas, find_vmalloc, find_vmap_nodes
from ttbr.recover.vmstat import CounterNames, find_counter_names, read_counters
from ttbr.recover.zones import FreeBlocks, Zones, read_free_blocks, read_zones

_ADDRESSES = 1 << 64
_ORDERS = 11
_MIGRATE = ("Unmovable", "Movable", "Reclaimable", "HighAtomic")


class KernelMemory:
    """What the kernel of one image keeps of its memory; each part is read when it is asked for."""

    def __init__(self, linux: Linux) -> None:
        self.linux = linux

    @cached_property
    def memblock(self) -> Memblock | None:
        """The lists of the boot; None where the kernel has not kept them."""
        linux = self.linux
        if linux.text is None:
            return None
        symbol = linux.symbol("memblock")
        return find_memblock(linux.memory, linux.image_data[1], linux.text, symbol)

    @cached_property
    def memory_map(self) -> MemoryMap | None:
        """Where struct pages are; None where that is not known (sections without a vmemmap)."""
        linux = self.linux
        info, kernel = linux.vmcoreinfo, linux.memory
        size = linux.layouts.size("page")
        if not size:
            return None
        base = info.symbols.get("vmemmap")
        if base is not None:
            return MemoryMap(base, size, "vmcoreinfo's vmemmap")
        start, offset = info.number("VMEMMAP_START"), info.phys_offset
        if start is not None and offset is not None:
            # "Negative" offsets count, too: the shift keeps the sign (asm/memory.h: vmemmap).
            signed = offset - _ADDRESSES if offset >> 63 else offset
            place = (start - signed // linux.page_size * size) % _ADDRESSES
            return MemoryMap(place, size, "vmcoreinfo's VMEMMAP_START and PHYS_OFFSET")
        at = linux.symbol("mem_map")
        first = kernel.number(at) if at is not None else None
        page_offset = linux.image.facts.page_offset
        physical = None if page_offset is None else kernel.pa(page_offset)
        if first and physical is not None and linux.word == 4:
            frame = physical // linux.page_size
            return MemoryMap((first - frame * size) % _ADDRESSES, size, "mem_map")
        return None

    def pages(self, pfns: NDArray[np.uint64]) -> Pages | None:
        """The struct pages of frames; None where they are not found."""
        if self.memory_map is None:
            return None
        return read_pages(self.linux.memory, self.linux.layouts, self.memory_map, pfns)

    @cached_property
    def counter_names(self) -> CounterNames | None:
        """The names of the counters of zones and nodes."""
        linux = self.linux
        if linux.text is None:
            return None
        symbol = linux.symbol("vmstat_text")
        return find_counter_names(linux.memory, linux.image_data[1], linux.text, symbol)

    @cached_property
    def zones(self) -> Zones:
        """The zones of all nodes; none where no node is found."""
        count = 1 if self.counter_names is None else len(self.counter_names.zone)
        return read_zones(self.linux.memory, self.linux.layouts, self.linux.nodes, count)

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """How many orders there are, and types of free lists."""
        linux = self.linux
        orders, types = (
            linux.vmcoreinfo.lengths.get(name) for name in ("zone.free_area", "free_area.free_list")
        )
        if linux.types is not None:
            area = linux.types.member("zone", "free_area")
            lists = linux.types.member("free_area", "free_list")
            orders = None if area is None else area.count
            types = None if lists is None else lists.count
        return orders or 0, types or 0

    @cached_property
    def free_blocks(self) -> FreeBlocks | None:
        """The free lists of the zones; None where their form is not known."""
        orders, types = self._shape
        if self.memory_map is None or not 0 < orders <= 64 or not 0 < types <= 16:
            return None
        linux = self.linux
        return read_free_blocks(
            linux.memory, linux.layouts, self.zones, self.memory_map, orders, types
        )

    @property
    def migrate_types(self) -> tuple[str, ...]:
        """The names of the types of free lists, in their order (mmzone.h: migratetype)."""
        extra = {5: ("Isolate",), 6: ("CMA", "Isolate")}
        return (_MIGRATE + extra.get(self._shape[1], ()))[: self._shape[1]]

    @cached_property
    def vmalloc(self) -> VmallocAreas | None:
        """The areas of the vmalloc space in use; None where their list is not found."""
        linux = self.linux
        head, nodes = linux.symbol("vmap_area_list"), linux.symbol("vmap_nodes")
        # With one CPU the compiler sees that vmap_nodes never changes.
        nodes = linux.symbol("single") if nodes is None else linux.memory.number(nodes)
        if head is None and nodes is None and linux.text is not None:
            nodes = find_vmap_nodes(linux.memory, linux.image_data[1], linux.text)
        wide = 8 if linux.word == 8 or self._has_lpae else 4
        return find_vmalloc(linux.memory, linux.layouts, head, nodes, wide, linux.page_size)

    @property
    def _has_lpae(self) -> bool:
        return self.linux.memory.space.regime.format.entry_size == 8

    @cached_property
    def counters(self) -> dict[str, int]:
        """The kernel's sums over all zones and nodes by name; empty where they are not found."""
        names, linux = self.counter_names, self.linux
        if names is None:
            return {}
        found: dict[str, int] = {}
        zone = self.zones.stats.sum(axis=0)
        found |= dict(zip(names.zone, zone.tolist(), strict=False))
        at = linux.symbol("vm_node_stat")
        node = None
        if at is not None:
            node = read_counters(linux.memory, at, len(names.node))
        else:
            offset = linux.layouts.offset("pglist_data", "vm_stat")
            parts = [
                read_counters(linux.memory, pgdat + offset, len(names.node))
                for pgdat in linux.nodes
                if offset is not None
            ]
            known = [part for part in parts if part is not None]
            node = sum(known[1:], known[0]) if known and len(known) == len(parts) else None
        if node is not None:
            found |= dict(zip(names.node, node.tolist(), strict=True))
        return found

    @cached_property
    def meminfo(self) -> Meminfo:
        """The lines of /proc/meminfo that can be told."""
        return read_meminfo(self)
