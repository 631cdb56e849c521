"""sizeof(struct page): how much memory the description of a page frame takes."""

from __future__ import annotations

from ttbr.kernel.kernel import Kernel

ARM64_SIZE = 64
"""arm64: 56 or 64 bytes of fields, and HAVE_ALIGNED_STRUCT_PAGE rounds that to 16."""
ARM_SIZE = 32
"""arm: flags, five words that depend on the page's use, the map count and the reference count."""
WORD = 4


def struct_page_size(kernel: Kernel) -> int:
    """Bytes of a struct page (include/linux/mm_types.h).

    On arm each of these adds a word: the memory cgroup's data or, in releases that have it, what
    takes its place for the extensions of slab objects. KMSAN and balancing between nodes, which
    would add more, exist on neither architecture or only where there is room in the flags.
    """
    if kernel.arch == "arm64":
        return ARM64_SIZE
    config = kernel.config
    extended = config.enabled("MEMCG") or (
        kernel.release.has("page_slab_obj_exts") and config.enabled("SLAB_OBJ_EXT")
    )
    return ARM_SIZE + WORD * extended
