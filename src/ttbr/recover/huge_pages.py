"""Pools of huge pages: ``struct hstate`` (include/linux/hugetlb.h), found by their names.

Each ends with its name, "hugepages-2048kB"; its mask, behind its order, says the same size.
"""

import re
from dataclasses import dataclass

import numpy as np

_NAME = re.compile(rb"hugepages-(\d{1,12})kB\0")
_LONGEST = 64 << 10  # bytes from a pool's mask to its name at most: there are arrays of nodes
_MOST = 64
_K = 1024


@dataclass(frozen=True, slots=True)
class HugePages:
    """A pool: ``size`` of one page in bytes, and numbers of them."""

    size: int
    total: int
    free: int
    reserved: int
    surplus: int


def find_huge_pages(image: bytes, word: int, page_size: int) -> tuple[HugePages, ...]:
    """The pools in the bytes of a kernel's image, in the order of the kernel's array."""
    found: list[HugePages] = []
    for named in _NAME.finditer(image):
        size = int(named[1]) * _K
        pool = _pool(image, named.start() // word * word, size, word, page_size)
        if pool is not None and len(found) < _MOST:
            found.append(pool)
    return tuple(found)


def _pool(image: bytes, end: int, size: int, word: int, page_size: int) -> HugePages | None:
    """The pool of this size whose name begins at ``end``; None where no mask is before it."""
    order = (size // page_size).bit_length() - 1
    if page_size << order != size:
        return None
    start = max(0, end - _LONGEST)
    words = np.frombuffer(image[start:end], f"<u{word}")
    mask = -size % (1 << 8 * word)
    for row in np.flatnonzero(words == mask).tolist()[::-1]:
        at = start + row * word
        # order, demote_order, mask, max_, nr_, free_, resv_, surplus_huge_pages; no demote_order
        # before 5.16
        before = np.frombuffer(image[max(0, at - 8) : at], "<u4").tolist()
        if order in before and row + 5 < len(words):
            _, total, free, reserved, surplus = words[row + 1 : row + 6].tolist()
            if free <= total:
                return HugePages(size, total, free, reserved, surplus)
    return None
