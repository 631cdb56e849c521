"""Relations of the kernel's own account of memory: pages, zones, free blocks, memblock."""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from ttbr.recover.memblock import FLAGS as MEMBLOCK_FLAGS
from ttbr.recover.memblock import LISTS
from ttbr.recover.memory_map import Pages
from ttbr.recover.vmalloc import FLAGS as VMALLOC_FLAGS
from ttbr.report.kernel_memory import flag_words
from ttbr.report.relations.relation import (
    Coded,
    Column,
    Known,
    Relation,
    Values,
    coded,
    known_from_zero,
    of_member,
)
from ttbr.report.relations.source import Source

MOST_FRAMES = 1 << 26
"""An image can claim more memory than anybody has: 256 GiB of small pages."""
_AT_ONCE = 1 << 20
WATERMARKS = ("min", "low", "high")


def _all_pages(source: Source) -> Pages | None:
    """The struct pages of all frames that lie wholly in memory, up to `MOST_FRAMES`."""
    size, left = source.linux.page_size, MOST_FRAMES
    parts: list[Pages] = []
    for bank in source.linux.image.memory.banks:
        first, end = -(-bank.base // size), bank.end // size
        if end - first > left:
            source.notes.append(f"pages: only the first {MOST_FRAMES} frames are looked at")
            end = first + left
        for at in range(first, end, _AT_ONCE):
            part = source.memory.pages(np.arange(at, min(at + _AT_ONCE, end), dtype=np.uint64))
            if part is None:
                return None
            parts.append(part)
        left -= max(0, end - first)
    columns = (
        np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Pages)
    )
    return Pages(*columns) if parts else None


def _pages(source: Source) -> Mapping[str, Values] | None:
    found = _all_pages(source)
    if found is None:
        return None
    types = source.use.types_of(found)
    bits = source.use.flag_bits
    named = np.uint64(sum(1 << bit for bit in bits.values()))
    distinct, which = np.unique(found.flags & named, return_inverse=True)
    words = [" ".join(source.use.flags_of(flags)) for flags in distinct.tolist()]
    kinds, kind = np.unique(types.astype(str), return_inverse=True)
    plain = types == ""
    return {
        "pfn": found.pfn.view(np.int64),
        "pa": found.pfn * np.uint64(source.linux.page_size),
        "page": found.address,
        "flags": found.flags,
        "flag_names": coded(which if bits else np.full(len(found), -1), words),
        "refcount": found.refcount,
        "mapcount": Known(found.mapcount + np.int32(1), plain),
        "type": coded(kind, kinds.tolist()),
        "mapping": found.mapping,
        "anonymous": Known(found.anonymous, plain),
        "private": found.private,
        "head_pfn": found.head.view(np.int64),
    }


def _zones(source: Source) -> Mapping[str, Values] | None:
    found = source.memory.zones
    if not len(found):
        return None
    source.note_unknown(found.unknown)
    unknown = [name.removeprefix("zone.") for name in found.unknown]
    watermarks = {
        name: of_member(found.watermarks[:, at].view(np.int64), "_watermark", unknown)
        for at, name in enumerate(WATERMARKS)
    }
    return {
        "node": known_from_zero(found.node),
        "name": found.name,
        "zone": found.address,
        "start_pa": found.start * np.uint64(source.linux.page_size),
        "spanned": of_member(found.spanned.view(np.int64), "spanned_pages", unknown),
        "present": of_member(found.present.view(np.int64), "present_pages", unknown),
        "managed": of_member(found.managed.view(np.int64), "managed_pages", unknown),
        "free": of_member(found.free, "vm_stat", unknown),
        **watermarks,
    }


def _free_blocks(source: Source) -> Mapping[str, Values] | None:
    found, zones = source.memory.free_blocks, source.memory.zones
    if found is None:
        return None
    if found.broken:
        source.notes.append(f"free_blocks: {found.broken} free lists are damaged")
    page = source.linux.page_size
    names = [zones.name[row] for row in found.zone.tolist()]
    return {
        "node": known_from_zero(zones.node[found.zone]),
        "zone": names,
        "page_order": found.order,
        "type": Coded(found.type.astype(np.int32), source.memory.migrate_types),
        "pfn": found.pfn.view(np.int64),
        "pa": found.pfn * np.uint64(page),
        "size": np.int64(page) << found.order,
    }


def _memblock(source: Source) -> Mapping[str, Values] | None:
    found = source.memory.memblock
    if found is None:
        return None
    words = [flag_words(flags, MEMBLOCK_FLAGS) for flags in found.flags.tolist()]
    return {
        "list": Coded(found.list.astype(np.int32), LISTS),
        "base": found.base,
        "last": found.base + found.size - np.uint64(1),
        "size": found.size.view(np.int64),
        "node": Known(found.node, found.node >= 0),
        "flags": coded(np.arange(len(words)), words),
    }


def _vmalloc(source: Source) -> Mapping[str, Values] | None:
    found = source.memory.vmalloc
    if found is None:
        return None
    source.note_unknown(found.unknown)
    known = sum(VMALLOC_FLAGS)
    words = [flag_words(flags & known, VMALLOC_FLAGS) for flags in found.flags.tolist()]
    near = [source.linux.symbols.nearest(at) if at else None for at in found.caller.tolist()]
    return {
        "start": found.start,
        "last": found.start + found.size.astype(np.uint64) - np.uint64(1),
        "size": found.size.astype(np.int64),
        "kind": coded(np.arange(len(words)), words),
        "pages": of_member(found.pages.astype(np.int64), "vm_struct.nr_pages", found.unknown),
        "pa": Known(found.pa.astype(np.uint64), found.pa != 0),
        "caller": Known(found.caller.astype(np.uint64), found.caller != 0),
        "caller_name": [None if at is None else f"{at[0]}+{at[1]:#x}" for at in near],
    }


def _meminfo(source: Source) -> Mapping[str, Values] | None:
    found = source.memory.meminfo
    if not found.kib:
        return None
    names = [*found.kib, *found.counts, *found.unknown]
    values = [*found.kib.values(), *found.counts.values(), *(0 for _ in found.unknown)]
    number, row = np.array(values, np.int64), np.arange(len(names))
    sized, known = row < len(found.kib), row < len(names) - len(found.unknown)
    return {"name": names, "kib": Known(number, sized), "count": Known(number, known & ~sized)}


PAGES = Relation(
    "pages",
    "The struct page of every frame of memory that has one.",
    "page",
    (
        Column("pfn", "int64", "number of the frame"),
        Column("pa", "uint64", "physical address"),
        Column("page", "uint64", "address of the struct page"),
        Column("flags", "uint64", "the word: flags, zone, node"),
        Column("flag_names", "category", "names of the flags, by bit, with blanks between"),
        Column("refcount", "int32", "references"),
        Column("mapcount", "int32", "how often it is mapped; null for a page with a type"),
        Column("type", "category", "buddy, slab, table …, '' for others"),
        Column("mapping", "uint64", "the word: whose page it is, and low bits that say how"),
        Column("anonymous", "bool", "an anonymous page, by its mapping; null with a type"),
        Column("private", "uint64", "the word private: the order of a free block"),
        Column("head_pfn", "int64", "first frame of the compound page, its own otherwise"),
    ),
    _pages,
)

ZONES = Relation(
    "zones",
    "The zones of every node.",
    "zones",
    (
        Column("node", "int64", "number of the node"),
        Column("name", "string", "DMA, Normal, HighMem …"),
        Column("zone", "uint64", "address of the struct zone"),
        Column("start_pa", "uint64", "physical address at which it begins"),
        Column("spanned", "int64", "pages from begin to end"),
        Column("present", "int64", "pages that there are"),
        Column("managed", "int64", "pages that the buddy allocator has to give"),
        Column("free", "int64", "free pages, by the zone's counter"),
        Column("min", "int64", "lowest watermark, in pages, without boost"),
        Column("low", "int64", "watermark at which reclaim begins, in pages"),
        Column("high", "int64", "watermark at which reclaim ends, in pages"),
    ),
    _zones,
)

FREE_BLOCKS = Relation(
    "free_blocks",
    "What the buddy allocator has: every block of its free lists.",
    "buddy --blocks",
    (
        Column("node", "int64", "number of the node"),
        Column("zone", "category", "name of the zone"),
        Column("page_order", "int64", "order: 2**order pages"),
        Column("type", "category", "migrate type"),
        Column("pfn", "int64", "number of the first frame"),
        Column("pa", "uint64", "physical address of the first byte"),
        Column("size", "int64", "bytes"),
    ),
    _free_blocks,
)

MEMBLOCK = Relation(
    "memblock",
    "The lists of the boot: memory, and what was reserved of it.",
    "memblock",
    (
        Column("list", "category", "memory or reserved"),
        Column("base", "uint64", "first physical address"),
        Column("last", "uint64", "last physical address (inclusive)"),
        Column("size", "int64", "bytes"),
        Column("node", "int64", "number of the node, null without one"),
        Column("flags", "category", "NOMAP, HOTPLUG …, with blanks between"),
    ),
    _memblock,
)

VMALLOC = Relation(
    "vmalloc",
    "The areas of the vmalloc space in use.",
    "vmalloc",
    (
        Column("start", "uint64", "first virtual address"),
        Column("last", "uint64", "last virtual address (inclusive)"),
        Column("size", "int64", "bytes, with the guard page"),
        Column("kind", "category", "ioremap, vmalloc, vmap …"),
        Column("pages", "int64", "pages that were allocated for it"),
        Column("pa", "uint64", "physical address of what ioremap maps"),
        Column("caller", "uint64", "address of the code that asked for it"),
        Column("caller_name", "string", "the same as symbol+offset"),
    ),
    _vmalloc,
)

MEMINFO = Relation(
    "meminfo",
    "The lines of /proc/meminfo, from the counters that the kernel has of it.",
    "meminfo",
    (
        Column("name", "string", "as /proc/meminfo has it"),
        Column("kib", "int64", "KiB; null for numbers of huge pages, and where unknown"),
        Column("count", "int64", "number of huge pages; null for sizes, and where unknown"),
    ),
    _meminfo,
)
