"""The state of page frames: struct page, as columns in chunks that exist only where needed.

Source: include/linux/mm_types.h, include/linux/mm.h (get_page, put_page), mm/rmap.c.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_SHIFT = 12
CHUNK = 1 << CHUNK_SHIFT
_LOW = CHUNK - 1
_ONES = array("i", [1]) * CHUNK


class Owner(IntEnum):
    """What an allocated page frame is for. Frames that nobody asked for are NONE."""

    NONE = 0
    KERNEL = 1
    TABLE = 2
    SLAB = 3
    ANON = 4
    FILE = 5
    VMALLOC = 6


class _Chunk:
    """The columns of CHUNK frames in a row."""

    __slots__ = ("exclusive", "mapcount", "order", "owner", "refcount")

    def __init__(self) -> None:
        self.refcount = array("i", bytes(4 * CHUNK))
        self.mapcount = array("i", bytes(4 * CHUNK))
        self.order = bytearray(CHUNK)
        self.owner = bytearray(CHUNK)
        self.exclusive = bytearray(CHUNK)


class Frames:
    """struct page by page frame number.

    ``refcount``: users of an allocated frame (``_refcount``), 0 for free and reserved ones.
    ``mapcount``: how many page-table entries map it; the kernel's ``_mapcount`` is one less.
    ``order``: of an allocation's first frame, log2 of its pages. ``owner``: see `Owner`.
    ``exclusive``: an anonymous page that one process alone has (PG_anon_exclusive).
    """

    def __init__(self) -> None:
        self._chunks: dict[int, _Chunk] = {}
        self.release: Callable[[int, int], None] | None = None
        """Called with first frame and order of an allocation whose last reference is gone."""

    def _chunk(self, pfn: int) -> _Chunk:
        number = pfn >> CHUNK_SHIFT
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = _Chunk()
        return chunk

    def refcount(self, pfn: int) -> int:
        """References to the frame."""
        chunk = self._chunks.get(pfn >> CHUNK_SHIFT)
        return chunk.refcount[pfn & _LOW] if chunk is not None else 0

    def mapcount(self, pfn: int) -> int:
        """Page-table entries that map the frame."""
        chunk = self._chunks.get(pfn >> CHUNK_SHIFT)
        return chunk.mapcount[pfn & _LOW] if chunk is not None else 0

    def order(self, pfn: int) -> int:
        """Order of the allocation that begins with the frame."""
        chunk = self._chunks.get(pfn >> CHUNK_SHIFT)
        return chunk.order[pfn & _LOW] if chunk is not None else 0

    def owner(self, pfn: int) -> Owner:
        """What the frame is for."""
        chunk = self._chunks.get(pfn >> CHUNK_SHIFT)
        return Owner(chunk.owner[pfn & _LOW]) if chunk is not None else Owner.NONE

    def set_owner(self, pfn: int, owner: Owner, order: int = 0) -> None:
        """Say what the frames of an allocation are for."""
        for chunk, low, high in self._ranges(pfn, 1 << order):
            chunk.owner[low:high] = bytes([owner]) * (high - low)

    def count_owners(self, ranges: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """Frames in use by owner, in ranges [first, behind the last): (all, those mapped)."""
        found, mapped = [0] * len(Owner), [0] * len(Owner)
        for start, end in ranges:
            touched = range(start >> CHUNK_SHIFT, -(-end >> CHUNK_SHIFT))
            for number, chunk in self._chunks.items():
                if number not in touched:
                    continue
                base = number << CHUNK_SHIFT
                part = slice(max(start - base, 0), min(end - base, CHUNK))
                owners = np.frombuffer(chunk.owner, np.uint8)[part]
                counts = np.frombuffer(chunk.mapcount, np.int32)[part]
                for owner in (each for each in np.unique(owners).tolist() if each):
                    mine = owners == owner
                    found[owner] += int(mine.sum())
                    mapped[owner] += int((mine & (counts > 0)).sum())
        return found, mapped

    def movable(self, start: int, end: int) -> int:
        """Frames of [start, end) that could be moved: those that processes and files have."""
        return sum(
            chunk.owner[low:high].count(kind)
            for chunk, low, high in self._ranges(start, end - start)
            for kind in (Owner.ANON, Owner.FILE)
        )

    def allocated(self, pfn: int, order: int) -> None:
        """The page allocator gave out a block: one reference to its first frame."""
        if order:
            self.set_owner(pfn, Owner.KERNEL, order)
        chunk, index = self._chunk(pfn), pfn & _LOW
        chunk.refcount[index] = 1
        chunk.mapcount[index] = 0
        chunk.order[index] = order
        chunk.owner[index] = Owner.KERNEL

    def freed(self, pfn: int, order: int = 0) -> None:
        """A block is back in the page allocator."""
        if order:
            self.set_owner(pfn, Owner.NONE, order)
        chunk, index = self._chunk(pfn), pfn & _LOW
        chunk.refcount[index] = chunk.mapcount[index] = 0
        chunk.order[index] = chunk.owner[index] = chunk.exclusive[index] = 0

    def allocated_run(self, start: int, count: int) -> None:
        """As `allocated`, for ``count`` single frames in a row."""
        self._fill(start, count, 1, Owner.KERNEL)

    def freed_run(self, start: int, count: int) -> None:
        """As `freed`, for single frames in a row."""
        self._fill(start, count, 0, Owner.NONE)

    def alone(self, start: int, count: int) -> bool:
        """Whether frames in a row are single pages that have one reference each."""
        return all(
            chunk.refcount[low:high] == _ONES[: high - low] and not any(chunk.order[low:high])
            for chunk, low, high in self._ranges(start, count)
        )

    def _fill(self, start: int, count: int, refcount: int, owner: Owner) -> None:
        for chunk, low, high in self._ranges(start, count):
            size = high - low
            chunk.refcount[low:high] = array("i", [refcount]) * size
            chunk.mapcount[low:high] = array("i", [0]) * size
            chunk.order[low:high] = bytes(size)
            chunk.owner[low:high] = bytes([owner]) * size
            chunk.exclusive[low:high] = bytes(size)

    def _ranges(self, start: int, count: int) -> Iterator[tuple[_Chunk, int, int]]:
        """The parts of a range of frames by chunk: (chunk, first and last index, exclusive)."""
        end = start + count
        while start < end:
            low = start & _LOW
            high = min(CHUNK, low + end - start)
            yield self._chunk(start), low, high
            start += high - low

    def refcounts(self, pfns: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The references to each of many frames."""
        return self._gather(pfns, lambda chunk: np.frombuffer(chunk.refcount, np.int32))

    def orders(self, pfns: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The order of the allocation that begins with each of many frames."""
        return self._gather(pfns, lambda chunk: np.frombuffer(chunk.order, np.uint8))

    def _gather(
        self, pfns: NDArray[np.uint64], column: Callable[[_Chunk], NDArray[Any]]
    ) -> NDArray[np.int32]:
        found = np.zeros(len(pfns), np.int32)
        if not len(pfns):
            return found
        numbers = pfns >> np.uint64(CHUNK_SHIFT)
        order = np.argsort(numbers, kind="stable")
        edges = np.flatnonzero(np.diff(numbers[order])) + 1
        for mine in np.split(order, edges):
            chunk = self._chunks.get(int(numbers[mine[0]]))
            if chunk is not None:
                found[mine] = column(chunk)[(pfns[mine] & np.uint64(_LOW)).astype(np.int64)]
        return found

    def get_page(self, pfn: int) -> None:
        """``get_page``: one more reference; ValueError for a frame that nobody has."""
        chunk, index = self._chunk(pfn), pfn & _LOW
        if chunk.refcount[index] <= 0:
            raise ValueError(f"page frame {pfn:#x} is not allocated")
        chunk.refcount[index] += 1

    def put_page(self, pfn: int) -> bool:
        """``put_page``: one reference less; the last frees the allocation. Says whether it did."""
        chunk, index = self._chunk(pfn), pfn & _LOW
        count = chunk.refcount[index]
        if count <= 0:
            raise ValueError(f"page frame {pfn:#x} is not allocated")
        if count > 1:
            chunk.refcount[index] = count - 1
            return False
        assert self.release is not None
        self.release(pfn, chunk.order[index])
        return True

    def add_rmap(self, pfn: int) -> None:
        """One more page-table entry maps the frame."""
        self._chunk(pfn).mapcount[pfn & _LOW] += 1

    def remove_rmap(self, pfn: int) -> int:
        """One page-table entry less maps the frame; returns how many still do."""
        chunk, index = self._chunk(pfn), pfn & _LOW
        if chunk.mapcount[index] <= 0:
            raise ValueError(f"page frame {pfn:#x} is not mapped")
        chunk.mapcount[index] -= 1
        return chunk.mapcount[index]

    def ref_add(self, pfn: int, count: int) -> None:
        """``folio_ref_add``: ``count`` references more, or less if others are left."""
        chunk, index = self._chunk(pfn), pfn & _LOW
        if chunk.refcount[index] <= 0 or chunk.refcount[index] + count <= 0:
            raise ValueError(f"page frame {pfn:#x} is not allocated, or would be free")
        chunk.refcount[index] += count

    def exclusive(self, pfn: int) -> bool:
        """``PageAnonExclusive``"""
        chunk = self._chunks.get(pfn >> CHUNK_SHIFT)
        return chunk is not None and bool(chunk.exclusive[pfn & _LOW])

    def set_exclusive(self, pfn: int, value: bool) -> None:
        """``SetPageAnonExclusive``, ``ClearPageAnonExclusive``"""
        self._chunk(pfn).exclusive[pfn & _LOW] = value

    def _pieces(self, pfns: NDArray[np.uint64]) -> Iterator[tuple[_Chunk, NDArray[np.int64]]]:
        """Each chunk with some of the frames, and the indices of those."""
        numbers = pfns >> np.uint64(CHUNK_SHIFT)
        for number in np.unique(numbers).tolist():
            mine = (pfns[numbers == number] & np.uint64(_LOW)).astype(np.int64)
            yield self._chunk(number << CHUNK_SHIFT), mine

    def map_new(self, pfns: NDArray[np.uint64], owner: Owner, *, exclusive: bool) -> None:
        """Single frames, no two alike, are each mapped for the first time by who allocated them."""
        for chunk, mine in self._pieces(pfns):
            np.frombuffer(chunk.mapcount, np.int32)[mine] += 1
            np.frombuffer(chunk.owner, np.uint8)[mine] = owner
            np.frombuffer(chunk.exclusive, np.uint8)[mine] = exclusive

    def map_again(self, pfns: NDArray[np.uint64]) -> None:
        """Single frames, no two alike, get a mapping and a reference more: none is exclusive."""
        for chunk, mine in self._pieces(pfns):
            np.frombuffer(chunk.refcount, np.int32)[mine] += 1
            np.frombuffer(chunk.mapcount, np.int32)[mine] += 1
            np.frombuffer(chunk.exclusive, np.uint8)[mine] = 0

    def unmap(self, pfns: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Single frames, no two alike, lose a mapping and its reference.

        Returns those that nothing else refers to: they keep the reference, to be freed with it.
        """
        last = [np.zeros(0, np.uint64)]
        numbers = pfns >> np.uint64(CHUNK_SHIFT)
        for number in np.unique(numbers).tolist():
            these = pfns[numbers == number]
            mine = (these & np.uint64(_LOW)).astype(np.int64)
            chunk = self._chunk(number << CHUNK_SHIFT)
            np.frombuffer(chunk.mapcount, np.int32)[mine] -= 1
            counts = np.frombuffer(chunk.refcount, np.int32)
            alone = counts[mine] == 1
            counts[mine[~alone]] -= 1
            last.append(these[alone])
        return np.concatenate(last)

    def owners(self, pfns: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """The owner of each of many frames."""
        return self._gather(pfns, lambda chunk: np.frombuffer(chunk.owner, np.uint8)).astype(
            np.uint8
        )
