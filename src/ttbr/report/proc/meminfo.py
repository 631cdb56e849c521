"""/proc/meminfo: the kernel's totals, in KiB (fs/proc/meminfo.c, mm/show_mem.c: si_mem_available).

There is no swap, no block device and no writeback in the model: what they have is 0. What it does
not keep account of (lists of active and inactive pages, promised memory, kernel stacks, per-CPU
memory) is printed as ``?``.
"""

from __future__ import annotations

from ttbr.boot.free_area import CMA
from ttbr.boot.zones import HIGHMEM
from ttbr.run.alloc_flags import WMARK_LOW
from ttbr.run.kernel import RunningKernel
from ttbr.run.memory_counts import memory_counts
from ttbr.run.watermarks import total_reserve

UNKNOWN = "?"
Figures = dict[str, int | None]


def meminfo(kernel: RunningKernel) -> Figures:
    """The figures by name, in KiB (counts where the kernel has counts); None for unknown ones."""
    pages, config = kernel.pages, kernel.kernel.config
    kib = kernel.page_size >> 10
    total = sum(zone.managed for zone in pages.zones)
    pools = list(kernel.user.user.pools)
    counts = memory_counts(kernel)
    slab = counts.slab_reclaimable + counts.slab_unreclaimable
    huge = sum(pool.total << pool.order for pool in pools)
    found: Figures = {
        "MemTotal": total * kib,
        "MemFree": pages.free * kib,
        "MemAvailable": _available(kernel, counts.slab_reclaimable) * kib,
        "Buffers": 0,
        "Cached": counts.file * kib,
        "SwapCached": 0,
    }
    for name in ("Active", "Inactive", "Active(anon)", "Inactive(anon)"):
        found[name] = None
    found |= dict.fromkeys(("Active(file)", "Inactive(file)", "Unevictable", "Mlocked"), None)
    if config.enabled("HIGHMEM"):
        high = [zone for zone in pages.zones if zone.name == HIGHMEM]
        found["HighTotal"] = sum(zone.managed for zone in high) * kib
        found["HighFree"] = sum(zone.free for zone in high) * kib
        found["LowTotal"] = (total - sum(zone.managed for zone in high)) * kib
        found["LowFree"] = (pages.free - sum(zone.free for zone in high)) * kib
    found |= {"SwapTotal": 0, "SwapFree": 0}
    if config.enabled("ZSWAP"):
        found |= {"Zswap": 0, "Zswapped": 0}
    found |= {
        "Dirty": 0,
        "Writeback": 0,
        "AnonPages": (counts.anon - sum(pool.total for pool in pools)) * kib,
        "Mapped": counts.mapped * kib,
        "Shmem": counts.file * kib,
        "KReclaimable": counts.slab_reclaimable * kib,
        "Slab": slab * kib,
        "SReclaimable": counts.slab_reclaimable * kib,
        "SUnreclaim": counts.slab_unreclaimable * kib,
        "KernelStack": None,
    }
    if config.enabled("SHADOW_CALL_STACK"):
        found["ShadowCallStack"] = None
    tables = sum(mm.tables.bytes for mm in kernel.user.user.address_spaces)
    bounds = kernel.space.bounds
    found |= {
        "PageTables": tables >> 10,
        "SecPageTables": 0,
        "NFS_Unstable": 0,
        "Bounce": 0,
        "WritebackTmp": 0,
        "CommitLimit": (total - huge) // 2 * kib,
        "Committed_AS": None,
        "VmallocTotal": bounds.vmalloc_end - bounds.vmalloc_start >> 10,
        "VmallocUsed": counts.vmalloc * kib,
        "VmallocChunk": 0,
        "Percpu": None,
    }
    if config.enabled("MEMORY_FAILURE"):
        found["HardwareCorrupted"] = 0
    if config.enabled("TRANSPARENT_HUGEPAGE"):
        found["AnonHugePages"] = None
        for name in ("ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped"):
            found[name] = 0
    if config.enabled("CMA"):
        found["CmaTotal"] = sum(zone.cma for zone in pages.zones) * kib
        found["CmaFree"] = sum(zone.area.pages[CMA] for zone in pages.zones) * kib
    if config.enabled("UNACCEPTED_MEMORY"):
        found["Unaccepted"] = 0
    if pools:
        usual = next(pool for pool in pools if pool.size == kernel.user.user.pools.default)
        found |= {
            "HugePages_Total": usual.total,
            "HugePages_Free": len(usual.free),
            "HugePages_Rsvd": usual.reserved,
            "HugePages_Surp": 0,
            "Hugepagesize": usual.size >> 10,
            "Hugetlb": huge * kib,
        }
    return found


def meminfo_lines(figures: Figures) -> list[str]:
    """The figures as the kernel prints them."""
    lines = []
    for name, value in figures.items():
        label = f"{name}:".ljust(16)
        text = UNKNOWN if value is None else str(value)
        unit = "" if name.startswith("HugePages_") else " kB"
        lines.append(f"{label}{text.rjust(24 - len(label))}{unit}")
    return lines


def _available(kernel: RunningKernel, reclaimable: int) -> int:
    """``si_mem_available``: what could be had without swapping; all files here are tmpfs's."""
    pages = kernel.pages
    low = sum(zone.marks[WMARK_LOW] for zone in pages.zones)
    free = pages.free - total_reserve(pages.zones)
    return max(free + reclaimable - min(reclaimable // 2, low), 0)
