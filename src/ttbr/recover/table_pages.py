"""Frames that can be translation tables of an arm64 kernel or its processes, found in one pass.

A frame counts by what all of its words are that are not zero. What Linux puts into long
descriptors of arm64 (arch/arm64/include/asm/{pgtable-hwdef,pgtable-prot,pgalloc}.h):

- tables: type 3, nothing in bits 9:2 and 58:51;
- leaves of the kernel: access flag, not for EL0, pages also UXN (blocks of head.S lack it); an
  entry that is made invalid for a while keeps all of that but bit 0;
- blocks of processes (huge pages): for EL0, not global, PXN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.frames import FRAME, FRAME_SHIFT, Frames

Progress = Callable[[str], None]

VALID, TYPE = 1 << 0, 3
AP_EL0, AF, NG, PXN, UXN = 1 << 6, 1 << 10, 1 << 11, 1 << 53, 1 << 54
_UNUSED = 0x1F << 59 | 3 << 48  # of the kernel's leaves: bits 63:59, and addresses have 48 bits
SMALLEST_BLOCK = 1 << 21
_BELOW_BLOCK = SMALLEST_BLOCK - (1 << 17)  # address bits that are zero in every block

# What the bits of a word have to be: (mask, value).
TABLE = (0x07F8_0000_0000_03FF, TYPE)
_KERNEL = UXN | AF
KERNEL_PAGE = (_UNUSED | _KERNEL | AP_EL0 | 2, _KERNEL | 2)
KERNEL_BLOCK = (_UNUSED | _BELOW_BLOCK | AF | AP_EL0 | TYPE, AF | 1)
_USER = PXN | NG | AP_EL0
USER_BLOCK = (_BELOW_BLOCK | _USER | TYPE, _USER | 1)
USER_PAGE = (_USER | TYPE, _USER | TYPE)

# One word of each so many is looked at first: few frames that are no tables get further.
_SAMPLE = 32
# Of all pages in use, one in so many can be a table above the last level; Linux has one in fifty.
_NODES_OF, _FEWEST_NODES = 8, 1 << 12
_REPORT = 1 << 30  # bytes between two words of progress


class Holds(IntFlag):
    """What all words of a frame can be; a frame of zeros can be everything, and is EMPTY."""

    PAGES = 1
    """pages of the kernel: a table of the last level"""
    NODES = 2
    """tables and blocks of the kernel: a table of another level"""
    USER_NODES = 4
    """tables and blocks of a process"""
    EMPTY = 8


def matches(words: NDArray[np.uint64], pattern: tuple[int, int]) -> NDArray[np.bool_]:
    """Which words have the bits of ``pattern``, a (mask, value)."""
    mask, value = pattern
    found: NDArray[np.bool_] = (words & np.uint64(mask)) == np.uint64(value)
    return found


def holds(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """What all words of each row can be (`Holds`); ``words`` has shape (n, count)."""
    zero = words == 0
    table = zero | matches(words, TABLE)
    found = np.zeros(len(words), np.uint8)
    found |= (zero | matches(words, KERNEL_PAGE)).all(axis=1) * np.uint8(Holds.PAGES)
    found |= (table | matches(words, KERNEL_BLOCK)).all(axis=1) * np.uint8(Holds.NODES)
    found |= (table | matches(words, USER_BLOCK)).all(axis=1) * np.uint8(Holds.USER_NODES)
    found |= zero.all(axis=1) * np.uint8(Holds.EMPTY)
    return found


@dataclass(frozen=True, slots=True)
class TablePages:
    """Pages of one size that are not all zeros: ``addresses`` ascending, ``flags`` (`Holds`)."""

    addresses: NDArray[np.uint64]
    flags: NDArray[np.uint8]

    def of_size(self, size: int) -> "TablePages":
        """The same frames taken together as pages of ``size`` bytes, aligned to it.

        A page can be what all of its frames can be; those that are missing are zeros.
        """
        if size == FRAME:
            return self
        pages = self.addresses & np.uint64(-size % (1 << 64))
        first = np.flatnonzero(np.diff(pages, prepend=~pages[:1]))
        if not len(first):
            return self
        return TablePages(pages[first], np.bitwise_and.reduceat(self.flags, first))

    def that_hold(self, kind: Holds) -> NDArray[np.intp]:
        """Indices of the pages that can be ``kind``."""
        return np.flatnonzero(self.flags & np.uint8(kind))

    def nodes(self, kind: Holds) -> NDArray[np.intp]:
        """The same for tables above the last level, of which there are few: not all where most
        pages look like one, so that an image made of such pages takes no longer than another.
        """
        most = max(_FEWEST_NODES, len(self.addresses) // _NODES_OF)
        return self.that_hold(kind)[:most]

    def find(self, addresses: NDArray[np.uint64]) -> NDArray[np.intp]:
        """The index of the page at each address; −1 where it is all zeros, or no memory."""
        if not len(self.addresses):
            return np.full(addresses.shape, -1, np.intp)
        place = np.searchsorted(self.addresses, addresses)
        place = np.minimum(place, len(self.addresses) - 1)
        return np.where(self.addresses[place] == addresses, place, -1)


def find_table_pages(memory: PhysicalMemory, progress: Progress | None = None) -> TablePages:
    """Every frame of memory that is not all zeros, with what it can be (0: no table).

    One pass over what was written; memory of a few bytes a frame.
    """
    frames = Frames(memory)
    flags = np.full(len(frames), Holds.EMPTY, np.uint8)
    said = 0
    for number, words in frames.pieces():
        if progress is not None and number << FRAME_SHIFT >= said:
            total = len(frames) >> 30 - FRAME_SHIFT
            progress(f"looking for tables, {number >> 30 - FRAME_SHIFT} of {total} GiB")
            said += _REPORT
        part = flags[number : number + len(words)]
        used = np.flatnonzero(np.bitwise_or.reduce(words, axis=1))
        part[used] = 0
        sample = holds(words[used, ::_SAMPLE])
        used = used[sample != 0]
        if len(used):
            part[used] = holds(words[used])
    kept = np.flatnonzero(flags != Holds.EMPTY)
    return TablePages(frames.addresses[kept], flags[kept])
