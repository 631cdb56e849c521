"""What lies in the vmalloc area: vmap_areas and their vm_structs (mm/vmalloc.c)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.layouts import Layouts
from ttbr.recover.virtual_memory import VirtualMemory

# include/linux/vmalloc.h
FLAGS = {
    0x01: "ioremap",
    0x02: "vmalloc",
    0x04: "vmap",
    0x08: "user",
    0x10: "dma-coherent",
    0x1000: "sparse",
}
_VM_ALLOC, _VM_NO_GUARD = 2, 0x40
_MOST_AREAS = 1 << 20
_MOST_NODES = 1 << 10
_LEAST_WORDS, _LONGEST = 12, 256  # words of a vm_struct that are read, bytes of one at most
_NODE = 1 << 13  # bytes of a vmap_node at most
_POOLS, _EMPTY = 256, 128  # MAX_VA_SIZE_PAGES, and how many of the last ones are taken to be empty


@dataclass(frozen=True)
class VmallocAreas:
    """Areas by address, as columns of equal length.

    ``start``, ``size`` (bytes, of the vm_struct with its guard page), ``flags`` (VM_…), ``pages``
    (how many it has of its own), ``pa`` (physical address of what is mapped, or 0), ``caller`` (the
    code that asked for it): uint64. ``unknown``: members that could not be determined.
    """

    start: NDArray[np.uint64]
    size: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    pages: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    caller: NDArray[np.uint64]
    unknown: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.start)


def find_vmalloc(
    kernel: VirtualMemory,
    layouts: Layouts,
    head: int | None,
    nodes: int | None,
    wide: int,
    page_size: int,
) -> VmallocAreas | None:
    """The areas in use; None where their list is not found.

    ``head``: vmap_area_list (until 6.8); ``nodes``: what vmap_nodes points to (since 6.9).
    ``wide``: bytes of a physical address.
    """
    areas: list[int] = []
    if head is not None:
        areas = _list(kernel, head)
    elif nodes is not None:
        for place in _heads(kernel, nodes):
            areas += _list(kernel, place)
    if not areas:
        return None
    word = kernel.word
    # va_start, va_end, rb_node, list, vm: in this order since 5.4
    words, there = kernel.words(np.unique(np.array(areas, np.uint64)), 8, word)
    vm = words[there, 7]
    start = words[there, 0]
    known = layouts.offset("vm_struct", "nr_pages")
    if known is not None and known > _LONGEST:
        return None
    # Behind nr_pages follow phys_addr and caller, in all releases
    size = max(_LEAST_WORDS * word, -(-(known or 0) // word) * word + 4 * 8)
    rows, present = kernel.records(vm, size)
    rows, start = rows[present], start[present]
    fields = rows.view(f"<u{word}").astype(np.uint64)
    own = fields[:, 1] == start
    rows, fields = rows[own], fields[own]
    order = np.argsort(fields[:, 1])
    rows, fields = rows[order], fields[order]
    unknown: list[str] = []
    pages, behind = _pages(known, rows, fields, word, page_size)
    if behind is None:
        unknown.append("vm_struct.nr_pages")
        zero = np.zeros(len(rows), np.uint64)
        pages, pa, caller = zero, zero, zero
    else:
        at = -(-behind // wide) * wide
        pa = rows[:, at : at + wide].copy().view(f"<u{wide}")[:, 0].astype(np.uint64)
        at = -(-(at + wide) // word) * word
        caller = rows[:, at : at + word].copy().view(f"<u{word}")[:, 0].astype(np.uint64)
    return VmallocAreas(fields[:, 1], fields[:, 2], fields[:, 3], pages, pa, caller, tuple(unknown))


def find_vmap_nodes(kernel: VirtualMemory, image: bytes, text: int) -> int | None:
    """An address in the vmap_nodes (since 6.9), without a symbol for them; None if there is none.

    A node begins with pools of areas by their size: triples of a list's head and a length. Most are
    empty, so that the heads name themselves. A kernel for one CPU, and every 32-bit one, has its
    node in its ``image``, which runs at ``text``; others have a pointer there.
    """
    word = kernel.word
    words = np.frombuffer(image[: len(image) // word * word], f"<u{word}").astype(np.uint64)
    if len(words) < 3 * _POOLS:
        return None
    own = np.uint64(text) + np.arange(len(words), dtype=np.uint64) * np.uint64(word)
    empty = words[:-1] == own[:-1]
    empty &= words[1:] == own[:-1]
    rows = np.flatnonzero(empty)
    rows = rows[rows + 3 * (_EMPTY - 1) < len(empty)]
    run = empty[rows[:, None] + np.arange(0, 3 * _EMPTY, 3)].all(axis=1)
    inside = rows[run]
    begins = inside[~np.isin(inside - 3, inside)]
    first, last, _ = kernel.extents
    named = np.unique(words[(words >= first[0]) & (words <= last[-1])]) if len(first) else words[:0]
    for pool in range(_POOLS - _EMPTY, _POOLS):
        place = named + np.uint64(3 * word * pool)
        heads, there = kernel.words(place, 2, word)
        named = named[there & (heads == place[:, None]).all(axis=1)]
    # Other tables of lists look like that, too, but hold no areas. With several CPUs there are
    # several nodes, and something may point to one in the middle: the most areas are all. What
    # lies before the nodes leads to the same ones, so the last such place is right.
    best, most, looked_at = None, 0, 0
    for at in (*own[begins].tolist(), *named[::-1].tolist())[:_MOST_NODES]:
        areas = {area for head in _heads(kernel, at) for area in _list(kernel, head)}
        looked_at += len(areas)
        count = _in_use(kernel, np.array(sorted(areas), np.uint64))
        if count > most:
            best, most = at, count
        if looked_at > _MOST_AREAS:
            break
    return best


def _in_use(kernel: VirtualMemory, areas: NDArray[np.uint64]) -> int:
    """How many of the addresses are areas whose vm_struct begins as they do."""
    if not len(areas):
        return 0
    words, there = kernel.words(areas, 8, kernel.word)
    start, vm = words[there, 0], words[there, 7]
    addr, present = kernel.words(vm + np.uint64(kernel.word), 1, kernel.word)
    return int(np.count_nonzero(present & (addr[:, 0] == start)))


def _list(kernel: VirtualMemory, head: int) -> list[int]:
    """The vmap_areas of a list."""
    areas: list[int] = []
    seen = {head}
    at = kernel.number(head)
    behind = 5 * kernel.word  # where in a vmap_area its place in the list is
    while at is not None and at >= behind and at not in seen and len(areas) < _MOST_AREAS:
        seen.add(at)
        areas.append(at - behind)
        at = kernel.number(at)
    return areas


def _heads(kernel: VirtualMemory, nodes: int) -> list[int]:
    """The heads of lists in use in the nodes: lists of areas whose vm_struct begins as they do."""
    word = kernel.word
    found: list[int] = []
    missing = 0
    at = nodes
    while missing < _NODE and len(found) < _MOST_NODES:
        data = kernel.try_read(at, 1024)
        if data is None:
            break
        words = np.frombuffer(data, f"<u{word}").astype(np.uint64)
        place = np.uint64(at) + np.arange(len(words), dtype=np.uint64) * np.uint64(word)
        other = (words != place) & (words != 0)
        back, there = kernel.words(words + np.uint64(word), 1, word)
        linked = np.flatnonzero(other & there & (back[:, 0] == place))
        for row in linked.tolist():
            area = int(words[row]) - 5 * word
            vm = kernel.number(area + 7 * word)
            if vm and kernel.number(vm + word) == kernel.number(area):
                found.append(int(place[row]))
                missing = 0
        missing += len(data)
        at += len(data)
    return found


def _pages(
    known: int | None,
    rows: NDArray[np.uint8],
    fields: NDArray[np.uint64],
    word: int,
    page_size: int,
) -> tuple[NDArray[np.uint64], int | None]:
    """nr_pages of each, and what follows it: with or without page_order before it."""
    allocated = (fields[:, 3] & np.uint64(_VM_ALLOC | _VM_NO_GUARD)) == _VM_ALLOC
    for at in (5 * word, 5 * word + 4) if known is None else (known,):
        pages = rows[:, at : at + 4].copy().view("<u4")[:, 0].astype(np.uint64)
        whole = (pages + np.uint64(1)) * np.uint64(page_size) == fields[:, 2]
        used = allocated & (pages > 0)
        if known is not None or (used.any() and whole[used].all()):
            return pages, at + 4
    return np.zeros(len(rows), np.uint64), None
