"""setup_arch from the end of paging_init to its own: device tree, nodes, memory map, zones.

Source: arch/arm64/kernel/setup.c, arch/arm64/mm/init.c (bootmem_init) of 6.1 and 6.12.
"""

from __future__ import annotations

from ttbr.boot.acpi import takes_acpi
from ttbr.boot.arm64.crash_area import (
    arch_reserve_crashkernel,
    is_deferred,
    is_possible,
    reserve_crashkernel,
)
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.vmemmap import Vmemmap
from ttbr.boot.arm64.zones import zone_sizes_init
from ttbr.boot.cma import dma_contiguous_reserve, dma_pernuma_cma_reserve
from ttbr.boot.hugetlb_cma import hugetlb_cma_reserve
from ttbr.boot.memblock import BootPanic
from ttbr.boot.memblock_dump import dump_all
from ttbr.boot.numa import arch_numa_init
from ttbr.boot.sparse import sparse_init
from ttbr.boot.unflatten import unflatten_device_tree
from ttbr.kernel.arm64_geometry import PMD_LEVEL
from ttbr.kernel.structs import struct_size

PUD_LEVEL = 1


def late_setup(state: Arm64) -> None:
    """From acpi_boot_table_init to the end of setup_arch."""
    machine = state.machine
    if not takes_acpi(machine):
        unflatten_device_tree(machine)
    bootmem_init(state)
    request_standard_resources(state)


def bootmem_init(state: Arm64) -> None:
    """``bootmem_init``: nodes, areas for huge pages, the memory map, zones, late areas."""
    machine = state.machine
    config, memblock = machine.kernel.config, machine.memblock
    dram_end = memblock.end_of_dram()
    if config.enabled("MEMTEST") and machine.params.given("memtest"):
        machine.unknowns.append("memtest=: its lines, and memory that fails it, are not predicted")
    arch_numa_init(machine)
    geometry = state.layout.geometry
    huge = geometry.size(PMD_LEVEL)
    gigantic = geometry.size(PUD_LEVEL) if geometry.blocks_at(PUD_LEVEL) else None
    hugetlb_cma_reserve(machine, gigantic or geometry.cont_size(PMD_LEVEL), huge, dram_end)
    dma_pernuma_cma_reserve(machine, dram_end)
    kvm_hyp_reserve(state)
    if config.enabled("SPARSEMEM"):
        sparse_init(
            machine, Vmemmap(state), physmem_bits=state.phys_mask_shift, goal=state.memstart
        )
    zone_sizes_init(state)
    dma_contiguous_reserve(machine, state.dma_limit, dram_end)
    if machine.kernel.release.has("arm64_crashkernel_generic"):
        arch_reserve_crashkernel(state)
    elif is_possible(state) and is_deferred(state):
        reserve_crashkernel(state)
    dump_all(memblock)


def kvm_hyp_reserve(state: Arm64) -> None:
    """``kvm_hyp_reserve``: only a kernel started at EL2 that is to protect its guests takes any."""
    machine = state.machine
    protected = machine.params.last("kvm-arm.mode") == "protected"
    if machine.kernel.config.enabled("KVM") and protected:
        machine.unknowns.append(
            "kvm-arm.mode=protected: the memory that a kernel started at EL2 keeps for its "
            "hypervisor is not predicted; the kernel is taken to be started at EL1"
        )


def request_standard_resources(state: Arm64) -> None:
    """``request_standard_resources``: one array, of a struct resource for every memory region."""
    machine, memblock = state.machine, state.machine.memblock
    size = len(memblock.memory.list) * struct_size(machine.kernel, "resource")
    function = machine.kernel.caller("request_standard_resources", "setup_arch")
    if not memblock.alloc(size, memblock.cache_line, function):
        raise BootPanic(
            f"the kernel panics: 'request_standard_resources: Failed to allocate {size} bytes'"
        )
