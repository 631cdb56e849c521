"""mdesc->reserve(): what some machines take out of memory before anything is allocated.

Source: arch/arm/mm/init.c (arm_memblock_steal), arch/arm/mach-{omap2,zynq,mvebu,realtek,shmobile}/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ttbr.boot.cma import cma_declare_contiguous, early_fixup
from ttbr.boot.memblock import ACCESSIBLE, BootPanic

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot

K = 1 << 10
M = 1 << 20
GIB_4 = 1 << 32


def arm_memblock_steal(boot: ArmBoot, size: int, align: int, function: str) -> int:
    """Allocate memory and take it away from the kernel for good; its physical address."""
    address = boot.memblock.phys_alloc_range(size, align, 0, ACCESSIBLE, "arm_memblock_steal")
    if not address:
        raise BootPanic(f"the kernel panics: 'Failed to steal {size:#010x} bytes at {function}'")
    boot.memblock.phys_free(address, size, "arm_memblock_steal")
    boot.memblock.remove(address, size, "arm_memblock_steal")
    return address


def omap_reserve(boot: ArmBoot) -> None:
    """A section for secure RAM's contents (88 KiB), a megabyte for the interconnect barrier."""
    section = boot.layout.section_size
    arm_memblock_steal(boot, section, section, "omap_secure_ram_reserve_memblock")
    if boot.config.enabled("OMAP_INTERCONNECT_BARRIER"):
        boot.dram_barrier = arm_memblock_steal(boot, M, M, "omap_barrier_reserve_memblock")


def zynq_memory_init(boot: ArmBoot) -> None:
    """Keep the first 512 KiB of the address space, where no DMA works, from being allocated."""
    if boot.phys_offset == 0:
        function = boot.machine.kernel.caller("zynq_memory_init", "arm_memblock_init", tail=1)
        boot.memblock.reserve(0, 512 * K, function)


def mvebu_memblock_reserve(boot: ArmBoot) -> None:
    """The first 10 KiB of each bank, over which the boot loader trains the RAM on resume."""
    if not boot.config.enabled("SUSPEND"):
        return
    for base, _ in _memory_entries(boot):
        boot.memblock.reserve(base, 10 * K, "mvebu_scan_mem")


def rtd1195_reserve(boot: ArmBoot) -> None:
    """The boot ROM and the peripherals are no RAM."""
    for base, size in ((0, 0xA800), (0x1800_0000, 0x7_0000), (0x1810_0000, 0x100_0000)):
        boot.memblock.remove(base, size, "rtd1195_memblock_remove")


def rcar_gen2_reserve(boot: ArmBoot) -> None:
    """256 MiB for DMA at the top of the highest bank below 4 GiB, as a contiguous area."""
    size = 256 * M
    base = found = 0
    for start, length in _memory_entries(boot):
        if start >= GIB_4:
            continue
        usable = min(length, GIB_4 - start)
        if usable >= size and start >= base:
            base, found = start + usable - size, size
    if not found or not boot.config.enabled("DMA_CMA"):
        return
    if boot.memblock.is_region_memory(base, found):
        area = cma_declare_contiguous(
            boot.machine,
            base=base,
            size=found,
            limit=0,
            fixed=True,
            name="reserved",
            highmem_start=boot.lowmem.limit,
        )
        if area is not None:
            early_fixup(boot.machine, area.base, area.size)


def _memory_entries(boot: ArmBoot) -> Iterator[tuple[int, int]]:
    """The (base, size) of every memory node anywhere in the tree, by the root's cell counts."""
    root = boot.tree.root
    for node in root.walk():
        kind = node.prop("device_type")
        if kind is None or kind.string != "memory":
            continue
        reg = node.prop("linux,usable-memory") or node.prop("reg")
        if reg is not None:
            yield from reg.pairs(root.address_cells, root.size_cells)


RESERVE: Mapping[str, Callable[[ArmBoot], None]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            omap_reserve,
            zynq_memory_init,
            mvebu_memblock_reserve,
            rtd1195_reserve,
            rcar_gen2_reserve,
        )
    }
)
"""The functions that rows of ttbr.kernel.arm_machines name in `reserve`."""
