"""Orders of the page allocator that memory areas have to be aligned to."""

from __future__ import annotations

from ttbr.kernel.kernel import Kernel

DEFAULT_MAX_ORDER = 10
PAGE_SHIFTS = {4096: 12, 16384: 14, 65536: 16}
LPAE_PMD_SHIFT = 21


def max_page_order(kernel: Kernel) -> int:
    """The largest order of the page allocator (include/linux/mmzone.h: MAX_PAGE_ORDER)."""
    order = kernel.config.integer("ARCH_FORCE_MAX_ORDER")
    if order is None:
        return DEFAULT_MAX_ORDER
    return order if kernel.release.has("max_order_inclusive") else order - 1


def pageblock_bytes(kernel: Kernel) -> int:
    """Bytes of a page block, which is the least alignment of a CMA area.

    Source: include/linux/pageblock-flags.h: pageblock_order; include/linux/cma.h:
    CMA_MIN_ALIGNMENT_BYTES.
    """
    shift = PAGE_SHIFTS[kernel.page_size]
    order = max_page_order(kernel)
    by_huge_page = kernel.config.enabled("HUGETLB_PAGE") or (
        kernel.release.has("pageblock_by_thp") and kernel.config.enabled("TRANSPARENT_HUGEPAGE")
    )
    if by_huge_page:
        pmd_shift = 2 * shift - 3 if kernel.arch == "arm64" else LPAE_PMD_SHIFT
        order = min(order, pmd_shift - shift)
    return 1 << (order + shift)
