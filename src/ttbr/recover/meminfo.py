"""/proc/meminfo (fs/proc/meminfo.c), line by line, from the counters that an image's kernel has.

A line that the kernel would print and whose value nothing in the image tells is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ttbr.recover.huge_pages import HugePages, find_huge_pages
from ttbr.recover.per_cpu import counter_sum, cpu_offsets

if TYPE_CHECKING:
    from ttbr.recover.kernel_memory import KernelMemory

_K = 1024
_VM_ALLOC = 2
_VMALLOC_GAP, _VMALLOC_END = 8 << 20, 0xFF80_0000  # arm: asm/pgtable.h
_MOST_INODES = 1 << 16

# Sums of counters, by their names in vmstat_text
_COUNTERS = {
    "MemFree": ("nr_free_pages",),
    "Active": ("nr_active_anon", "nr_active_file"),
    "Inactive": ("nr_inactive_anon", "nr_inactive_file"),
    "Active(anon)": ("nr_active_anon",),
    "Inactive(anon)": ("nr_inactive_anon",),
    "Active(file)": ("nr_active_file",),
    "Inactive(file)": ("nr_inactive_file",),
    "Unevictable": ("nr_unevictable",),
    "Mlocked": ("nr_mlock",),
    "Dirty": ("nr_dirty",),
    "Writeback": ("nr_writeback",),
    "AnonPages": ("nr_anon_pages",),
    "Mapped": ("nr_mapped",),
    "Shmem": ("nr_shmem",),
    "KReclaimable": ("nr_slab_reclaimable", "nr_kernel_misc_reclaimable"),
    "Slab": ("nr_slab_reclaimable", "nr_slab_unreclaimable"),
    "SReclaimable": ("nr_slab_reclaimable",),
    "SUnreclaim": ("nr_slab_unreclaimable",),
    "PageTables": ("nr_page_table_pages",),
    "SecPageTables": ("nr_sec_page_table_pages",),
    "Bounce": ("nr_bounce",),
    "WritebackTmp": ("nr_writeback_temp",),
    "AnonHugePages": ("nr_anon_transparent_hugepages",),
    "ShmemHugePages": ("nr_shmem_hugepages",),
    "ShmemPmdMapped": ("nr_shmem_pmdmapped",),
    "FileHugePages": ("nr_file_hugepages",),
    "FilePmdMapped": ("nr_file_pmdmapped",),
    "CmaFree": ("nr_free_cma",),
}

# Lines that not all kernels print, and a function that is only in those that do: the symbols of
# code are in every kallsyms.
_HUGE_COUNTS = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")
_ONLY_WITH = {
    **dict.fromkeys(("Zswap", "Zswapped"), "zswap_enabled_param_set"),
    "HardwareCorrupted": "memory_failure",
    **dict.fromkeys(("AnonHugePages", "ShmemHugePages", "ShmemPmdMapped"), "khugepaged"),
    **dict.fromkeys(("FileHugePages", "FilePmdMapped"), "khugepaged"),
    **dict.fromkeys(("CmaTotal", "CmaFree"), "cma_alloc"),
    **dict.fromkeys((*_HUGE_COUNTS, "Hugepagesize", "Hugetlb"), "hugetlb_report_meminfo"),
}
_HIGH = ("HighTotal", "HighFree", "LowTotal", "LowFree")
_ORDER = (
    *("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active"),
    *("Inactive", "Active(anon)", "Inactive(anon)", "Active(file)", "Inactive(file)"),
    *("Unevictable", "Mlocked", *_HIGH, "SwapTotal", "SwapFree", "Zswap", "Zswapped", "Dirty"),
    *("Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable"),
    *("SUnreclaim", "KernelStack", "PageTables", "SecPageTables", "NFS_Unstable", "Bounce"),
    *("WritebackTmp", "CommitLimit", "Committed_AS", "VmallocTotal", "VmallocUsed"),
    *("VmallocChunk", "Percpu", "HardwareCorrupted", "AnonHugePages", "ShmemHugePages"),
    *("ShmemPmdMapped", "FileHugePages", "FilePmdMapped", "CmaTotal", "CmaFree"),
    *(*_HUGE_COUNTS, "Hugepagesize", "Hugetlb"),
)


@dataclass(frozen=True)
class Meminfo:
    """``kib``: lines with a size, in KiB; ``counts``: numbers of huge pages. In the kernel's order.

    ``unknown``: lines that this kernel prints and whose value is not found.
    """

    kib: dict[str, int]
    counts: dict[str, int]
    unknown: tuple[str, ...] = ()


def read_meminfo(memory: KernelMemory) -> Meminfo:
    """What the kernel would print now."""
    found = _Lines(memory).values()
    symbols = memory.linux.symbols
    high = "HighMem" in memory.zones.name
    known: dict[str, int] = {}
    unknown: list[str] = []
    for name in _ORDER:
        only_with = _ONLY_WITH.get(name)
        if (name in _HIGH and not high) or (only_with and only_with not in symbols):
            continue
        value = found.get(name)
        if value is None:
            unknown.append(name)
        else:
            known[name] = value
    counts = {name: value for name, value in known.items() if name in _HUGE_COUNTS}
    kib = {name: value for name, value in known.items() if name not in counts}
    return Meminfo(kib, counts, tuple(unknown))


class _Lines:
    """Computes the lines: numbers of pages first, then KiB."""

    def __init__(self, memory: KernelMemory) -> None:
        self.memory = memory
        self.linux = memory.linux
        self.kernel = memory.linux.memory
        self.page = memory.linux.page_size
        self.pools: tuple[HugePages, ...] = ()
        if _ONLY_WITH["Hugetlb"] in self.linux.symbols:
            self.pools = find_huge_pages(self.linux.image_data[1], self.linux.word, self.page)

    def values(self) -> dict[str, int | None]:
        """The lines by name; None for those that are not known."""
        counters = self.memory.counters
        pages: dict[str, int | None] = {
            name: _sum([counters.get(part) for part in parts]) for name, parts in _COUNTERS.items()
        }
        pages |= self._totals() | self._swap() | self._caches(pages)
        pages["MemAvailable"] = self._available(pages)
        pages["CommitLimit"] = self._commit_limit(pages)
        pages["Committed_AS"] = self._committed()
        pages["VmallocUsed"] = self._vmalloc_used()
        pages["Percpu"] = _product(
            self._number("pcpu_nr_populated", 4), self._number("pcpu_nr_units", 4)
        )
        pages["CmaTotal"] = self._cma_total()
        pages["HardwareCorrupted"] = self._number("num_poisoned_pages")
        pages["Zswapped"] = self._number("zswap_stored_pages", 4)
        kib = {name: _product(value, self.page // _K) for name, value in pages.items()}
        kib["Zswap"] = _divided(self._number("zswap_pool_total_size", 8), _K)
        kib["KernelStack"] = counters.get("nr_kernel_stack")
        kib["VmallocTotal"] = _divided(self._vmalloc_total(), _K)
        # No kernel since 5.10 counts these any more.
        kib |= {"NFS_Unstable": 0, "VmallocChunk": 0}
        return kib | self._huge()

    def _number(self, symbol: str, size: int = 0) -> int | None:
        at = self.linux.symbol(symbol)
        return None if at is None else self.kernel.number(at, size)

    def _totals(self) -> dict[str, int | None]:
        """Pages that the buddy allocator manages, and those of highmem."""
        zones = self.memory.zones
        if not len(zones) or "zone.managed_pages" in zones.unknown:
            return {}
        managed = zones.managed.astype(np.int64)
        high = np.array([name == "HighMem" for name in zones.name])
        found: dict[str, int | None] = {
            "MemTotal": int(managed.sum()),
            "HighTotal": int(managed[high].sum()),
            "LowTotal": int(managed[~high].sum()),
        }
        if "zone.vm_stat" not in zones.unknown:
            found["HighFree"] = int(zones.free[high].sum())
            found["LowFree"] = int(zones.free[~high].sum())
        return found

    def _swap(self) -> dict[str, int | None]:
        if self.linux.kallsyms is not None and "si_swapinfo" not in self.linux.kallsyms:
            return {"SwapTotal": 0, "SwapFree": 0, "SwapCached": 0}
        return {
            "SwapTotal": self._number("total_swap_pages"),
            "SwapFree": self._number("nr_swap_pages"),
            "SwapCached": self.memory.counters.get("nr_swapcached"),
        }

    def _caches(self, pages: Mapping[str, int | None]) -> dict[str, int | None]:
        """Buffers are the pages of block devices; what else is a file's is Cached."""
        buffers = self._buffers()
        swap = self._swap()["SwapCached"]
        file = self.memory.counters.get("nr_file_pages")
        if buffers is None or swap is None or file is None:
            return {"Buffers": buffers}
        return {"Buffers": buffers, "Cached": max(0, file - swap - buffers)}

    def _buffers(self) -> int | None:
        """``nr_blockdev_pages``: pages of the inodes of the block devices' own file system."""
        if self.linux.kallsyms is not None and "nr_blockdev_pages" not in self.linux.kallsyms:
            return 0
        layouts, kernel = self.linux.layouts, self.kernel
        inodes = layouts.offset("super_block", "s_inodes")
        members = layouts.offsets("inode", "i_sb_list", "i_mapping")
        counted = layouts.offset("address_space", "nrpages")
        block = self._number("blockdev_superblock")
        if inodes is None or members is None or counted is None or not block:
            return None
        total, at = 0, kernel.number(block + inodes)
        for _ in range(_MOST_INODES):
            if at == block + inodes:
                return total
            if at is None or at < members[0]:
                break
            mapping = kernel.number(at - members[0] + members[1])
            total += kernel.number(mapping + counted) or 0 if mapping else 0
            at = kernel.number(at)
        return None

    def _available(self, pages: Mapping[str, int | None]) -> int | None:
        """``si_mem_available``: what is free above the reserves, and most of what can be freed."""
        zones = self.memory.zones
        free, reserve = pages["MemFree"], self._reserve()
        cache = _sum([pages["Active(file)"], pages["Inactive(file)"]])
        slab = pages["KReclaimable"]
        if None in (free, reserve, cache, slab) or "zone._watermark" in zones.unknown:
            return None
        assert free is not None and reserve is not None and cache is not None and slab is not None
        low = int(zones.watermarks[:, 1].sum())
        kept = min(cache // 2, low) + min(slab // 2, low)
        return max(0, free - reserve + cache + slab - kept)

    def _reserve(self) -> int | None:
        """totalreserve_pages, which page_alloc.c adds up from the zones."""
        known = self._number("totalreserve_pages")
        if known is not None:
            return known
        zones, layouts = self.memory.zones, self.linux.layouts
        at = layouts.offset("zone", "lowmem_reserve")
        if (
            at is None
            or not len(zones)
            or {"zone._watermark", "zone.managed_pages"} & {*zones.unknown}
        ):
            return None
        number = np.unique(zones.node, return_counts=True)[1]
        kinds = int(number.max())
        reserve, there = self.kernel.words(zones.address + np.uint64(at), kinds, self.linux.word)
        if not there.all():
            return None
        kind = np.concatenate([np.arange(count) for count in number.tolist()])
        reserve[np.arange(kinds) < kind[:, None]] = 0
        wanted = reserve.max(axis=1) + zones.watermarks[:, 2]
        return int(np.minimum(wanted, zones.managed).sum())

    def _commit_limit(self, pages: Mapping[str, int | None]) -> int | None:
        """``vm_commit_limit``: a part of RAM that is not in huge pages, and all of swap."""
        fixed, ratio = (
            self._number("sysctl_overcommit_kbytes"),
            self._number("sysctl_overcommit_ratio", 4),
        )
        total, swap = pages.get("MemTotal"), pages["SwapTotal"]
        if None in (fixed, ratio, total, swap):
            return None
        assert fixed is not None and ratio is not None and total is not None and swap is not None
        huge = sum(pool.total * pool.size for pool in self.pools) // self.page
        allowed = fixed // (self.page // _K) if fixed else (total - huge) * ratio // 100
        return allowed + swap

    def _committed(self) -> int | None:
        """``vm_memory_committed``."""
        at, table = self.linux.symbol("vm_committed_as"), self.linux.symbol("__per_cpu_offset")
        if at is None:
            return None
        room = 1 if table is None else self.linux.room(table) // self.linux.word
        offsets = [] if table is None else cpu_offsets(self.kernel, table, room)
        found = counter_sum(self.kernel, self.linux.layouts, at, offsets)
        return None if found is None else max(0, found)

    def _cma_total(self) -> int | None:
        known, zones = self._number("totalcma_pages"), self.memory.zones
        at = self.linux.layouts.offset("zone", "cma_pages")
        if known is not None or at is None or not len(zones):
            return known
        pages, there = self.kernel.words(zones.address + np.uint64(at), 1, self.linux.word)
        if not there.all() or (pages[:, 0] > zones.managed).any():
            return None
        return int(pages.sum())

    def _vmalloc_total(self) -> int | None:
        """Bytes of the vmalloc area; on arm it begins behind lowmem and a gap."""
        info = self.linux.vmcoreinfo
        start, end = info.number("VMALLOC_START"), info.number("VMALLOC_END")
        if start is not None and end is not None:
            return end - start
        lowmem = self._number("high_memory")
        if lowmem is None or self.linux.word == 8:
            return None
        return _VMALLOC_END - (lowmem + _VMALLOC_GAP) // _VMALLOC_GAP * _VMALLOC_GAP

    def _vmalloc_used(self) -> int | None:
        known, areas = self._number("nr_vmalloc_pages"), self.memory.vmalloc
        if known is not None or areas is None or areas.unknown:
            return known
        return int(areas.pages[areas.flags & np.uint64(_VM_ALLOC) != 0].sum())

    def _huge(self) -> dict[str, int | None]:
        """Huge pages: the default pool's, and the sizes of all."""
        total = sum(pool.total * pool.size for pool in self.pools) // _K
        index = self._number("default_hstate_idx", 4)
        if not self.pools or (index is None and len(self.pools) > 1):
            return {"Hugetlb": total if self.pools else None}
        first = self.pools[index if index is not None and index < len(self.pools) else 0]
        numbers = (first.total, first.free, first.reserved, first.surplus)
        sizes = {"Hugepagesize": first.size // _K, "Hugetlb": total}
        return {**dict(zip(_HUGE_COUNTS, numbers, strict=True)), **sizes}


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _product(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one * other


def _divided(value: int | None, by: int) -> int | None:
    return None if value is None else value // by
