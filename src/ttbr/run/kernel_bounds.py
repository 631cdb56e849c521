"""Constants of the kernel's address space at run time.

Source: arch/arm64/include/asm/memory.h (THREAD_SHIFT, IOREMAP_MAX_ORDER), arch/arm/include/asm/
{memory,thread_info}.h, of 6.1 and 6.12; where modules go: `ttbr.kernel.arm64_modules`, and
arch/arm/kernel/module.c (6.12: arch/arm/mm/init.c, execmem_arch_setup).
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.kernel.arm64_geometry import PMD_LEVEL
from ttbr.kernel.arm64_modules import ModuleRegion, module_region
from ttbr.kernel.arm_layout import VMALLOC_END

MIN_THREAD_SIZE = 16 << 10
ARM_THREAD_SIZE = 8 << 10
ARM_IOREMAP_MAX_ORDER = 19  # include/linux/vmalloc.h: 128 pages
ARM_UP_IOREMAP_MAX_ORDER = 24  # without SMP and LPAE: supersections
PUD_LEVEL = 1


@dataclass(frozen=True, slots=True)
class KernelBounds:
    """Addresses and sizes in bytes; ends are exclusive.

    ``thread_size``: a task's kernel stack. ``ioremap_max_order``: log2 of the largest alignment
    that ioremap asks for. ``modules``: None without CONFIG_MODULES.
    """

    vmalloc_start: int
    vmalloc_end: int
    thread_size: int
    ioremap_max_order: int
    modules: ModuleRegion | None


def kernel_bounds(state: Arm64 | ArmBoot) -> KernelBounds:
    """The constants of a kernel after its boot."""
    return _arm64(state) if isinstance(state, Arm64) else _arm(state)


def _arm64(state: Arm64) -> KernelBounds:
    layout, kernel = state.layout, state.machine.kernel
    geometry = layout.geometry
    blocks = PUD_LEVEL if geometry.blocks_at(PUD_LEVEL) else PMD_LEVEL
    stack_pages = kernel.config.enabled("VMAP_STACK")
    thread = max(MIN_THREAD_SIZE, geometry.page_size if stack_pages else 0)
    return KernelBounds(
        vmalloc_start=layout.vmalloc_start,
        vmalloc_end=layout.vmalloc_end,
        thread_size=thread,
        ioremap_max_order=geometry.shift(blocks),
        modules=module_region(kernel, layout, state.kaslr_offset),
    )


def _arm(state: ArmBoot) -> KernelBounds:
    layout, config = state.layout, state.config
    start = state.vmalloc_start
    far = (start, VMALLOC_END) if config.enabled("ARM_MODULE_PLTS") else None
    near = (layout.modules_vaddr, layout.modules_end)
    sections = not config.enabled("SMP") and not layout.lpae
    return KernelBounds(
        vmalloc_start=start,
        vmalloc_end=VMALLOC_END,
        thread_size=ARM_THREAD_SIZE,
        ioremap_max_order=ARM_UP_IOREMAP_MAX_ORDER if sections else ARM_IOREMAP_MAX_ORDER,
        modules=ModuleRegion(near, far, random=False) if config.enabled("MODULES") else None,
    )
