"""memblock as the boot left it (mm/memblock.c), where the kernel keeps it after the boot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.virtual_memory import VirtualMemory

LISTS = ("memory", "reserved")
FLAGS = {1: "HOTPLUG", 2: "MIRROR", 4: "NOMAP", 8: "DRIVER_MANAGED", 16: "RSRV_NOINIT"}
_MOST_REGIONS = 1 << 20
_MOST_NAMES = 1 << 12
_NO_NODE = -1


@dataclass(frozen=True)
class Memblock:
    """Both lists, one behind the other, as columns of equal length.

    ``list``: 0 for memory, 1 for reserved, int8; ``base``, ``size`` in bytes, uint64; ``flags``:
    uint64; ``node``: int64, -1 where a kernel has none. ``address``: of struct memblock.
    """

    list: NDArray[np.int8]
    base: NDArray[np.uint64]
    size: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    node: NDArray[np.int64]
    address: int

    def __len__(self) -> int:
        return len(self.base)


def find_memblock(
    kernel: VirtualMemory, image: bytes, text: int, symbol: int | None
) -> Memblock | None:
    """memblock at its symbol, or where in the kernel's image two lists have the right names.

    None where there is none any more: not every kernel keeps it.
    """
    if symbol is not None:
        return _read(kernel, symbol)
    for at in _places(kernel, image, text):
        found = _read(kernel, at)
        if found is not None:
            return found
    return None


def _places(kernel: VirtualMemory, image: bytes, text: int) -> list[int]:
    """Where "memory"'s list of regions could be named in the image, as struct memblock."""
    word = kernel.word
    words = np.frombuffer(image[: len(image) // word * word], f"<u{word}")
    names: list[int] = []
    at = image.find(b"memory\0")
    while at >= 0 and len(names) < _MOST_NAMES:
        names.append(text + at)  # it can be the end of a longer string, too
        at = image.find(b"memory\0", at + 1)
    hits = np.flatnonzero(np.isin(words, np.array(names, np.uint64).astype(words.dtype)))
    places = []
    for wide in (8, 4) if word == 4 else (8,):
        # bottom_up, current_limit; then cnt, max, total_size, regions, name
        name_at = 2 * wide + 2 * word + wide + word
        places += [text + hit * word - name_at for hit in hits.tolist()]
    return places


def _read(kernel: VirtualMemory, at: int) -> Memblock | None:
    """memblock at an address, with addresses of 8 or of 4 bytes, whichever makes sense."""
    for wide in (8, 4) if kernel.word == 4 else (8,):
        found = _lists(kernel, at, wide)
        if found is not None:
            return found
    return None


def _lists(kernel: VirtualMemory, at: int, wide: int) -> Memblock | None:
    word = kernel.word
    # An address of 8 bytes is aligned to 8, and so is what contains it.
    one = -(-(2 * word + wide + 2 * word) // wide) * wide
    heads = []
    for number, name in enumerate(LISTS):
        start = at + 2 * wide + number * one
        count, room = kernel.number(start), kernel.number(start + word)
        total = kernel.number(start + 2 * word, wide)
        regions = kernel.number(start + 2 * word + wide)
        named = kernel.number(start + 3 * word + wide)
        if not count or not room or total is None or not regions or not named:
            return None
        if count > room or room > _MOST_REGIONS or kernel.text(named, 16) != name:
            return None
        heads.append((regions, count, total))
    plain = -(-(2 * wide + 4) // wide) * wide
    for length, has_node in ((plain, False), (-(-(2 * wide + 8) // wide) * wide, True)):
        tables = [_regions(kernel, *head, wide, length, has_node) for head in heads]
        known = [table for table in tables if table is not None]
        if len(known) == len(LISTS):
            base, size, flags, node = (np.concatenate([t[k] for t in known]) for k in range(4))
            which = np.repeat(np.arange(2, dtype=np.int8), [len(t[0]) for t in known])
            return Memblock(which, base, size, flags, node.astype(np.int64), at)
    return None


def _regions(
    kernel: VirtualMemory, at: int, count: int, total: int, wide: int, length: int, has_node: bool
) -> list[NDArray[np.uint64]] | None:
    """base, size, flags, node of ``length`` bytes each; None if they are not what the list says."""
    data = kernel.try_read(at, length * count)
    if data is None:
        return None
    rows = np.frombuffer(data, np.uint8).reshape(count, length)

    def column(place: int, size: int) -> NDArray[np.uint64]:
        return rows[:, place : place + size].copy().view(f"<u{size}")[:, 0].astype(np.uint64)

    base, size = column(0, wide), column(wide, wide)
    if int(size.sum()) != total or not (base[1:] >= base[:-1] + size[:-1]).all():
        return None
    node = np.full(count, _NO_NODE, np.int64).astype(np.uint64)
    if has_node:
        node = column(2 * wide + 4, 4).astype(np.uint32).view(np.int32).astype(np.uint64)
    elif rows[:, 2 * wide + 4 :].any():
        return None  # something is where there should be only a gap
    return [base, size, column(2 * wide, 4), node]
