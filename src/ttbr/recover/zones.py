"""Nodes and zones: pglist_data and struct zone (include/linux/mmzone.h), and their free lists."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.layouts import Layouts, Recovered
from ttbr.recover.memory_map import MemoryMap
from ttbr.recover.virtual_memory import VirtualMemory

NAMES = ("DMA", "DMA32", "Normal", "HighMem", "Movable", "Device")
WATERMARKS = ("min", "low", "high")
_MOST_NODES = 1024
_MOST_PAGES = 1 << 40
_MOST_ZONES = 8
_LEAST_ZONES = 2  # every kernel has Normal and Movable
_NEAR = 256  # bytes of a zone before the pointer to its node, at most
_MOST_FREE = 1 << 24


@dataclass(frozen=True)
class Zones:
    """The zones of all nodes, populated or not, as columns of equal length.

    ``node``: int64. ``address``: of the struct zone; ``start`` (frame), ``spanned``, ``present``,
    ``managed`` (pages): uint64. ``watermarks``: min, low and high, in pages, (n, 3) uint64; without
    boost. ``stats``: the counters of vm_stat, (n, k) int64. ``name``: None where unknown.
    ``unknown``: members that could not be determined; their columns are zeros.
    """

    node: NDArray[np.int64]
    address: NDArray[np.uint64]
    start: NDArray[np.uint64]
    spanned: NDArray[np.uint64]
    present: NDArray[np.uint64]
    managed: NDArray[np.uint64]
    watermarks: NDArray[np.uint64]
    stats: NDArray[np.int64]
    name: tuple[str | None, ...]
    unknown: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.node)

    @property
    def free(self) -> NDArray[np.int64]:
        """Free pages of each zone: NR_FREE_PAGES, the first counter."""
        return self.stats[:, 0] if self.stats.shape[1] else np.zeros(len(self), np.int64)


@dataclass(frozen=True)
class FreeBlocks:
    """What the buddy allocator has: columns of equal length.

    ``zone``: row in `Zones`; ``order``, ``type`` (migrate type): int64; ``pfn``: uint64.
    ``counted``: nr_free of each zone and order, (zones, orders) int64. ``broken``: lists that do
    not come back to their head.
    """

    zone: NDArray[np.int64]
    order: NDArray[np.int64]
    type: NDArray[np.int64]
    pfn: NDArray[np.uint64]
    counted: NDArray[np.int64]
    broken: int = 0

    def __len__(self) -> int:
        return len(self.pfn)


def find_nodes(
    kernel: VirtualMemory,
    image: bytes,
    table: int | None,
    offsets: Mapping[str, int | None],
    pgdat: int | None,
    zone_size: int,
    spanned: int | None,
) -> list[int]:
    """The nodes that node_data lists, or without that symbol those that the image points to.

    ``table``: the address of node_data. ``pgdat``: where in a zone the pointer to its node is, if
    known; a node is what its first zones, of ``zone_size`` bytes, point back to. ``spanned``: where
    spanned_pages is, between fewer managed and present pages.
    """
    zones, number = offsets.get("pglist_data.node_zones"), offsets.get("pglist_data.node_id")
    if zones is None or number is None or not zone_size or spanned is None:
        return []
    word = kernel.word
    if table is not None:
        data = np.frombuffer(kernel.try_read(table, _MOST_NODES * word) or b"", f"<u{word}")
    else:
        data = np.frombuffer(image[: len(image) // word * word], f"<u{word}")
    first, last, _ = kernel.extents
    if not len(first):
        return []
    plausible = (data >= int(first[0])) & (data <= int(last[-1])) & (data % word == 0)
    target = np.sort(data[plausible].astype(np.uint64))
    target = target[np.append(True, target[1:] != target[:-1])] if len(target) else target
    target = target[kernel.locate(target)[1] > np.uint64(zones + _NEAR)]
    found: dict[int, int] = {}
    for at in (pgdat,) if pgdat is not None else range(0, _NEAR, word):
        left = target
        for zone in range(_LEAST_ZONES):
            place = left + np.uint64(zones + zone * zone_size + at)
            back, there = kernel.words(place, 1, word)
            left = left[there & (back[:, 0] == left)]
            place = left + np.uint64(zones + zone * zone_size + spanned - word)
            pages, _ = kernel.words(place, 3, word)
            managed, all_pages, present = pages.T
            sound = (managed <= present) & (present <= all_pages) & (all_pages < _MOST_PAGES)
            left = left[sound]
        ids, known = kernel.words(left + np.uint64(number), 1, 4)
        fits = known & (ids[:, 0] < _MOST_NODES)
        for node, own in zip(left[fits].tolist(), ids[fits, 0].tolist(), strict=True):
            if table is None or kernel.number(table + own * word) == node:
                found.setdefault(own, node)
        if found:
            break
    return [found[own] for own in sorted(found)]


def find_zone_layout(
    kernel: VirtualMemory, offsets: Mapping[str, int], node: int, size: int
) -> Recovered:
    """Members of struct zone that vmcoreinfo does not tell, by those that it does.

    zone_start_pfn, managed_pages, spanned_pages and present_pages follow each other, and then a
    name; a zone points back to its node. ``offsets``: those of vmcoreinfo; ``size``: bytes of a
    zone, 0 if that is not known.
    """
    zones, spanned = offsets.get("pglist_data.node_zones"), offsets.get("zone.spanned_pages")
    if zones is None or spanned is None:
        return {}
    word, zone = kernel.word, node + zones
    found: dict[str, Finding[int]] = {}
    text = "zone_start_pfn, managed_pages, spanned_pages, present_pages are neighbours"
    found["zone_start_pfn"] = certain(spanned - 2 * word, text)
    found["managed_pages"] = certain(spanned - word, text)
    found["present_pages"] = certain(spanned + word, text)
    for at in range(spanned + 2 * word, spanned + 8 * word, word):
        name = kernel.number(zone + at)
        if name and kernel.text(name, 16) in NAMES:
            found["name"] = certain(at, "it points to the name of a zone")
            if at > spanned + 2 * word:
                # Before it are present_early_pages and cma_pages, each if the kernel has it
                found["cma_pages"] = likely(
                    at - word, "it lies before the name, where there is CMA"
                )
            break
    for at in range(0, spanned, word):
        if kernel.number(zone + at) == node:
            found["zone_pgdat"] = certain(at, "it points to the node that the zone is in")
            found |= _reserve(kernel, node, zone, size, at)
            break
    found["_watermark"] = certain(0, "it is the first member")
    return found


def _reserve(
    kernel: VirtualMemory, node: int, zone: int, size: int, back: int
) -> dict[str, Finding[int]]:
    """lowmem_reserve: what each zone keeps from requests for higher ones, before zone_pgdat.

    With NUMA the node's number is between them. ``size``: bytes of a zone; ``back``: zone_pgdat.
    """
    word = kernel.word
    places = range(zone, zone + _MOST_ZONES * size, size) if size else range(0)
    count = next(
        (k for k, at in enumerate(places) if kernel.number(at + back) != node), len(places)
    )
    address = np.array(places[:count], np.uint64)
    for gap in (0, word):
        at = back - gap - count * word
        if count < _LEAST_ZONES or at <= 0:
            break
        kept, there = kernel.words(address + np.uint64(at), count, word)
        ordered = (kept[:, 1:] >= kept[:, :-1]).all() and not np.tril(kept).any()
        if there.all() and ordered and kept.any():
            text = f"{count} zones keep nothing from themselves, and more the higher a request is"
            return {"lowmem_reserve": certain(at, text)}
    return {}


def read_zones(kernel: VirtualMemory, layouts: Layouts, nodes: list[int], counters: int) -> Zones:
    """The zones of the nodes at these addresses; ``counters``: how many vm_stat has."""
    unknown: list[str] = []
    word = kernel.word
    node_id = layouts.offset("pglist_data", "node_id")
    first = layouts.offset("pglist_data", "node_zones")
    back, size = layouts.offset("zone", "zone_pgdat"), layouts.size("zone")
    rows: list[tuple[int, int]] = []
    if first is None or back is None or not size:
        unknown.append("pglist_data.node_zones")
    else:
        for node in nodes[:_MOST_NODES]:
            own = kernel.number(node + node_id, 4) if node_id is not None else None
            for zone in range(node + first, node + first + _MOST_ZONES * size, size):
                if kernel.number(zone + back) != node:
                    break  # behind the zones a node has other things
                rows.append((-1 if own is None else own, zone))
    address = np.array([at for _, at in rows], np.uint64)

    def column(member: str, count: int = 1) -> NDArray[np.uint64]:
        offset = layouts.offset("zone", member)
        if offset is None:
            unknown.append(f"zone.{member}")
            return np.zeros((len(address), count), np.uint64)
        return kernel.words(address + np.uint64(offset), count, word)[0]

    names = column("name")[:, 0].tolist()
    stats = column("vm_stat", counters).astype(f"<u{word}").view(f"<i{word}").astype(np.int64)
    return Zones(
        np.array([node for node, _ in rows], np.int64),
        address,
        column("zone_start_pfn")[:, 0],
        column("spanned_pages")[:, 0],
        column("present_pages")[:, 0],
        column("managed_pages")[:, 0],
        column("_watermark", len(WATERMARKS)),
        stats,
        tuple(kernel.text(at, 16) if at else None for at in names),
        tuple(dict.fromkeys(unknown)),
    )


def read_free_blocks(
    kernel: VirtualMemory, layouts: Layouts, zones: Zones, where: MemoryMap, orders: int, types: int
) -> FreeBlocks | None:
    """The free lists of the zones, all walked together; None where their layout is not known."""
    area, size = layouts.offset("zone", "free_area"), layouts.size("free_area")
    lists = layouts.offset("free_area", "free_list")
    lru = layouts.offset("page", "buddy_list")
    if lru is None:
        lru = layouts.offset("page", "lru")
    if area is None or not size or lists is None or lru is None or not len(zones):
        return None
    word = kernel.word
    start = np.uint64(area) + np.arange(orders, dtype=np.uint64) * np.uint64(size)
    of_area = (zones.address[:, None] + start).reshape(-1)
    head = (
        of_area[:, None]
        + np.uint64(lists)
        + np.arange(types, dtype=np.uint64) * np.uint64(2 * word)
    ).reshape(-1)
    free, _ = kernel.words(of_area + np.uint64(lists + 2 * word * types), 1, word)
    at, there = kernel.words(head, 1, word)
    # The lists of a zone without pages were never made.
    there &= np.repeat(zones.spanned > 0, orders * types)
    which = np.flatnonzero(there)
    node = at[which, 0]
    parts = [(np.zeros(0, np.intp), np.zeros(0, np.uint64))]
    # No list is longer than what its area counts, nor than the zone.
    limit = free[:, 0].astype(f"<u{word}").view(f"<i{word}").astype(np.int64)
    limit = np.clip(limit, 0, np.repeat(zones.spanned.astype(np.int64).clip(0), orders))
    total, broken, step = 0, 0, 0
    while len(which) and total < _MOST_FREE:
        live = node != head[which]
        over = live & (limit[which // types] <= step)
        broken += int(np.count_nonzero(over))
        which, node = which[live & ~over], node[live & ~over]
        parts.append((which, node))
        total += len(which)
        step += 1
        following, there = kernel.words(node, 1, word)
        broken += int(np.count_nonzero(~there))
        which, node = which[there], following[there, 0]
    rows, nodes = (np.concatenate([part[k] for part in parts]) for k in range(2))
    pfn = where.pfn(nodes - np.uint64(lru), word)
    zone, rest = np.divmod(rows, orders * types)
    order, kind = np.divmod(rest, types)
    sorting = np.lexsort((pfn, kind, order, zone))
    return FreeBlocks(
        zone[sorting].astype(np.int64),
        order[sorting].astype(np.int64),
        kind[sorting].astype(np.int64),
        pfn[sorting],
        free.reshape(len(zones), orders).astype(np.int64),
        broken,
    )
