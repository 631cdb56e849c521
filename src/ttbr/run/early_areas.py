"""The areas that the boot has put into the vmalloc list: the kernel image, static mappings.

Source: arch/arm64/mm/mmu.c (declare_kernel_vmas; 6.1: map_kernel_segment), arch/arm/mm/mmu.c
(iotable_init, vm_reserve_area_early).
"""

from __future__ import annotations

from ttbr.boot.arm.mapping import StaticVm
from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.map_kernel import SEGMENTS
from ttbr.boot.arm64.state import Arm64
from ttbr.kernel.arm_layout import PAGE_SIZE
from ttbr.run.vmap_area import Vm, VmStruct

ARM_MTYPE_SHIFT = 20
MEM_TYPES = (
    *("DEVICE", "DEVICE_NONSHARED", "DEVICE_CACHED", "DEVICE_WC", "UNCACHED", "CACHECLEAN"),
    *("MINICLEAN", "LOW_VECTORS", "HIGH_VECTORS", "MEMORY_RWX", "MEMORY_RW", "MEMORY_RO", "ROM"),
    *("MEMORY_RWX_NONCACHED", "MEMORY_RW_DTCM", "MEMORY_RWX_ITCM", "MEMORY_RW_SO"),
    "MEMORY_DMA_READY",
)
"""MT_… in the order of their numbers (asm/io.h, asm/mach/map.h)."""


def early_areas(state: Arm64 | ArmBoot) -> list[VmStruct]:
    """The areas of vmlist when vmalloc_init() reads it."""
    return _segments(state) if isinstance(state, Arm64) else _static(state)


def _segments(state: Arm64) -> list[VmStruct]:
    """The kernel image by its segments; only the last has a guard page."""
    page = state.layout.geometry.page_size
    head = state.machine.kernel.release.has("arm64_text_head_mapped")
    found = []
    for first, end, _, _ in SEGMENTS:
        span = state.segment("_text" if head and first == "_stext" else first, end)
        last = end == "_end"
        flags = Vm.MAP if last else Vm.MAP | Vm.NO_GUARD
        size = span.size + (page if last else 0)
        found.append(VmStruct(span.virt, size, flags, "paging_init", phys_addr=span.phys))
    return found


def _static(state: ArmBoot) -> list[VmStruct]:
    """The static_vms, and what is only kept free."""
    return [
        VmStruct(
            vm.address,
            vm.size,
            Vm.IOREMAP | _static_flags(vm),
            "iotable_init" if vm.mapped else "vm_reserve_area_early",
            phys_addr=vm.mapped.physical // PAGE_SIZE * PAGE_SIZE if vm.mapped else 0,
        )
        for vm in state.mapper.static_vms
    ]


def _static_flags(vm: StaticVm) -> Vm:
    """What arch/arm/mm/mm.h adds to a static_vm's flags."""
    if vm.mapped is None:
        return Vm.ARM_EMPTY_MAPPING
    return Vm.ARM_STATIC_MAPPING | Vm(MEM_TYPES.index(vm.mapped.type) << ARM_MTYPE_SHIFT)
