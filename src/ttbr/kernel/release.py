"""Kernel releases, and the behaviours that changed between them.

An algorithm never compares version numbers: it asks ``release.has("reserved_mem_two_pass")``. The
one table of such names is `BEHAVIOURS`; a behaviour that changed in a stable series, too, says so
in `Behaviour.stable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ttbr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_SERIES = ((6, 1), (6, 12))
"""The series whose sources the tables were read from (6.1.192 and 6.12.117)."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A kernel release. ``text`` is how it was spelled and takes no part in comparisons."""

    major: int
    minor: int
    sublevel: int
    text: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Release:
        """Read ``6.12.117``, ``6.1`` or ``6.1.0-50-arm64``.

        Distributions put their own number behind ``6.1.0``: the sublevel of such a name is 0 here,
        and only the kernel's configuration or banner tells the true one. `InputError` if the text
        does not begin with a version.
        """
        found = re.match(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,5}))?", text.strip())
        if found is None:
            raise InputError(f"'{text}' is not a kernel release (expected something like 6.12.117)")
        major, minor, sublevel = (int(part or 0) for part in found.groups())
        return cls(major, minor, sublevel, text.strip())

    def has(self, behaviour: str) -> bool:
        """Whether a behaviour of `BEHAVIOURS` holds in this release; KeyError for other names."""
        return BEHAVIOURS[behaviour].holds(self)

    @property
    def assumption(self) -> str | None:
        """What is taken for granted if this release's own series has not been read, or None."""
        if (self.major, self.minor) in READ_SERIES:
            return None
        read = " and ".join(f"{major}.{minor}" for major, minor in READ_SERIES)
        return (
            f"kernel {self} is predicted by the rules of {read}; "
            "where they differ, by the release that is said to have changed them"
        )

    def __str__(self) -> str:
        return self.text or f"{self.major}.{self.minor}.{self.sublevel}"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way in which releases differ, and those in which it holds.

    It holds from ``since`` (None: always) up to, but without, ``until`` (None: still), both
    mainline releases as (major, minor). ``stable`` speaks for single series instead: the first
    sublevel of the series in which the stable tree had it.
    """

    meaning: str
    source: str
    since: tuple[int, int] | None = None
    until: tuple[int, int] | None = None
    stable: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def holds(self, release: Release) -> bool:
        """Whether the release behaves so."""
        series = (release.major, release.minor)
        if series in self.stable:
            return release.sublevel >= self.stable[series]
        return (self.since is None or series >= self.since) and (
            self.until is None or series < self.until
        )


_COMMON = {
    "memblock_merge_near": Behaviour(
        "adding or flagging a range merges neighbours only around it, not in the whole array",
        "mm/memblock.c: memblock_merge_regions",
        since=(6, 3),
    ),
    "memblock_empty_entry": Behaviour(
        "an array without regions has one of no bytes, which is printed",
        "mm/memblock.c: struct memblock",
        until=(6, 10),
    ),
    "memblock_full_panics": Behaviour(
        "a full region array that may not grow yet stops the boot; before, the range was dropped",
        "mm/memblock.c: memblock_double_array",
        since=(6, 7),
    ),
    "hugetlb_tail_pages_later": Behaviour(
        "a gigantic page that memblock gave is marked RSRV_NOINIT but for its first page: hugetlb "
        "makes the struct pages of the rest itself",
        "mm/hugetlb.c: __alloc_bootmem_huge_page",
        since=(6, 7),
    ),
    "reserved_mem_two_pass": Behaviour(
        "elfcorehdr first, 'size' nodes placed as soon as all 'reg' nodes are reserved, "
        "/memreserve/ last, 'reg' nodes initialised when the tree is unflattened; before: "
        "/memreserve/, 'reg' nodes, elfcorehdr, then everything placed and initialised by address",
        "drivers/of/fdt.c: early_init_fdt_scan_reserved_mem",
        since=(6, 12),
    ),
    "reserved_mem_reported": Behaviour(
        "every reserved region that is accepted is listed in the log, with its size and kind",
        "drivers/of/of_reserved_mem.c: fdt_init_reserved_mem_node",
        since=(6, 3),
    ),
    "reserved_mem_grows": Behaviour(
        "'reg' nodes beyond the 64th are kept, too: the array is allocated for as many as counted",
        "drivers/of/of_reserved_mem.c: alloc_reserved_mem_array; kernels 6.12.95 (without) and "
        "6.12.107 (with) were seen",
        since=(6, 13),
        stable=MappingProxyType({(6, 12): 107}),
    ),
    "alloc_ranges_near_reserved": Behaviour(
        "a 'size' node with alloc-ranges is placed bottom-up or top-down, next to a region that "
        "touches the start or the end of the range",
        "drivers/of/of_reserved_mem.c: __reserved_mem_alloc_in_range",
        since=(6, 5),
    ),
    "cma_above_4g_first": Behaviour(
        "an area that may lie above 4 GiB is tried there before highmem; before, the second try "
        "replaced, and leaked, what had been found in highmem",
        "mm/cma.c: cma_declare_contiguous_nid",
        since=(6, 3),
    ),
    "hugetlb_cma_gigantic_aligned": Behaviour(
        "areas for gigantic pages are aligned to those; before, to huge pages",
        "mm/hugetlb.c: hugetlb_cma_reserve",
        since=(6, 10),
    ),
    "cma_areas_plus_one": Behaviour(
        "there is room for one area more than CONFIG_CMA_AREAS says",
        "include/linux/cma.h: MAX_CMA_AREAS",
        until=(6, 9),
    ),
    "max_order_inclusive": Behaviour(
        "CONFIG_ARCH_FORCE_MAX_ORDER is the largest order; before, it was one more",
        "include/linux/mmzone.h: MAX_ORDER, MAX_PAGE_ORDER",
        since=(6, 4),
    ),
    "pageblock_by_thp": Behaviour(
        "without hugetlb, a page block is as long as a transparent huge page, not as the largest "
        "order",
        "include/linux/pageblock-flags.h: pageblock_order",
        since=(6, 9),
    ),
    "kernel_pages_are_free_memory": Behaviour(
        "hash tables are sized by the memory that is free when zones are made; before, by the "
        "present pages of zones less what describes them",
        "mm/mm_init.c: calc_nr_kernel_pages; 6.1 mm/page_alloc.c: free_area_init_core",
        since=(6, 10),
    ),
    "crashkernel_below_ram": Behaviour(
        "a crashkernel= that asks for as much as there is RAM (arm: lowmem) is refused in silence",
        "kernel/crash_reserve.c: parse_crashkernel",
        since=(6, 11),
    ),
    "crash_reserve_option": Behaviour(
        "CONFIG_CRASH_RESERVE says whether memory for a crash kernel is kept; before, CONFIG_KEXEC",
        "arch/arm/kernel/setup.c: reserve_crashkernel",
        since=(6, 9),
    ),
    "page_slab_obj_exts": Behaviour(
        "struct page has a word for the extensions of slab objects where it has none for cgroups",
        "include/linux/mm_types.h: page._unused_slab_obj_exts",
        since=(6, 10),
    ),
    "mm_structs_of_6_12": Behaviour(
        "struct zone, pglist_data, lruvec, page, kobject and bin_attribute have the fields of "
        "6.12; before, those of 6.1",
        "include/linux/mmzone.h, mm_types.h, kobject.h, sysfs.h",
        since=(6, 12),
    ),
    "numa_memblks": Behaviour(
        "nodes are collected, cleaned and merged before memblock hears of them, reserved ranges "
        "get nodes too, and the distance table is made when first needed; before, each range goes "
        "to memblock as it is met, and the table is made first",
        "mm/numa_memblks.c; 6.1 drivers/base/arch_numa.c",
        since=(6, 12),
    ),
    "of_numa_last_node_counts": Behaviour(
        "a tree whose last memory node has no numa-node-id describes no nodes",
        "drivers/of/of_numa.c: of_numa_parse_memory_nodes",
        since=(6, 11),
    ),
    "cma_fixup_at_reserve": Behaviour(
        "a reusable shared-dma-pool node is recorded for the arm remap when it is reserved, "
        "not when it is initialised",
        "drivers/of/of_reserved_mem.c: __reserved_mem_reserve_reg",
        since=(6, 12),
    ),
    "vmap_nodes": Behaviour(
        "areas of the vmalloc space that were freed wait in pools by size, one set for each CPU of "
        "a 64-bit kernel, before their addresses are free for all",
        "mm/vmalloc.c: vmap_init_nodes, node_alloc",
        since=(6, 9),
    ),
}

_EFI = {
    "acpi_numa_quiet": Behaviour(
        "ACPI tables without nodes are no line of the log",
        "drivers/base/arch_numa.c: arch_acpi_numa_init",
        since=(6, 12),
    ),
    "efi_screen_info_table": Behaviour(
        "the frame buffer comes by a configuration table, which is only looked at where the kernel "
        "can use it; before, the EFI stub wrote it into the kernel",
        "drivers/firmware/efi/efi-init.c: init_screen_info",
        since=(6, 3),
    ),
    "efi_esrt_in_acpi": Behaviour(
        "the table of updatable firmware may also lie in ACPI's memory",
        "drivers/firmware/efi/esrt.c: efi_esrt_init",
        since=(6, 5),
    ),
}

_PROCESSES = {
    "smaps_ksm": Behaviour(
        "/proc/PID/smaps has a line for pages that are merged (KSM)",
        "fs/proc/task_mmu.c: __show_smap",
        since=(6, 6),
    ),
    "heap_overlaps_brk": Behaviour(
        "an area is [heap] if it overlaps [start_brk, brk); before, if it touches it",
        "include/linux/mm.h: vma_is_initial_heap; 6.1 fs/proc/task_mmu.c: show_map_vma",
        since=(6, 6),
    ),
}

_ARM64 = {
    "arm64_early_map_in_c": Behaviour(
        "C code maps the kernel image before start_kernel, into swapper_pg_dir, and identity maps "
        "come from static pages; before, head.S maps blocks and paging_init maps all anew",
        "arch/arm64/kernel/pi/map_kernel.c, arch/arm64/mm/mmu.c: paging_init",
        since=(6, 9),
    ),
    "arm64_vmemmap_at_top": Behaviour(
        "vmemmap, PCI I/O and the fixmap lie at fixed distances below the top of the space, "
        "vmemmap sized by struct page itself",
        "arch/arm64/include/asm/memory.h",
        since=(6, 9),
    ),
    "arm64_modules_2g": Behaviour(
        "2 GiB of module space; before, 128 MiB",
        "arch/arm64/include/asm/memory.h: MODULES_VSIZE",
        since=(6, 5),
    ),
    "arm64_fdt_mapped_by_pages": Behaviour(
        "the device tree is mapped by pages in the fixmap, which has as many last-level tables as "
        "it spans; before, by blocks where the early map has them, and one table",
        "arch/arm64/mm/fixmap.c; 6.1 mm/mmu.c: fixmap_remap_fdt",
        since=(6, 4),
    ),
    "arm64_fixmap_p4d": Behaviour(
        "the fixmap has a slot for the second of five levels",
        "arch/arm64/include/asm/fixmap.h: FIX_P4D",
        since=(6, 9),
    ),
    "arm64_btmap_extra_page": Behaviour(
        "a boot-time ioremap slot of the fixmap is one page longer than 256 KiB",
        "arch/arm64/include/asm/fixmap.h: NR_FIX_BTMAPS",
        since=(7, 2),
        stable=MappingProxyType({(6, 1): 189, (6, 12): 111}),
    ),
    "arm64_kernel_pages_dirty": Behaviour(
        "PAGE_KERNEL and its relatives carry the software dirty bit",
        "arch/arm64/include/asm/pgtable-prot.h: _PAGE_KERNEL",
        since=(7, 0),
        stable=MappingProxyType({(6, 1): 167, (6, 12): 78}),
    ),
    "arm64_text_head_mapped": Behaviour(
        "[_text, _stext) is mapped as data, reserved, and part of the text's linear alias",
        "arch/arm64/kernel/pi/map_kernel.c, mm/init.c: arm64_memblock_init, mm/mmu.c: map_mem",
        since=(6, 18),
        stable=MappingProxyType({(6, 12): 54}),
    ),
    "arm64_map_mem_whole_pages": Behaviour(
        "a memory range is rounded inwards to pages before it enters the linear map",
        "arch/arm64/mm/mmu.c: map_mem",
        since=(7, 2),
        stable=MappingProxyType({(6, 12): 117}),
    ),
    "arm64_sect_normal_write": Behaviour(
        "blocks of the virtual memory map carry the write bit (DBM)",
        "arch/arm64/include/asm/pgtable-prot.h: PROT_SECT_NORMAL",
        since=(6, 2),
    ),
    "arm64_zone_dma_exact": Behaviour(
        "ZONE_DMA ends where the devices' reach ends; before, at the power of two above that, and "
        "at the end of memory if all of it lies above 4 GiB",
        "arch/arm64/mm/init.c: zone_sizes_init",
        since=(6, 12),
    ),
    "arm64_crashkernel_generic": Behaviour(
        "crashkernel= without a place is tried in low memory, then in high with a second, low area",
        "kernel/crash_reserve.c: reserve_crashkernel_generic",
        since=(6, 4),
    ),
    "arm64_crashkernel_by_pages": Behaviour(
        "crashkernel= makes the linear map page-granular where a DMA zone is configured, and "
        "keeps the area out of it where none is",
        "6.1 arch/arm64/mm/mmu.c: map_mem, mm/init.c: arm64_memblock_init",
        until=(6, 4),
    ),
    "arm64_kaslr_scaled": Behaviour(
        "the KASLR offset scales the seed to the middle half of the vmalloc area; before, it "
        "takes the seed's low bits",
        "arch/arm64/kernel/pi/kaslr_early.c",
        since=(6, 7),
    ),
    "arm64_software_overrides": Behaviour(
        "early code takes nokaslr, rodata=off, arm64.nolva and hVHE for overrides of features; "
        "before, it looked for the text nokaslr, and there were none of the others",
        "arch/arm64/kernel/pi/idreg-override.c; 6.1 kernel/pi/kaslr_early.c",
        since=(6, 9),
    ),
    "arm64_any_offset_is_kaslr": Behaviour(
        "a kernel that is not 2 MiB aligned counts as randomised, and so gets non-global mappings",
        "6.1 arch/arm64/kernel/cpufeature.c: kaslr_requires_kpti",
        until=(6, 3),
    ),
}

_ARM64_TLB = {
    "arm64_tlbi_range_from_large": Behaviour(
        "invalidation by range begins with the largest operations and ends with an odd page; "
        "before, it began with an odd page and the smallest, of at most 31 units",
        "arch/arm64/include/asm/tlbflush.h: __flush_tlb_range_op",
        since=(6, 8),
    ),
    "arm64_tlbi_range_whole": Behaviour(
        "as many pages as one operation can name are invalidated by range; before, the whole ASID",
        "arch/arm64/include/asm/tlbflush.h: __flush_tlb_range",
        since=(6, 10),
    ),
    "arm64_reserved_ttbr0_without_isb": Behaviour(
        "a context switch writes the reserved TTBR0 and the ASID with one ISB behind both",
        "arch/arm64/mm/context.c: cpu_do_switch_mm, cpu_set_reserved_ttbr0_nosync",
        since=(6, 12),
    ),
}

_ARM: dict[str, Behaviour] = {
    "arm_ttbr0_pan": Behaviour(
        "LPAE kernels can keep out of user memory by disabling TTBR0 (the default), and then TTBR1 "
        "holds all of swapper_pg_dir; before, only the kernel's part where VMSPLIT allows it",
        "arch/arm/Kconfig: CPU_TTBR0_PAN; asm/pgtable-3level-hwdef.h: TTBR1_OFFSET",
        since=(6, 10),
    ),
    "vm_struct_requested_size": Behaviour(
        "vm_struct records the size that was asked for: on 32-bit ARM a static_vm has 44 bytes, "
        "before that 40 (with LPAE 48 in either case)",
        "include/linux/vmalloc.h: vm_struct",
        since=(6, 15),
        stable=MappingProxyType({(6, 12): 29, (6, 14): 7}),
    ),
}

_USER_SPACE = {
    "anon_large_folios": Behaviour(
        "anonymous memory can have huge pages of sizes below a PMD's, each with its own setting",
        "mm/memory.c: alloc_anon_folio",
        since=(6, 8),
    ),
    "anon_mappings_huge_aligned": Behaviour(
        "a mapping of anonymous memory that is a multiple of a PMD's size begins where one does",
        "mm/mmap.c: __get_unmapped_area",
        since=(6, 7),
    ),
    "mprotect_restores_write": Behaviour(
        "mprotect() makes clean pages and huge ones writable at once where no fault is needed; "
        "before, only dirty small ones",
        "mm/mprotect.c: can_change_pte_writable; mm/huge_memory.c: change_huge_pmd",
        since=(6, 2),
    ),
}

_ENTRIES = {
    "arm64_present_invalid_is_ng": Behaviour(
        "entries that are present for Linux but not valid have bit 11 (nG) set, before: bit 58",
        "arch/arm64/include/asm/pgtable-prot.h: PTE_PRESENT_INVALID; 6.1: PTE_PROT_NONE",
        since=(6, 10),
    ),
    "arm_swap_exclusive": Behaviour(
        "a swap entry of arm has a bit for exclusive pages, bit 7, and its offset above it",
        "arch/arm/include/asm/pgtable.h: __SWP_OFFSET_SHIFT",
        since=(6, 3),
    ),
    "swap_markers_always": Behaviour(
        "the highest swap type is a PTE marker; before, it was a swap-in error, and whether there "
        "were markers depended on the configuration",
        "include/linux/swap.h: SWP_PTE_MARKER_NUM",
        since=(6, 2),
    ),
    "arm64_ptdump_from_run_time_offset": Behaviour(
        "the dump of the kernel's tables starts at the PAGE_OFFSET of the CPU, not at that of the "
        "configuration, and calls a PMD that is folded into the root PMD, not PGD",
        "arch/arm64/mm/ptdump.c: ptdump_init, kernel_pg_levels",
        since=(6, 9),
    ),
}

_START_KERNEL = {
    "arm_low_memory_is_dma_memory": Behaviour(
        "on arm what asks for low memory gets some that the DMA zone has; before, below 4 GiB",
        "arch/arm/include/asm/dma.h: ARCH_LOW_ADDRESS_LIMIT",
        since=(6, 12),
    ),
    "percpu_early_20k": Behaviour(
        "20 KiB of per-CPU memory are kept for allocations before slab, not 12",
        "include/linux/percpu.h: PERCPU_DYNAMIC_EARLY_SIZE",
        since=(6, 2),
    ),
    "zonelists_in_mm_core_init": Behaviour(
        "zonelists are built after the early hash tables; before, as soon as CPUs have memory",
        "mm/mm_init.c: mm_core_init; 6.1 init/main.c: start_kernel",
        since=(6, 4),
    ),
    "fallback_skips_memoryless": Behaviour(
        "a node without memory is not the first in its own fallback order",
        "mm/page_alloc.c: find_next_best_node",
        since=(6, 7),
    ),
    "swiotlb_areas_limited": Behaviour(
        "areas that a small bounce buffer has no room for are not allocated",
        "kernel/dma/swiotlb.c: swiotlb_init_remap",
        since=(6, 5),
    ),
    "kfence_metadata_from_memblock": Behaviour(
        "what describes KFENCE's objects comes from memblock; before, it was a static array",
        "mm/kfence/core.c: kfence_alloc_pool_and_metadata",
        since=(6, 6),
    ),
    "stackdepot_buckets_are_lists": Behaviour(
        "a bucket of the stack depot is a list head, not zeroed, and the kernel says that it makes "
        "the table",
        "lib/stackdepot.c: stack_depot_early_init",
        since=(6, 9),
    ),
    "slab_debug_parameter": Behaviour(
        "slub_debug= has a second name, slab_debug=",
        "mm/slub.c: setup_slub_debug",
        since=(6, 9),
    ),
    "reserved_regions_get_nodes": Behaviour(
        "at the hand-over reserved regions are split at the bounds of memory regions and get nodes",
        "mm/memblock.c: memmap_init_reserved_pages",
        since=(6, 5),
    ),
    "memory_line_at_the_end": Behaviour(
        "the line about memory is printed when all pages are initialised and drivers come next; "
        "before, as soon as the page allocator has its memory",
        "mm/mm_init.c: page_alloc_init_late; 6.1 init/main.c: mm_init",
        since=(6, 11),
    ),
}

_PAGE_ALLOC = {
    "free_by_page_blocks": Behaviour(
        "a free block is always on the lists of its page block's type: what is freed goes in page "
        "block by page block, and page blocks that merge get one type; before, lists and types "
        "could differ",
        "mm/page_alloc.c: split_large_buddy, __free_one_page, try_to_steal_block",
        since=(6, 10),
    ),
    "fallback_claims_before_it_steals": Behaviour(
        "an allocation that its own type cannot serve first claims a whole page block of another, "
        "and else takes the smallest block that will do; before, the largest was taken, and moved "
        "to the lists of the type that asked",
        "mm/page_alloc.c: __rmqueue_claim, __rmqueue_steal; 6.1 __rmqueue_fallback; kernel "
        "6.12.117 (with) was seen",
        since=(6, 15),
        stable=MappingProxyType({(6, 12): 24}),
    ),
    "highatomic_counts_free_pages": Behaviour(
        "of the page blocks for high-order atomic allocations only the free pages are kept from "
        "others, and there are none where one would be more than 1% of the zone",
        "mm/page_alloc.c: reserve_highatomic_pageblock, __zone_watermark_unusable_free; kernel "
        "6.12.117 (with) was seen",
        since=(6, 13),
        stable=MappingProxyType({(6, 12): 24}),
    ),
    "slab_order_by_waste": Behaviour(
        "the order of slabs starts from the number of objects that is wanted, and accepts ever "
        "more waste; before, fewer objects were accepted before half a slab was wasted",
        "mm/slub.c: calculate_order",
        since=(6, 7),
    ),
    "arm64_small_kmalloc": Behaviour(
        "kmalloc() has objects of 8 bytes and more; before, of 128",
        "arch/arm64/include/asm/cache.h: ARCH_KMALLOC_MINALIGN",
        since=(6, 5),
    ),
    "zoneinfo_promo": Behaviour(
        "zoneinfo has the watermark for promotion between tiers of memory",
        "mm/vmstat.c: zoneinfo_show_print",
        since=(6, 12),
    ),
    "movable_zone_is_not_lowmem": Behaviour(
        "the movable zone counts like highmem for watermarks: it has no share in min_free_kbytes",
        "mm/page_alloc.c: __setup_per_zone_wmarks",
        since=(6, 4),
    ),
}

BEHAVIOURS: Mapping[str, Behaviour] = MappingProxyType(
    _COMMON
    | _EFI
    | _PROCESSES
    | _ARM64
    | _ARM64_TLB
    | _ARM
    | _USER_SPACE
    | _ENTRIES
    | _START_KERNEL
    | _PAGE_ALLOC
)
"""Every named difference between releases. Adding one is adding a row to a table above."""
