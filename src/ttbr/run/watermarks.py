"""How much of a zone is kept back: its watermarks, and what higher zones may not take of it.

Source: mm/page_alloc.c: init_per_zone_wmark_min, __setup_per_zone_wmarks,
setup_per_zone_lowmem_reserve, nr_free_buffer_pages; mm/khugepaged.c:
set_recommended_min_free_kbytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from ttbr.boot.machine import Machine
from ttbr.boot.zones import DMA, DMA32, HIGHMEM, MOVABLE, NORMAL
from ttbr.kernel.kernel import Kernel
from ttbr.run.alloc_flags import WMARK_HIGH, WMARK_LOW, WMARK_MIN
from ttbr.run.gfp import GFP_USER, gfp_zone
from ttbr.run.zone import RunZone

LOWMEM_RESERVE_RATIO = {DMA: 256, DMA32: 256, NORMAL: 32, HIGHMEM: 0, MOVABLE: 0}
"""sysctl_lowmem_reserve_ratio."""
WATERMARK_SCALE_FACTOR = 10  # in 10000ths of a zone
MIN_FREE_KBYTES = (128, 262144)
HIGHMEM_MIN_PAGES = (32, 128)  # SWAP_CLUSTER_MAX
MOBILITY_TYPES = 3  # MIGRATE_PCPTYPES
THP_RAM = 512 << 20


def init_per_zone_wmark_min(kernel: Kernel, zones: list[RunZone], names: Sequence[str]) -> int:
    """Watermarks and reserves once all memory but the boot's own is there; min_free_kbytes.

    Args:
        kernel: what runs.
        zones: all zones; ``names`` are those of the kernel, in its order.
        names: see ``zones``.
    """
    kbytes = calculate_min_free_kbytes(kernel, zones, names)
    setup_per_zone_wmarks(kernel, zones, kbytes)
    setup_per_zone_lowmem_reserve(zones, names)
    return kbytes


def set_recommended_min_free_kbytes(
    kernel: Kernel, zones: list[RunZone], names: Sequence[str], min_free_kbytes: int
) -> int:
    """The watermarks that transparent huge pages need to find free blocks; min_free_kbytes.

    At least as much as ``min_free_kbytes``, what it is so far.
    """
    highest = gfp_zone(GFP_USER, names)
    populated = [zone for zone in zones if zone.present and zone.index <= highest]
    blocks = 2 + MOBILITY_TYPES * MOBILITY_TYPES
    pages = sum(blocks << zone.pageblock_order for zone in populated)
    least = min(pages, free_buffer_pages(zones, names) // 20) * (kernel.page_size >> 10)
    kbytes = max(min_free_kbytes, least)
    setup_per_zone_wmarks(kernel, zones, kbytes)
    return kbytes


def thp_enabled(machine: Machine) -> bool:
    """Whether transparent huge pages are in use from the start, always or when asked for.

    A machine of less than 512 MiB does without, whatever the command line says (hugepage_init).
    """
    config, got = machine.kernel.config, machine.handed_over
    if got is None or not config.enabled("TRANSPARENT_HUGEPAGE"):
        return False
    ram = got.totalram * machine.kernel.page_size + sum(area.size for area in machine.cma.areas)
    if ram < THP_RAM:
        return False
    asked = machine.params.last("transparent_hugepage")
    if asked in ("always", "madvise", "never"):
        return asked != "never"
    options = ("TRANSPARENT_HUGEPAGE_ALWAYS", "TRANSPARENT_HUGEPAGE_MADVISE")
    return any(config.enabled(option) for option in options)


def calculate_min_free_kbytes(kernel: Kernel, zones: list[RunZone], names: Sequence[str]) -> int:
    """``calculate_min_free_kbytes``: four times the root of lowmem's KiB, within bounds."""
    lowmem = free_buffer_pages(zones, names) * (kernel.page_size >> 10)
    return min(max(isqrt(lowmem * 16), MIN_FREE_KBYTES[0]), MIN_FREE_KBYTES[1])


def free_buffer_pages(zones: list[RunZone], names: Sequence[str]) -> int:
    """``nr_free_buffer_pages``: what is beyond the high watermarks, in zones that GFP_USER has."""
    highest = gfp_zone(GFP_USER, names)
    return sum(
        max(0, zone.managed - zone.marks[WMARK_HIGH]) for zone in zones if zone.index <= highest
    )


def setup_per_zone_wmarks(kernel: Kernel, zones: list[RunZone], min_free_kbytes: int) -> None:
    """``__setup_per_zone_wmarks``: each zone's share of the minimum, and two steps above it."""
    apart = {HIGHMEM}
    has_highmem = any(zone.name == HIGHMEM and zone.present for zone in zones)
    if has_highmem or kernel.release.has("movable_zone_is_not_lowmem"):
        apart.add(MOVABLE)
    pages_min = min_free_kbytes // (kernel.page_size >> 10)
    lowmem = sum(zone.managed for zone in zones if zone.name not in apart)
    for zone in zones:
        share = pages_min * zone.managed // max(lowmem, 1)
        least = share
        if zone.name in apart:
            low, high = HIGHMEM_MIN_PAGES
            least = min(max(zone.managed // 1024, low), high)
        step = max(share // 4, zone.managed * WATERMARK_SCALE_FACTOR // 10000)
        zone.marks[WMARK_MIN] = least
        zone.marks[WMARK_LOW] = least + step
        zone.marks[WMARK_HIGH] = least + 2 * step


def setup_per_zone_lowmem_reserve(zones: list[RunZone], names: Sequence[str]) -> None:
    """``setup_per_zone_lowmem_reserve``: a share of all zones above that would come down here."""
    for zone in zones:
        zone.reserve = [0] * len(names)
        ratio = LOWMEM_RESERVE_RATIO[zone.name]
        above = 0
        for index in range(zone.index + 1, len(names)):
            above += sum(z.managed for z in zones if (z.node, z.index) == (zone.node, index))
            if ratio and zone.managed:
                zone.reserve[index] = above // ratio


def total_reserve(zones: list[RunZone]) -> int:
    """``totalreserve_pages``: what is never counted as available (calculate_totalreserve_pages)."""
    return sum(
        min(max([0, *zone.reserve[zone.index :]]) + zone.marks[WMARK_HIGH], zone.managed)
        for zone in zones
    )
