"""Swap types that are no swap file: migration, poisoned and device pages, markers.

The highest of the 32 types stand for something else; how many depends on the configuration
(include/linux/swap.h: MAX_SWAPFILES and what is defined above it).
"""

from collections.abc import Mapping

from ttbr.kernel.config import Config
from ttbr.kernel.linux_pte import SWAP_TYPE_BITS
from ttbr.kernel.release import Release

HWPOISON = ("hwpoison",)
MIGRATION = ("migration-read", "migration-read-exclusive", "migration-write")
DEVICE = ("device-write", "device-read", "device-exclusive-write", "device-exclusive-read")
MARKER = ("marker",)
SWAPIN_ERROR = ("swapin-error",)

SPECIAL = (*HWPOISON, *MIGRATION, *DEVICE, *MARKER, *SWAPIN_ERROR)
"""All of them, in ascending order of their types."""
WITH_PAGE = frozenset((*HWPOISON, *MIGRATION, *DEVICE))
"""Those whose offset is the number of a page frame (is_pfn_swap_entry)."""

ASSUMPTION = (
    "special swap types are those of a kernel with CONFIG_MIGRATION and CONFIG_MEMORY_FAILURE, "
    "without CONFIG_DEVICE_PRIVATE"
)
"""What is taken for granted without a configuration."""


def special_types(release: Release, config: Config | None = None) -> Mapping[int, str]:
    """What the types that are no swap file stand for; without ``config`` see ``ASSUMPTION``."""

    def enabled(name: str, otherwise: bool) -> bool:
        return otherwise if config is None else config.enabled(name)

    names: list[str] = []
    if enabled("MEMORY_FAILURE", True):
        names += HWPOISON
    if enabled("MIGRATION", True):
        names += MIGRATION
    if enabled("DEVICE_PRIVATE", False):
        names += DEVICE
    if release.has("swap_markers_always"):
        names += MARKER
    else:
        names += (*(MARKER if enabled("PTE_MARKER", False) else ()), *SWAPIN_ERROR)
    return {(1 << SWAP_TYPE_BITS) - len(names) + at: name for at, name in enumerate(names)}
