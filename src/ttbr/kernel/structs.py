"""Structures that the boot allocates, as tables of fields, and their sizes in a kernel.

Sources: include/linux/{of,fwnode,kobject,sysfs,of_reserved_mem,ioport,mmzone,mm_types}.h, the
headers of the locks, drivers/of/of_private.h, of 6.1 and 6.12. A structure that differs between
the two stands in the table of each.
"""

from __future__ import annotations

from collections.abc import Mapping

from ttbr.kernel.kernel import Kernel
from ttbr.kernel.pageblock import max_page_order
from ttbr.kernel.struct_layout import CACHELINE, TWO_WORDS, Field, Sizes, Struct

F = Field

_LOCKS: dict[str, Struct] = {
    "list_head": (F("ptr", 2),),
    "lockdep_map": (
        F("ptr", 4),
        F("u8", 3),
        F("int", when="LOCK_STAT"),
        F("long", when="LOCK_STAT"),
    ),
    "raw_spinlock": (
        F("int"),
        F("int", 2, "DEBUG_SPINLOCK"),
        F("ptr", when="DEBUG_SPINLOCK"),
        F("lockdep_map", when="DEBUG_LOCK_ALLOC"),
    ),
    "rt_mutex_base": (F("raw_spinlock"), F("ptr", 3)),
    "spinlock": (
        F("raw_spinlock", when="!PREEMPT_RT"),
        F("rt_mutex_base", when="PREEMPT_RT"),
        F("lockdep_map", when="PREEMPT_RT&DEBUG_LOCK_ALLOC"),
    ),
    "seqcount": (F("int"), F("lockdep_map", when="DEBUG_LOCK_ALLOC")),
    "seqlock": (F("seqcount"), F("ptr", when="LOCKDEP|PREEMPT_RT"), F("spinlock")),
    "mutex": (
        F("long", when="!PREEMPT_RT"),
        F("raw_spinlock", when="!PREEMPT_RT"),
        F("int", when="!PREEMPT_RT&MUTEX_SPIN_ON_OWNER"),
        F("list_head", when="!PREEMPT_RT"),
        F("ptr", when="!PREEMPT_RT&DEBUG_MUTEXES"),
        F("rt_mutex_base", when="PREEMPT_RT"),
        F("lockdep_map", when="DEBUG_LOCK_ALLOC"),
    ),
    "wait_queue_head": (F("spinlock"), F("list_head")),
}

_DEVICE_TREE: dict[str, Struct] = {
    "fwnode_handle": (F("ptr", 3), F("list_head", 2), F("long")),
    "work_struct": (F("long"), F("list_head"), F("ptr"), F("lockdep_map", when="LOCKDEP")),
    "timer_list": (F("ptr", 2), F("long"), F("ptr"), F("int"), F("lockdep_map", when="LOCKDEP")),
    "delayed_work": (F("work_struct"), F("timer_list"), F("ptr"), F("int")),
    "lock_class_key": (F("ptr", 2, "LOCKDEP"),),
    "attribute": (
        *(F("ptr"), F("short"), F("u8", when="DEBUG_LOCK_ALLOC")),
        *(F("ptr", when="DEBUG_LOCK_ALLOC"), F("lock_class_key", when="DEBUG_LOCK_ALLOC")),
    ),
    "device_node": (
        *(F("ptr"), F("int"), F("ptr"), F("fwnode_handle"), F("ptr", 5)),
        *(F("kobject", when="OF_KOBJ"), F("long"), F("ptr")),
    ),
    "property": (
        *(F("ptr"), F("int"), F("ptr", 2), F("long", when="OF_DYNAMIC")),
        F("bin_attribute", when="OF_KOBJ"),
    ),
    "alias_prop": (F("list_head"), F("ptr", 2), F("int")),
    "resource": (F("phys", 2), F("ptr"), F("long", 2), F("ptr", 3)),
}

_MEMORY: dict[str, Struct] = {
    "page": (
        *(F("long", 6), F("int", 2), F("long", "page_extensions"), F("ptr", 2, "KMSAN")),
        *(F("int", "last_cpupids"), F(TWO_WORDS, when="HAVE_ALIGNED_STRUCT_PAGE")),
    ),
    "mem_section": (F("long"), F("ptr"), F("ptr", 2, "PAGE_EXTENSION")),
    "mem_section_usage": (F("ptr", 2), F("u64", "subsection_words", "SPARSEMEM_VMEMMAP")),
    "free_area": (F("list_head", "migrate_types"), F("long")),
    "zoneref": (F("ptr"), F("int")),
    "deferred_split": (F("spinlock"), F("list_head"), F("long")),
}

# What both generations of struct zone have from zone_start_pfn on.
_ZONE_MIDDLE: Struct = (
    F("long", 4),
    F("long", when="MEMORY_HOTPLUG"),
    F("long", when="CMA"),
    F("ptr"),
    F("long", when="MEMORY_ISOLATION"),
    F("seqlock", when="MEMORY_HOTPLUG"),
    F("int"),
    F(CACHELINE),
    F("free_area", "orders"),
)
_ZONE_END: Struct = (
    F("long"),
    F("spinlock"),
    F(CACHELINE),
    F("long"),
    F("long", 5, "COMPACTION|CMA"),
    F("int", 3, "COMPACTION"),
    F("u8", when="COMPACTION|CMA"),
    F("u8"),
    F(CACHELINE),
    F("long", "zone_stats"),
    F("long", 6, "NUMA"),
)
_PGDAT_START: Struct = (
    F("zone", "zones"),
    F("zoneref", "zonerefs"),
    F("int"),
    F("ptr", when="FLATMEM"),
    F("ptr", when="FLATMEM&PAGE_EXTENSION"),
    F("spinlock", when="MEMORY_HOTPLUG|DEFERRED_STRUCT_PAGE_INIT"),
    F("long", 3),
    F("int"),
    F("wait_queue_head", 6),
    F("int"),
    F("long"),
    F("mutex", when="MEMORY_HOTPLUG"),
    F("ptr"),
    F("int", 3),
    F("int", 2, "COMPACTION"),
    F("wait_queue_head", when="COMPACTION"),
    F("ptr", when="COMPACTION"),
    F("u8", when="COMPACTION"),
    F("long"),
    F("long", 2, "NUMA"),
    F(CACHELINE),
    F("long", when="DEFERRED_STRUCT_PAGE_INIT"),
    F("deferred_split", when="TRANSPARENT_HUGEPAGE"),
    F("int", when="NUMA_BALANCING"),
    F("long", when="NUMA_BALANCING"),
    F("int", 2, "NUMA_BALANCING"),
    F("long", when="NUMA_BALANCING"),
    F("lruvec"),
    F("long"),
    F("lru_gen_mm_walk", when="LRU_GEN"),
)
_LRU_GEN: Struct = (
    *(F("long", 3), F("long", 4), F("list_head", "generations"), F("long", "generations")),
    *(F("long", 8), F("long", 8), F("long", "lru_protected"), F("long", "lru_tiers")),
    *(F("long", "lru_tiers"), F("u8")),
)

_START_KERNEL: dict[str, Struct] = {
    # mm/percpu-internal.h, include/linux/percpu.h
    "pcpu_block_md": (F("int", 8),),
    "pcpu_alloc_info": (F("long", 7), F("int")),
    "pcpu_group_info": (F("int"), F("long"), F("ptr")),
    # kernel/printk/printk_ringbuffer.h, include/linux/dev_printk.h
    "prb_desc": (F("long", 3),),
    "printk_info": (F("u64", 2), F("short"), F("u8", 2), F("int"), F("u8", 64)),
    # kernel/dma/swiotlb.c
    "io_tlb_slot": (F("phys"), F("long"), F("int")),
    "io_tlb_area": (F("long"), F("int"), F("spinlock")),
    # mm/kfence/kfence.h
    "kfence_track": (F("int", 2), F("u64"), F("int"), F("long", 64)),
    "kfence_metadata": (
        *(F("list_head"), F("ptr", 2), F("raw_spinlock"), F("int"), F("long", 4)),
        # struct slabobj_ext is aligned to 8 bytes, also where its pointer has 4.
        *(F("kfence_track", 2), F("int"), F("u64", when="MEMCG")),
        F("ptr", when="MEMCG&MEM_ALLOC_PROFILING"),
    ),
}

# struct pcpu_chunk up to the bitmap at its end, by what lies between.
_CHUNK_START: Struct = (
    *(F("int", when="PERCPU_STATS"), F("long", when="PERCPU_STATS")),
    *(F("list_head"), F("int"), F("pcpu_block_md")),
)
_CHUNK_MIDDLE: Struct = (F("ptr", 3), F("u8", 2), F("int", 2))
_CHUNK_END: Struct = (F("int", 3), F("long", 0))
_PAGE_OWNER: Struct = (F("short", 2), F("int", 3), F("u64", 2), F("u8", 16), F("int", 2))

_KOBJECT: Struct = (F("ptr"), F("list_head"), F("ptr", 4), F("int"))
_RELEASE = F("delayed_work", when="DEBUG_KOBJECT_RELEASE")
_OLD: dict[str, Struct] = {
    "reserved_mem": (F("ptr"), F("long", 2), F("ptr"), F("phys", 2), F("ptr")),
    "pcpu_chunk": (
        *(*_CHUNK_START, F("ptr", 2), *_CHUNK_MIDDLE),
        *(F("ptr", when="MEMCG_KMEM"), *_CHUNK_END),
    ),
    "page_owner": _PAGE_OWNER,
    "kobject": (*_KOBJECT, _RELEASE, F("int")),
    "bin_attribute": (F("attribute"), F("long"), F("ptr", 5)),
    "zone": (
        *(F("long", 4), F("long", 2), F("long", "zones"), F("int", when="NUMA"), F("ptr", 3)),
        *(F("int", 2), F("ptr", when="!SPARSEMEM")),
        *_ZONE_MIDDLE,
        *_ZONE_END,
    ),
    "lru_gen_mm_state": (
        *(F("long"), F("ptr", 2), F("wait_queue_head"), F("ptr", 2)),
        *(F("long", "lru_mm_stats"), F("int")),
    ),
    "lru_gen_mm_walk": (
        *(F("ptr"), F("long", 2), F("int", "generations"), F("int", 6), F("int"), F("u8", 2)),
    ),
    "lru_gen": _LRU_GEN,
    "lruvec": (
        *(F("list_head", 5), F("spinlock"), F("long", 3), F("long", 2), F("long")),
        *(F("lru_gen", when="LRU_GEN"), F("lru_gen_mm_state", when="LRU_GEN")),
        F("ptr", when="MEMCG"),
    ),
    "pglist_data": (
        *_PGDAT_START,
        *(F(CACHELINE), F("ptr"), F("long", "node_stats"), F("ptr", when="NUMA")),
    ),
}

_NEW: dict[str, Struct] = {
    "reserved_mem": (F("ptr"), F("long"), F("ptr"), F("phys", 2), F("ptr")),
    "pcpu_chunk": (
        *(*_CHUNK_START, F("ptr"), F(CACHELINE), F("ptr"), *_CHUNK_MIDDLE),
        *(F("ptr", when="MEMCG|MEM_ALLOC_PROFILING"), *_CHUNK_END),
    ),
    "page_owner": (*_PAGE_OWNER, F("int", 2)),
    "kobject": (*_KOBJECT, F("int"), _RELEASE),
    "bin_attribute": (F("attribute"), F("long"), F("ptr", 6)),
    "zone": (
        *(F("long", 4), F("long", 3), F("long", "zones"), F("int", when="NUMA"), F("ptr", 3)),
        *(F("int", 3), F("ptr", when="!SPARSEMEM")),
        *_ZONE_MIDDLE,
        F("list_head", when="UNACCEPTED_MEMORY"),
        *_ZONE_END,
    ),
    "lru_gen_mm_state": (F("long"), F("ptr", 2), F("ptr", 2), F("long", "lru_mm_stats")),
    "lru_gen_mm_walk": (
        *(F("ptr"), F("long", 2), F("int", "generations"), F("int", 4), F("int"), F("u8", 2)),
    ),
    "lru_gen_memcg": (F("long"), F("long", 3), F("ptr", 24), F("spinlock")),
    "lru_gen": (*_LRU_GEN, F("u8", 2), F("ptr", 2)),
    "lruvec": (
        *(F("list_head", 5), F("spinlock"), F("long", 3), F("long", 2), F("long")),
        *(F("lru_gen", when="LRU_GEN"), F("lru_gen_mm_state", when="LRU_GEN&LRU_GEN_WALKS_MMU")),
        *(F("ptr", when="MEMCG"), F("long", when="ZSWAP")),
    ),
    "pglist_data": (
        *_PGDAT_START,
        F("lru_gen_memcg", when="LRU_GEN"),
        *(F(CACHELINE), F("ptr"), F("long", "node_stats"), F("ptr", when="NUMA")),
        F("long", 5, "MEMORY_FAILURE"),
    ),
}

STRUCTS_OF_6_1: Mapping[str, Struct] = _LOCKS | _DEVICE_TREE | _MEMORY | _START_KERNEL | _OLD
STRUCTS_OF_6_12: Mapping[str, Struct] = _LOCKS | _DEVICE_TREE | _MEMORY | _START_KERNEL | _NEW

# Array lengths as sums: a constant, and options that add to it.
_MIGRATE_TYPES = (4, {"CMA": 1, "MEMORY_ISOLATION": 1})
_ZONES = (2, {"ZONE_DMA": 1, "ZONE_DMA32": 1, "HIGHMEM": 1, "ZONE_DEVICE": 1})
_ZONE_STATS = (10, {"ZSMALLOC": 1})
_NEW_ZONE_STATS = (10, {"ZSMALLOC": 1, "UNACCEPTED_MEMORY": 1})
_NODE_STATS = (40, {"SHADOW_CALL_STACK": 1, "SWAP": 1, "NUMA_BALANCING": 2})
_NEW_NODE_STATS = (
    43,
    {"SHADOW_CALL_STACK": 1, "IOMMU_SUPPORT": 1, "SWAP": 1, "NUMA_BALANCING": 2},
)
_PAGE_FLAGS = (
    21,
    {"MMU": 1, "ARCH_USES_PG_UNCACHED": 1, "MEMORY_FAILURE": 1, "PAGE_IDLE_FLAG": 2, "64BIT": 1}
    | {"KASAN_HW_TAGS": 1},
)
_NEW_PAGE_FLAGS = (
    19,
    {"MMU": 1, "MEMORY_FAILURE": 1, "PAGE_IDLE_FLAG": 2, "ARCH_USES_PG_ARCH_2": 1}
    | {"ARCH_USES_PG_ARCH_3": 1},
)
_GENERATIONS, _MM_STATS, _NEW_MM_STATS = 4, 6, 4
_LAST_PID_BITS, _LRU_GEN_BITS, _KASAN_TAG_BITS = 8, 3, 8
SUBSECTION_SHIFT = 21


def struct_size(kernel: Kernel, name: str) -> int:
    """``sizeof(struct name)`` in a kernel, in bytes; KeyError if there is no table for it.

    What the kernel's own types say counts; else it is computed from the configuration.
    """
    return kernel.sizes.get(name) or struct_sizes(kernel).of(name)


def struct_sizes(kernel: Kernel) -> Sizes:
    """The sizes of a kernel's structures."""
    new = kernel.release.has("mm_structs_of_6_12")
    tables = STRUCTS_OF_6_12 if new else STRUCTS_OF_6_1
    wide = kernel.arch == "arm64"
    shift = kernel.config.integer("ARM64_L1_CACHE_SHIFT" if wide else "ARM_L1_CACHE_SHIFT", 6)
    return Sizes(
        structs=tables,
        config=kernel.config,
        word=8 if wide else 4,
        phys=kernel.phys_bits // 8,
        cacheline=1 << shift if kernel.config.enabled("SMP") else 1,
        counts=_counts(kernel, new=new),
    )


def max_numnodes(kernel: Kernel) -> int:
    """MAX_NUMNODES: how many nodes the kernel can tell apart."""
    return 1 << kernel.config.integer("NODES_SHIFT", 0)


def _counts(kernel: Kernel, *, new: bool) -> dict[str, int]:
    config = kernel.config
    zones = _sum(kernel, _ZONES)
    lists = 2 if config.enabled("NUMA") else 1
    history = _GENERATIONS if config.enabled("LRU_GEN_STATS") else 1
    return {
        "page_extensions": _page_extensions(kernel),
        "migrate_types": _sum(kernel, _MIGRATE_TYPES),
        "orders": max_page_order(kernel) + 1,
        "zones": zones,
        "zonerefs": lists * (max_numnodes(kernel) * zones + 1),
        "zone_stats": _sum(kernel, _NEW_ZONE_STATS if new else _ZONE_STATS),
        "node_stats": _sum(kernel, _NEW_NODE_STATS if new else _NODE_STATS),
        "generations": _GENERATIONS * 2 * zones,
        "lru_protected": history * 6,
        "lru_tiers": history * 8,
        "lru_mm_stats": history * (_NEW_MM_STATS if new else _MM_STATS),
        "last_cpupids": _last_cpupids(kernel, zones, new=new),
        "subsection_words": -(-(1 << (section_shift(kernel) - SUBSECTION_SHIFT)) // 64),
    }


def _page_extensions(kernel: Kernel) -> int:
    """Whether a page has a word for its cgroup or for the extensions of slab objects."""
    slabs = kernel.release.has("page_slab_obj_exts") and kernel.config.enabled("SLAB_OBJ_EXT")
    return int(kernel.config.enabled("MEMCG") or slabs)


def section_shift(kernel: Kernel) -> int:
    """SECTION_SIZE_BITS: log2 of the bytes of a section of sparse memory (asm/sparsemem.h)."""
    if kernel.arch == "arm":
        return 28
    return 29 if kernel.page_size == 1 << 16 else 27


def _last_cpupids(kernel: Kernel, zones: int, *, new: bool) -> int:
    """How many fields for the last CPU and process a page has: one where its flags are full.

    Source: include/linux/page-flags-layout.h, kernel/bounds.c.
    """
    config = kernel.config
    if not config.enabled("NUMA_BALANCING"):
        return 0
    cpus = config.integer("NR_CPUS", 1)
    cpu_bits = (cpus - 1).bit_length()
    used = (
        (zones - 1).bit_length()
        + (_LRU_GEN_BITS if config.enabled("LRU_GEN") else 0)
        + config.integer("NODES_SHIFT", 0)
        + (_KASAN_TAG_BITS if config.enabled("KASAN_HW_TAGS") else 0)
        + _sum(kernel, _NEW_PAGE_FLAGS if new else _PAGE_FLAGS)
    )
    return int(used + _LAST_PID_BITS + cpu_bits > 64)


def _sum(kernel: Kernel, terms: tuple[int, Mapping[str, int]]) -> int:
    base, options = terms
    return base + sum(value for name, value in options.items() if kernel.config.enabled(name))
