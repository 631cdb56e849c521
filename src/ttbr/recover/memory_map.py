"""The memory map: where Linux keeps its ``struct page`` for each frame, and what it says there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.layouts import Layouts
from ttbr.recover.virtual_memory import VirtualMemory

_TAIL = 1  # bit 0 of compound_head: the page is a later part of a compound page
_ANON = 1  # bit 0 of mapping: anonymous (PAGE_MAPPING_ANON)
_ADDRESSES = 1 << 64
_MOST_LISTED = 1 << 24


@dataclass(frozen=True)
class MemoryMap:
    """``base``: virtual address that the page of frame 0 has or would have; ``size``: bytes of one.

    ``source``: how that is known.
    """

    base: int
    size: int
    source: str

    def page(self, pfns: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The addresses of frames' struct pages."""
        return np.uint64(self.base) + pfns * np.uint64(self.size)

    def pfn(self, pages: NDArray[np.uint64], word: int) -> NDArray[np.uint64]:
        """The frames of struct pages."""
        mask = np.uint64((1 << 8 * word) - 1)
        return ((pages - np.uint64(self.base)) & mask) // np.uint64(self.size)


@dataclass(frozen=True)
class Pages:
    """Struct pages as columns of equal length; those that memory does not hold are left out.

    ``pfn``, ``address`` (of the struct page), ``flags`` (the word: flags, zone, node), ``mapping``,
    ``private``, ``lru`` (what lies there, the first word): uint64. ``refcount``: int32.
    ``mapcount``: the field as it is (-1: not mapped; other meanings for pages with a type), int32.
    ``head``: the frame of the compound page's first page, its own for others, uint64.
    """

    pfn: NDArray[np.uint64]
    address: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    mapping: NDArray[np.uint64]
    private: NDArray[np.uint64]
    refcount: NDArray[np.int32]
    mapcount: NDArray[np.int32]
    head: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.pfn)

    @property
    def anonymous(self) -> NDArray[np.bool_]:
        """Which pages are anonymous, by their own mapping."""
        anonymous: NDArray[np.bool_] = self.mapping & np.uint64(_ANON) != 0
        return anonymous


def read_pages(
    kernel: VirtualMemory, layouts: Layouts, where: MemoryMap, pfns: NDArray[np.uint64]
) -> Pages | None:
    """The struct pages of frames; None where the layout of struct page is not known."""
    names = ("flags", "mapping", "private", "_refcount", "_mapcount", "compound_head")
    offsets = layouts.offsets("page", *names)
    if offsets is None:
        return None
    address = where.page(pfns)
    rows, present = kernel.records(address, where.size)
    rows, address, pfns = rows[present], address[present], pfns[present]
    word = kernel.word
    flags, mapping, private, refcount, mapcount, head = offsets

    def column(at: int, size: int) -> NDArray[np.uint64]:
        part = np.ascontiguousarray(rows[:, at : at + size])
        return part.view(f"<u{size}")[:, 0].astype(np.uint64)

    def number(at: int) -> NDArray[np.int32]:
        return np.ascontiguousarray(rows[:, at : at + 4]).view("<i4")[:, 0]

    upper = column(head, word)
    tail = upper & np.uint64(_TAIL) != 0
    first = where.pfn(upper & ~np.uint64(_TAIL), word)
    return Pages(
        pfns,
        address,
        column(flags, word),
        column(mapping, word),
        column(private, word),
        number(refcount),
        number(mapcount),
        np.where(tail, first, pfns),
    )
