"""Memory that processes map: pages and large folios, their references and their mappings.

A folio is an allocation; its references are those of its first page. How often a page is mapped
is counted page by page.

Source: include/linux/mm.h (folio_get, folio_put), mm/rmap.c, include/linux/rmap.h
(folio_try_dup_anon_rmap_ptes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.run.frames import Owner

if TYPE_CHECKING:
    from ttbr.run.gfp import Gfp
    from ttbr.run.page_alloc import PageAllocator


class Folios:
    """Allocates, maps and frees the pages that processes use; pages are frame numbers."""

    def __init__(self, pages: PageAllocator) -> None:
        self.pages = pages
        self.frames = pages.frames
        self._large: dict[int, set[int]] = {}  # order → first frames
        self._heads: dict[int, NDArray[np.uint64]] = {}  # the same as arrays, while they are so

    def alloc(self, order: int, gfp: Gfp, owner: Owner, node: int | None = None) -> int:
        """A folio of 2^order pages with one reference; `OutOfMemory` without one."""
        pfn = self.pages.alloc_pages(order, gfp, node)
        self.frames.set_owner(pfn, owner, order)
        if order:
            self._large.setdefault(order, set()).add(pfn)
            self._heads.pop(order, None)
        return pfn

    def head(self, pfn: int) -> tuple[int, int]:
        """``page_folio``: first frame and order of the folio that a page belongs to."""
        for order, heads in self._large.items():
            first = pfn & -(1 << order)
            if first in heads:
                return first, order
        return pfn, 0

    def in_large(self, pfns: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of many pages belong to a large folio."""
        found = np.zeros(len(pfns), np.bool_)
        for order, heads in self._large.items():
            if heads:
                if order not in self._heads:
                    self._heads[order] = np.fromiter(heads, np.uint64, len(heads))
                first = pfns >> np.uint64(order) << np.uint64(order)
                found |= np.isin(first, self._heads[order])
        return found

    def get(self, pfn: int, count: int = 1) -> None:
        """``count`` more references to a page's folio."""
        self.frames.ref_add(self.head(pfn)[0], count)

    def put(self, pfn: int, count: int = 1) -> None:
        """``count`` references less; without any the folio is freed."""
        first, order = self.head(pfn)
        if self.frames.refcount(first) > count:
            self.frames.ref_add(first, -count)
            return
        if count > 1:
            self.frames.ref_add(first, 1 - count)
        if order:
            self._large[order].discard(first)
            self._heads.pop(order, None)
        self.frames.put_page(first)

    def references(self, pfn: int) -> int:
        """``folio_ref_count`` of a page's folio."""
        return self.frames.refcount(self.head(pfn)[0])

    def is_anon(self, pfn: int) -> bool:
        """``folio_test_anon``"""
        return self.frames.owner(self.head(pfn)[0]) is Owner.ANON
