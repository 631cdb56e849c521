"""What a kernel profile keeps of a kernel: the one list of symbols and options.

A profile is some KiB made from a configuration and a System.map. Whoever teaches the model to use
another symbol or option adds it here; the shipped profiles are then made anew by
``ttbr kernel describe``.
"""

from ttbr.kernel.parameters import parameters

SYMBOLS: tuple[str, ...] = (
    # Bounds of the image and of its segments (arch/*/kernel/vmlinux.lds.S).
    *("_text", "stext", "_stext", "_etext", "_sdata", "_data", "_edata", "_end"),
    *(
        "__start_rodata",
        "__start_rodata_section_aligned",
        "__end_rodata",
        "__start___ex_table",
        "__bss_start",
        "__bss_stop",
    ),
    *("__init_begin", "__init_end", "__inittext_begin", "__inittext_end", "__initdata_begin"),
    "__initdata_end",
    # Translation tables that are part of the image.
    *("swapper_pg_dir", "idmap_pg_dir", "reserved_pg_dir", "tramp_pg_dir", "init_pg_dir"),
    *("init_pg_end", "init_idmap_pg_dir", "init_idmap_pg_end", "bm_pte", "bm_pmd", "bm_pud"),
    r"(__pi_)?(idmap_|kpti_)?ptes(\.\d+)?",
    # Code and data with mappings of their own.
    *("__idmap_text_start", "__idmap_text_end", "__idmap_kpti_flag"),
    *("__entry_tramp_text_start", "__entry_tramp_text_end", "__turn_mmu_on"),
    *("__turn_mmu_on_end", "vectors"),
    # Functions that the compiler may have inlined: those that exist are named as the callers of
    # memblock (`Kernel.caller`).
    *("early_init_dt_reserve_memory", "__reserved_mem_reserve_reg", "fdt_reserve_elfcorehdr"),
    *("__reserved_mem_alloc_size", "__reserved_mem_alloc_in_range"),
    *("fdt_init_reserved_mem_node", "fdt_reserved_mem_save_node"),
    *("early_init_dt_alloc_reserved_memory_arch", "arm64_kfence_alloc_pool", "setup_machine_fdt"),
    *("memmap_alloc", "alloc_node_mem_map", "free_area_init_node", "setup_usemap"),
    "free_area_init_core",
    *("map_mem", "reserve_crashkernel", "arm_mm_memblock_reserve", "zynq_memory_init"),
    "reserve_regions",
    *("alloc_reserved_mem_array", "numa_init", "numa_alloc_distance", "numa_free_distance"),
    *("numa_reset_distance", "memblocks_present", "sparse_index_init", "sparse_index_alloc"),
    *("sparse_init_nid", "sparse_early_usemaps_alloc_pgdat_section", "sparse_buffer_init"),
    *(
        "sparse_buffer_fini",
        "sparse_buffer_free",
        "sparse_buffer_alloc",
        "__populate_section_memmap",
    ),
    *("__earlyonly_bootmem_alloc", "request_standard_resources", "reserve_crashkernel_low"),
    *("vmemmap_alloc_block", "contig_page_data"),
    # start_kernel() behind setup_arch(): per-CPU data, the parts of the image in the line about
    # memory, and functions that may be inlined.
    *("__per_cpu_start", "__per_cpu_end", "_sinittext", "_einittext", "__end_rodata"),
    *("setup_command_line", "print_unknown_bootoptions", "pcpu_build_alloc_info", "pcpu_fc_alloc"),
    *("pcpu_fc_free", "pcpu_free_alloc_info", "pcpu_alloc_alloc_info", "swiotlb_memblock_alloc"),
    *("alloc_node_page_ext", "free_memmap", "free_unused_memmap"),
    # What user space sees of the image: the page of zeros, the vDSO and its data.
    *("empty_zero_page", "vdso_start", "vdso_end", "vdso_data_store"),
    # What the command line may hold (`ttbr.kernel.parameters`).
    *(parameter.symbol for parameter in parameters()),
    # Functions whose sizes tell what was put into them (`Kernel.inlined`), and their neighbours.
    *("memblock_phys_free", "memblock_free", "__next_mem_pfn_range", "memblock_setclr_flag"),
    r"memblock_add_range(\.\w+)*",
)
"""Regular expressions that whole symbol names match."""

OPTIONS: tuple[str, ...] = (
    # Architecture, pages and addresses.
    *("ARM64", "ARM", "MMU", "CPU_BIG_ENDIAN", "NR_CPUS", "SMP", "ARM64_4K_PAGES"),
    *("ARM64_16K_PAGES", "ARM64_64K_PAGES", "ARM64_VA_BITS", "ARM64_PA_BITS"),
    *("ARM64_CONT_PTE_SHIFT", "ARM64_CONT_PMD_SHIFT", "ARM64_LPA2", "ARCH_FORCE_MAX_ORDER"),
    *("ARM64_L1_CACHE_SHIFT", "ARM_L1_CACHE_SHIFT"),
    # arm64 features with an effect on tables or registers.
    *("ARM64_HW_AFDBM", "ARM64_BTI_KERNEL", "ARM64_PTR_AUTH_KERNEL", "ARM64_E0PD", "ARM64_MTE"),
    *("CAVIUM_ERRATUM_27456", "FUJITSU_ERRATUM_010001", "UNMAP_KERNEL_AT_EL0", "RELOCATABLE"),
    *("RANDOMIZE_BASE", "RANDOMIZE_MODULE_REGION_FULL", "ARM64_MODULE_PLTS", "MODULES"),
    *("RODATA_FULL_DEFAULT_ENABLED", "UNWIND_PATCH_PAC_INTO_SCS", "KVM", "ACPI_APEI_GHES"),
    *("ARM_SDE_INTERFACE", "EFI", "ARM_GIC_V3_ITS"),
    # Boots through UEFI.
    *("EFI_SOFT_RESERVE", "EFI_EARLYCON", "SYSFB", "LOAD_UEFI_KEYS", "ACPI"),
    # Debugging and hardening that changes how memory is mapped.
    *("KASAN", "KASAN_GENERIC", "KASAN_SW_TAGS", "KASAN_HW_TAGS", "KFENCE"),
    *("KFENCE_NUM_OBJECTS", "KFENCE_SAMPLE_INTERVAL", "DEBUG_PAGEALLOC"),
    *(
        "DEBUG_PAGEALLOC_ENABLE_DEFAULT",
        "STRICT_KERNEL_RWX",
        "DEBUG_LL",
        "DEBUG_UART_PHYS",
        "DEBUG_UART_VIRT",
    ),
    "SERIAL_EARLYCON",
    # arm: layout, CPU and machine support.
    *("PAGE_OFFSET", "VMSPLIT_3G", "VMSPLIT_3G_OPT", "VMSPLIT_2G", "VMSPLIT_1G", "HIGHMEM"),
    *(
        "ARM_LPAE",
        "THUMB2_KERNEL",
        "CPU_V6",
        "CPU_V6K",
        "SMP_ON_UP",
        "ARM_PATCH_PHYS_VIRT",
        "PHYS_OFFSET",
    ),
    *("AUTO_ZRELADDR", "XIP_KERNEL", "KUSER_HELPERS", "CPU_V7M", "CPU_TTBR0_PAN", "IO_36"),
    *("CPU_32v3", "CPU_32v4", "CPU_32v4T", "CPU_32v5"),
    *("CPU_SW_DOMAIN_PAN", "CPU_USE_DOMAINS", "SWP_EMULATE", "PCI", "ARCH_REALTEK"),
    *("ARCH_MULTI_V7", "ARCH_BCM2835", "ARCH_KEYSTONE", "ARCH_HIGHBANK", "ARCH_EXYNOS"),
    *("ARCH_TEGRA", "ARCH_ZYNQ", "ARCH_REALVIEW", "ARCH_HISI", "SOC_IMX6Q"),
    # arm: what decides on machine descriptors with an effect on memory (arm_machines), and on
    # what they do.
    *("ARCH_OMAP3", "ARCH_OMAP4", "SOC_OMAP5", "SOC_AM33XX", "SOC_AM43XX", "SOC_DRA7XX"),
    *("SOC_TI81XX", "MACH_MVEBU_V7", "MACH_MMP2_DT", "MACH_MMP3_DT", "MACH_SPEAR1310"),
    *("MACH_SPEAR1340", "ARCH_S5PV210", "ARCH_RCAR_GEN2", "OMAP_INTERCONNECT_BARRIER"),
    *("SUSPEND", "NEED_MACH_IO_H", "DEBUG_ICEDCC", "DEBUG_SEMIHOSTING", "CPU_DCACHE_DISABLE"),
    *("CPU_ICACHE_DISABLE", "CPU_BPREDICT_DISABLE"),
    # Memory models, zones and allocators.
    *("ZONE_DMA", "ZONE_DMA32", "HUGETLB_PAGE", "TRANSPARENT_HUGEPAGE", "KEXEC_CORE", "CMA"),
    *("KEXEC", "CRASH_RESERVE"),
    *("MEMORY_HOTREMOVE", "NUMA", "SPARSEMEM", "MEMTEST", "MEMCG", "SLAB_OBJ_EXT"),
    *("NODES_SHIFT", "OF_NUMA", "SPARSEMEM_VMEMMAP", "SPARSEMEM_EXTREME", "FLATMEM"),
    *("MEMORY_HOTPLUG", "DEFERRED_STRUCT_PAGE_INIT", "DMA_NUMA_CMA", "DMA_PERNUMA_CMA"),
    *("CPUMASK_OFFSTACK", "NUMA_EMU"),
    *("CMA_AREAS", "DMA_CMA", "CMA_SIZE_MBYTES", "CMA_SIZE_PERCENTAGE", "CMA_SIZE_SEL_MBYTES"),
    *("CMA_SIZE_SEL_PERCENTAGE", "CMA_SIZE_SEL_MIN", "CMA_SIZE_SEL_MAX"),
    *("DMA_DECLARE_COHERENT", "DMA_RESTRICTED_POOL", "CRASH_DUMP"),
    # What else decides on the sizes of structures (ttbr.kernel.structs).
    *("64BIT", "ARCH_USES_PG_ARCH_2", "ARCH_USES_PG_ARCH_3", "ARCH_USES_PG_UNCACHED"),
    *("COMPACTION", "DEBUG_KOBJECT_RELEASE", "DEBUG_LOCK_ALLOC", "DEBUG_MUTEXES"),
    *("DEBUG_SPINLOCK", "HAVE_ALIGNED_STRUCT_PAGE", "IOMMU_SUPPORT", "KMSAN", "LOCKDEP"),
    *("LOCK_STAT", "LRU_GEN", "LRU_GEN_STATS", "LRU_GEN_WALKS_MMU", "MEMORY_FAILURE"),
    *("MEMORY_ISOLATION", "MUTEX_SPIN_ON_OWNER", "NUMA_BALANCING", "OF_DYNAMIC", "OF_KOBJ"),
    *("PAGE_EXTENSION", "PAGE_IDLE_FLAG", "PREEMPT_RT", "SHADOW_CALL_STACK"),
    *("SWAP", "UNACCEPTED_MEMORY", "ZONE_DEVICE", "ZSMALLOC", "ZSWAP"),
    # start_kernel(): per-CPU memory, the log, debugging and hardening, bounce buffers.
    *("MODULES", "RANDOM_KMALLOC_CACHES", "MEM_ALLOC_PROFILING", "PERCPU_STATS"),
    *("MEMCG_KMEM", "LOG_BUF_SHIFT", "LOG_CPU_MAX_BUF_SHIFT", "BOOT_CONFIG", "BOOT_CONFIG_FORCE"),
    *("INIT_ENV_ARG_LIMIT", "PAGE_OWNER", "PAGE_POISONING"),
    *("INIT_ON_ALLOC_DEFAULT_ON", "INIT_ON_FREE_DEFAULT_ON", "INIT_STACK_ALL_PATTERN"),
    *("INIT_STACK_ALL_ZERO", "GCC_PLUGIN_STRUCTLEAK_BYREF_ALL", "GCC_PLUGIN_STRUCTLEAK_BYREF"),
    *("GCC_PLUGIN_STRUCTLEAK_USER", "STACKDEPOT", "STACKDEPOT_ALWAYS_INIT", "DEBUG_KMEMLEAK"),
    *("SLUB_DEBUG", "DMA_BOUNCE_UNALIGNED_KMALLOC", "SWIOTLB", "DEFERRED_STRUCT_PAGE_INIT"),
    "SHUFFLE_PAGE_ALLOCATOR",
    # The running kernel: its own address space, processes and their tables.
    *("VMAP_STACK", "PTDUMP_DEBUGFS", "ARM_MODULE_PLTS", "STRICT_MODULE_RWX", "DEBUG_HIGHMEM"),
    *("DEBUG_KMAP_LOCAL", "DEBUG_KMAP_LOCAL_FORCE_MAP", "ARM_ERRATA_798181", "HIGHPTE"),
    *("TRANSPARENT_HUGEPAGE_ALWAYS", "TRANSPARENT_HUGEPAGE_MADVISE", "COMPAT_BRK", "COMPAT"),
    *("DEFAULT_MMAP_MIN_ADDR", "ARCH_MMAP_RND_BITS", "ARM64_CONTPTE", "ARM64_CNP"),
    *("ARM64_SW_TTBR0_PAN", "ARM64_PAN", "ARM64_TAGGED_ADDR_ABI", "SLUB", "SLAB", "SLUB_TINY"),
    *("SLAB_FREELIST_RANDOM", "SLUB_CPU_PARTIAL", "MEM_SOFT_DIRTY", "READ_ONLY_THP_FOR_FS"),
    *("ARM64_TLB_RANGE", "ARM64_ERRATUM_1024718", "PID_IN_CONTEXTIDR", "ARM_ERRATA_720789"),
    *("ARM64_BTI", "ARM64_EPAN", "LSM_MMAP_MIN_ADDR", "VDSO"),
    # Early consoles, whose registers the fixmap maps.
    *("SERIAL_AMBA_PL011_CONSOLE", "SERIAL_8250_CONSOLE", "SERIAL_8250_BCM2835AUX"),
    *("SERIAL_8250_OMAP", "SERIAL_8250_MT6577", "SERIAL_8250_UNIPHIER", "SERIAL_MESON_CONSOLE"),
    *("SERIAL_XILINX_PS_UART_CONSOLE", "SERIAL_MVEBU_CONSOLE", "SERIAL_IMX_EARLYCON"),
    *("SERIAL_FSL_LPUART_CONSOLE", "SERIAL_SAMSUNG_CONSOLE", "SERIAL_QCOM_GENI_CONSOLE"),
    *("SERIAL_MSM_CONSOLE", "SERIAL_SH_SCI_EARLYCON", "SERIAL_OWL_CONSOLE", "ACPI_SPCR_TABLE"),
    *("SERIAL_SPRD_CONSOLE", "SERIAL_STM32_CONSOLE"),
    # Boot.
    *("BLK_DEV_INITRD", "CMDLINE", "CMDLINE_EXTEND", "CMDLINE_FORCE", "FRAME_POINTER"),
)
"""Options without ``CONFIG_``; one that is listed here and has no value in a profile is off."""

STRUCTS: tuple[str, ...] = (
    *("page", "device_node", "property", "alias_prop", "reserved_mem", "resource", "mem_section"),
    *("mem_section_usage", "pglist_data"),
)
"""Structures whose sizes decide on what the boot allocates."""
