"""sizeof(struct page): how much memory the description of a page frame takes."""

from __future__ import annotations

from ttbr.kernel.kernel import Kernel
from ttbr.kernel.structs import struct_size


def struct_page_size(kernel: Kernel) -> int:
    """Bytes of a struct page."""
    return struct_size(kernel, "page")
