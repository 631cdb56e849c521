"""paging_init(): the tables that the running kernel keeps, up to bootmem_init().

The functions stand in the kernel's order and carry its names.
Source: arch/arm/mm/{mmu,dma-mapping}.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.mapping import MapDesc
from ttbr.boot.arm.static_maps import map_io
from ttbr.boot.arm.tables import PHYS_PAGE_MASK
from ttbr.boot.memblock import BootPanic
from ttbr.kernel.arm_layout import (
    FDT_FIXED_BASE,
    FIX_EARLYCON_MEM_BASE,
    FIXADDR_START,
    FIXADDR_TOP,
    PAGE_SIZE,
    PCI_IO_SIZE,
    PCI_IO_VIRT_BASE,
    PMD_SIZE,
    VECTORS_BASE,
)
from ttbr.kernel.arm_prot import Memory, kernel_table

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot


def paging_init(boot: ArmBoot) -> None:
    """Everything of paging_init() that makes tables or takes memory before bootmem_init()."""
    prepare_page_table(boot)
    map_lowmem(boot)
    boot.memblock.current_limit = boot.lowmem.limit
    map_kernel(boot)
    dma_contiguous_remap(boot)
    early_fixmap_shutdown(boot)
    devicemaps_init(boot)
    kmap_init(boot)
    # tcm_init() maps nothing on ARMv7-A, whose cores have no tightly coupled memory.
    boot.zero_page = boot.mapper.early_alloc(PAGE_SIZE)


def prepare_page_table(boot: ArmBoot) -> None:
    """Forget what the early tables mapped, but for the first bank of memory."""
    tables, layout = boot.tables, boot.layout
    tables.pmd_clear_range(0, layout.modules_vaddr)
    tables.pmd_clear_range(layout.modules_vaddr, layout.page_offset)
    first = boot.memblock.memory.list[0]
    end = min(first.end, boot.lowmem.limit)
    cleared = boot.virtual(end)
    tables.pmd_clear_range(cleared, boot.vmalloc_start)
    if cleared < boot.symbol("_end"):
        boot.unknown(
            f"the first range of memory, {first.base:#x} to {first.end:#x}, ends before the kernel "
            "image does: prepare_page_table() clears mappings that it is running in, and the boot "
            "only goes on if the TLB still holds them (it stops there under QEMU)"
        )


def map_lowmem(boot: ArmBoot) -> None:
    """Map all lowmem but the sections of the kernel image, read-write and not executable."""
    kernel_start, kernel_end = boot.kernel_sec_start, boot.kernel_sec_end
    for bank_start, bank_end in boot.memblock.for_each_mem_range():
        start, end = bank_start, min(bank_end, boot.lowmem.limit)
        if start >= end:
            break
        if start > kernel_start and end < kernel_end:
            break  # the kernel covers all of it; what follows stays unmapped, too
        if start <= kernel_start <= end:
            if start < kernel_start and end > kernel_end:
                _map_lowmem(boot, start, kernel_start)
                _map_lowmem(boot, kernel_end, end)
                break  # the kernel's loop ends here even if there is more lowmem
            if kernel_start == start:
                start = kernel_end
            if kernel_end == end:
                end = kernel_start
        elif kernel_start < start < kernel_end < end:
            start = kernel_end
        elif start < kernel_start < end < kernel_end:
            end = kernel_start
        if start >= end:
            raise BootPanic(
                f"the RAM from {bank_start:#x} to {bank_end:#x} ends inside the kernel's sections "
                f"({kernel_start:#x} to {kernel_end:#x}): the kernel would map a range that ends "
                "before it begins"
            )
        _map_lowmem(boot, start, end)


def _map_lowmem(boot: ArmBoot, start: int, end: int) -> None:
    mapping = MapDesc(boot.virtual(start), start, end - start, "MEMORY_RW")
    boot.mapper.create_mapping(mapping, "map_lowmem")


def map_kernel(boot: ArmBoot) -> None:
    """Map the image: executable up to the section in which __init_end lies, the rest not."""
    section = boot.layout.section_size
    start, end = boot.kernel_sec_start, boot.kernel_sec_end
    executable_end = -(-boot.physical(boot.symbol("__init_end")) // section) * section
    executable = MapDesc(boot.virtual(start), start, executable_end - start, "MEMORY_RWX")
    boot.mapper.create_mapping(executable, "map_kernel")
    if executable_end == end:
        return
    rest = MapDesc(boot.virtual(executable_end), executable_end, end - executable_end, "MEMORY_RW")
    boot.mapper.create_mapping(rest, "map_kernel")


def dma_contiguous_remap(boot: ArmBoot) -> None:
    """Map contiguous areas in lowmem by pages, so that drivers can change single ones."""
    for base, size in boot.machine.cma.remap:
        end = min(base + size, boot.lowmem.limit)
        if base >= end:
            continue
        virtual = boot.virtual(base)
        boot.tables.pmd_clear_range(virtual, boot.virtual(end))
        mapping = MapDesc(virtual, base, end - base, "MEMORY_DMA_READY")
        boot.mapper.iotable_init([mapping], "dma_contiguous_remap")


def early_fixmap_shutdown(boot: ArmBoot) -> None:
    """Take the static fixmap table out; what it mapped for good (earlycon) gets a new one."""
    virtual = FIXADDR_TOP - FIX_EARLYCON_MEM_BASE * PAGE_SIZE
    boot.tables.pmd_clear(virtual)
    pte = boot.tables.linux_pte(boot.bm_pte, virtual)
    if pte and pte & boot.bits.mt_mask == boot.bits.mt[Memory.DEV_SHARED]:
        physical = pte & PHYS_PAGE_MASK
        mapping = MapDesc(virtual, physical, PAGE_SIZE, "DEVICE")
        boot.mapper.create_mapping(mapping, "early_fixmap_shutdown")


def devicemaps_init(boot: ArmBoot) -> None:
    """Clear what is above lowmem; map the device tree, the vectors and the machine's devices."""
    mapper, layout = boot.mapper, boot.layout
    vectors = mapper.early_alloc(2 * PAGE_SIZE)
    boot.unknown(f"the code in the vectors page at {vectors:#x} is not predicted")
    boot.tables.pmd_clear_range(boot.vmalloc_start, FIXADDR_TOP // PMD_SIZE * PMD_SIZE)

    sections = boot.placement.dtb & ~(layout.section_size - 1)
    tree = MapDesc(FDT_FIXED_BASE, sections, layout.fdt_fixed_size, "MEMORY_RO")
    mapper.create_mapping(tree, "devicemaps_init")

    user_readable = boot.config.enabled("KUSER_HELPERS")
    kind = "HIGH_VECTORS" if user_readable else "LOW_VECTORS"
    mapper.create_mapping(MapDesc(VECTORS_BASE, vectors, PAGE_SIZE, kind), "devicemaps_init")
    stubs = MapDesc(VECTORS_BASE + PAGE_SIZE, vectors + PAGE_SIZE, PAGE_SIZE, "LOW_VECTORS")
    mapper.create_mapping(stubs, "devicemaps_init")

    map_io(boot)
    if not layout.lpae:
        fill_pmd_gaps(boot)
    pci_reserve_io(boot)


def fill_pmd_gaps(boot: ArmBoot) -> None:
    """Reserve the unused half where a static mapping uses one of a pair of sections."""
    tables, mapper = boot.tables, boot.mapper
    section = boot.layout.section_size
    following = 0
    for vm in list(mapper.static_vms):
        if vm.address < following:
            continue
        if vm.address % PMD_SIZE == section and not tables.pmd(vm.address):
            mapper.vm_reserve_area_early(vm.address - section, section)
        end = vm.address + vm.size
        if end % PMD_SIZE == section and not tables.section(end):
            mapper.vm_reserve_area_early(end, section)
        following = -(-end // PMD_SIZE) * PMD_SIZE


def pci_reserve_io(boot: ArmBoot) -> None:
    """Keep vmalloc out of the PCI I/O window, unless the machine mapped it."""
    wanted = boot.config.enabled("PCI") and not boot.config.enabled("NEED_MACH_IO_H")
    if wanted and boot.mapper.static_vm_at(PCI_IO_VIRT_BASE) is None:
        boot.mapper.vm_reserve_area_early(PCI_IO_VIRT_BASE, PCI_IO_SIZE)


def kmap_init(boot: ArmBoot) -> None:
    """Make the empty tables of pkmap (HIGHMEM) and of the fixmap."""
    prot = kernel_table(boot.bits, boot.config)
    if boot.layout.pkmap_base is not None:
        boot.mapper.early_pte_alloc(boot.layout.pkmap_base, prot)
    boot.mapper.early_pte_alloc(FIXADDR_START, prot)
