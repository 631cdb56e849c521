"""A boot in a few numbers: what two boots, or a row of them, are held against each other by."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.boot import Boot
from ttbr.boot.regions import Flags
from ttbr.mmu.regions import kernel_mappings, linear_map, table_bytes


class ZoneRange(NamedTuple):
    """A zone of a node: physical addresses, ``end`` behind the last, and the bytes present."""

    node: int
    name: str
    start: int
    end: int
    present: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What became of memory; sizes in bytes.

    ``ram``: what the board has. ``memory``: what memblock knows of it and may be used, ``nomap``
    what it knows and must not. ``lowmem`` and ``highmem`` share ``memory`` (all is lowmem on
    arm64). ``linear_map``: rows of `ttbr.mmu.regions.linear_map`. ``cma``: (name, base, size).
    ``zones``: those that span anything.
    """

    ram: int
    memory: int
    nomap: int
    lowmem: int
    highmem: int
    reserved: int
    linear_map: list[dict[str, Any]]
    tables: int
    table_bytes: int
    cma: list[tuple[str, int, int]]
    zones: list[ZoneRange]

    def as_json(self) -> dict[str, Any]:
        """The numbers as JSON; addresses in hex, ``last`` inclusive."""
        return {
            "ram_bytes": self.ram,
            "memory_bytes": self.memory,
            "nomap_bytes": self.nomap,
            "lowmem_bytes": self.lowmem,
            "highmem_bytes": self.highmem,
            "reserved_bytes": self.reserved,
            "linear_map": self.linear_map,
            "tables": {"count": self.tables, "bytes": self.table_bytes},
            "cma": [
                {"name": name, "start": hex(base), "last": hex(base + size - 1)}
                for name, base, size in self.cma
            ],
            "zones": [
                {
                    "node": zone.node,
                    "name": zone.name,
                    "start": hex(zone.start),
                    "last": hex(zone.end - 1),
                    "present_bytes": zone.present,
                }
                for zone in self.zones
            ],
        }


def overview(result: Boot, stage: str) -> Overview:
    """The numbers of a boot at a stage (memblock, CMA and zones as they are at the last one)."""
    machine, image = result.machine, result.images[stage]
    usable = list(machine.memblock.for_each_mem_range())
    memory = sum(end - base for base, end in usable)
    state, lowmem = machine.arch_state, memory
    if isinstance(state, ArmBoot) and state.lowmem.limit:
        limit = state.lowmem.limit
        lowmem = sum(min(end, limit) - base for base, end in usable if base < limit)
    mappings = kernel_mappings(image)
    page = machine.kernel.page_size
    return Overview(
        ram=sum(bank.size for bank in machine.board.ram),
        memory=memory,
        nomap=sum(r.size for r in machine.memblock.memory.list if r.flags & Flags.NOMAP),
        lowmem=lowmem,
        highmem=memory - lowmem,
        reserved=machine.memblock.reserved.total_size(),
        linear_map=[] if mappings is None else linear_map(image, mappings),
        tables=0 if mappings is None else len(mappings.tables),
        table_bytes=0 if mappings is None else table_bytes(image, mappings),
        cma=[(area.name, area.base, area.size) for area in machine.cma.areas],
        zones=[
            ZoneRange(
                node=node.number,
                name=zone.name,
                start=zone.start_pfn * page,
                end=zone.end_pfn * page,
                present=zone.present * page,
            )
            for node in machine.nodes
            for zone in node.zones
            if zone.spanned
        ],
    )
