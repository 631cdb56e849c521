"""The kernel's own account of memory, as rows."""

import numpy as np

from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.kernel_symbols import KernelSymbols
from ttbr.recover.memblock import FLAGS as MEMBLOCK_FLAGS
from ttbr.recover.memblock import LISTS, Memblock
from ttbr.recover.vmalloc import FLAGS as VMALLOC_FLAGS
from ttbr.recover.vmalloc import VmallocAreas
from ttbr.recover.zones import FreeBlocks, Zones
from ttbr.report.rows import Cell, Hex, Rows


def flag_words(flags: int, names: dict[int, str]) -> str:
    """The names of the bits that are set, and what has no name as a number."""
    known = [name for bit, name in names.items() if flags & bit]
    other = flags & ~sum(names)
    return " ".join([*known, *([f"{other:#x}"] if other else [])])


def memblock_rows(found: Memblock) -> Rows:
    """list, base, last (inclusive), size, node, flags."""
    rows: list[list[Cell]] = []
    for row in range(len(found)):
        base, size, node = int(found.base[row]), int(found.size[row]), int(found.node[row])
        rows.append(
            [
                LISTS[int(found.list[row])],
                Hex(base),
                Hex(base + size - 1),
                size,
                "" if node < 0 else node,
                flag_words(int(found.flags[row]), MEMBLOCK_FLAGS),
            ]
        )
    return Rows(("list", "base", "last", "size", "node", "flags"), rows)


def zone_rows(zones: Zones, page_size: int) -> Rows:
    """node, name, start (address), and numbers of pages."""
    unknown = set(zones.unknown)

    def pages(member: str, value: int) -> Cell:
        return None if f"zone.{member}" in unknown else value

    rows: list[list[Cell]] = []
    for row in range(len(zones)):
        low, middle, high = zones.watermarks[row].tolist()
        rows.append(
            [
                int(zones.node[row]),
                zones.name[row],
                Hex(int(zones.start[row]) * page_size),
                pages("spanned_pages", int(zones.spanned[row])),
                pages("present_pages", int(zones.present[row])),
                pages("managed_pages", int(zones.managed[row])),
                pages("vm_stat", int(zones.free[row])),
                pages("_watermark", low),
                pages("_watermark", middle),
                pages("_watermark", high),
            ]
        )
    names = ("node", "name", "start", "spanned", "present", "managed", "free", "min", "low", "high")
    return Rows(names, rows)


def buddy_rows(zones: Zones, found: FreeBlocks) -> Rows:
    """node, zone, and the number of free blocks of each order, by the lists themselves."""
    orders = found.counted.shape[1]
    counts = np.zeros_like(found.counted)
    np.add.at(counts, (found.zone, found.order), 1)
    rows: list[list[Cell]] = [
        [int(zones.node[row]), zones.name[row], *map(int, counts[row])]
        for row in range(len(zones))
        if zones.present[row]
    ]
    return Rows(("node", "zone", *(f"order{order}" for order in range(orders))), rows)


def free_block_rows(
    zones: Zones, found: FreeBlocks, types: tuple[str, ...], page_size: int
) -> Rows:
    """Every free block: node, zone, order, type, first address, size."""
    rows: list[list[Cell]] = [
        [
            int(zones.node[zone]),
            zones.name[zone],
            order,
            types[kind] if kind < len(types) else kind,
            Hex(pfn * page_size),
            page_size << order,
        ]
        for zone, order, kind, pfn in zip(
            found.zone.tolist(),
            found.order.tolist(),
            found.type.tolist(),
            found.pfn.tolist(),
            strict=True,
        )
    ]
    return Rows(("node", "zone", "order", "type", "address", "size"), rows)


def vmalloc_rows(found: VmallocAreas, symbols: KernelSymbols) -> Rows:
    """start, last, size, what it is, pages, physical address, and who asked for it."""
    rows: list[list[Cell]] = []
    for row in range(len(found)):
        start, size = int(found.start[row]), int(found.size[row])
        near = symbols.nearest(int(found.caller[row])) if found.caller[row] else None
        rows.append(
            [
                Hex(start),
                Hex(start + size - 1),
                size,
                flag_words(int(found.flags[row]) & sum(VMALLOC_FLAGS), VMALLOC_FLAGS),
                int(found.pages[row]),
                Hex(int(found.pa[row])) if found.pa[row] else "",
                "" if near is None else f"{near[0]}+{near[1]:#x}",
            ]
        )
    return Rows(("start", "last", "size", "kind", "pages", "physical", "caller"), rows)


def meminfo_rows(memory: KernelMemory) -> Rows:
    """name and KiB, of huge pages their number; None for lines whose value is not known."""
    found = memory.meminfo
    rows: list[list[Cell]] = [[name, kib, ""] for name, kib in found.kib.items()]
    rows += [[name, "", count] for name, count in found.counts.items()]
    return Rows(("name", "kib", "count"), [*rows, *([name, None, ""] for name in found.unknown)])
