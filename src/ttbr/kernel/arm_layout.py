"""The kernel's virtual address layout on 32-bit ARM, from its configuration and symbols.

Source: arch/arm/include/asm/{memory,pgtable,pgtable-2level,pgtable-3level,fixmap,highmem}.h,
arch/arm/kernel/{head.S,vmlinux.lds.S}, arch/arm/mm/dump.c of 6.1 and 6.12 (the same in both).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.errors import InputError

if TYPE_CHECKING:
    from ttbr.kernel.config import Config
    from ttbr.kernel.kernel import Kernel

K = 1 << 10
M = 1 << 20
PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT

PMD_SIZE = 2 * M  # two L1 entries with short descriptors, one PMD entry with LPAE
VMALLOC_OFFSET = 8 * M
VMALLOC_END = 0xFF80_0000
FDT_FIXED_BASE = 0xFF80_0000
FIXADDR_START = 0xFFC8_0000
FIXADDR_END = 0xFFF0_0000
FIXADDR_TOP = FIXADDR_END - PAGE_SIZE
VECTORS_BASE = 0xFFFF_0000
PCI_IO_VIRT_BASE = 0xFEE0_0000
PCI_IO_SIZE = 2 * M
FIX_EARLYCON_MEM_BASE = 0  # the only permanent fixed address (asm/fixmap.h)

# PAGE_OFFSET where .config does not hold the value itself (arch/arm/Kconfig, PAGE_OFFSET).
VMSPLIT = {
    "VMSPLIT_3G": 0xC000_0000,
    "VMSPLIT_3G_OPT": 0xB000_0000,
    "VMSPLIT_2G": 0x8000_0000,
    "VMSPLIT_1G": 0x4000_0000,
}

# Configurations in which the boot takes other steps than those modelled here.
NOT_COVERED = {
    "XIP_KERNEL": "a kernel that executes in place has its text in the module area",
    "KASAN": "KASAN's shadow memory has tables of its own",
    "CPU_BIG_ENDIAN": "big-endian kernels write their tables in big-endian order",
    "CPU_V7M": "ARMv7-M has no MMU",
    **dict.fromkeys(
        ("CPU_32v3", "CPU_32v4", "CPU_32v4T", "CPU_32v5"),
        "tables of ARMv5 and older, without extended page tables, are not modelled",
    ),
}


@dataclass(frozen=True, slots=True)
class ArmLayout:
    """Virtual addresses (32-bit) and sizes of one kernel configuration; ends are exclusive.

    `text_offset` is the distance of `_text` from PAGE_OFFSET, hence from PHYS_OFFSET too.
    `pkmap_base` is None without HIGHMEM.
    """

    lpae: bool
    page_offset: int
    text_offset: int
    modules_vaddr: int
    modules_end: int
    pkmap_base: int | None

    @property
    def section_shift(self) -> int:
        """log2 of what one first-level (LPAE: second-level) leaf maps."""
        return 21 if self.lpae else 20

    @property
    def section_size(self) -> int:
        """Bytes that one section maps."""
        return 1 << self.section_shift

    @property
    def pg_dir_size(self) -> int:
        """Bytes of swapper_pg_dir: 16 KiB; LPAE one PGD page and four PMD pages."""
        return 0x5000 if self.lpae else 0x4000

    @property
    def swapper_pg_dir(self) -> int:
        """Virtual address of swapper_pg_dir (head.S)."""
        return self.page_offset + self.text_offset - self.pg_dir_size

    @property
    def task_size(self) -> int:
        """End of user space."""
        return self.page_offset - 16 * M

    @property
    def fdt_fixed_size(self) -> int:
        """Bytes of the window through which the device tree stays mapped."""
        return 2 * self.section_size

    def vmalloc_start(self, high_memory: int) -> int:
        """VMALLOC_START, which lies 8 to 16 MiB above `high_memory` (a virtual address)."""
        return (high_memory + VMALLOC_OFFSET) & ~(VMALLOC_OFFSET - 1)


def arm_layout(kernel: Kernel) -> ArmLayout:
    """The layout of a 32-bit ARM kernel; InputError for configurations that are not covered."""
    config = kernel.config
    for option, reason in NOT_COVERED.items():
        if config.enabled(option):
            raise InputError(f"CONFIG_{option} is not covered: {reason}")
    if not config.enabled("MMU"):
        raise InputError("a 32-bit ARM kernel without CONFIG_MMU has no page tables")
    base = page_offset(config)
    lpae = config.enabled("ARM_LPAE")
    highmem = config.enabled("HIGHMEM")
    modules = 8 * M if config.enabled("THUMB2_KERNEL") else 16 * M
    layout = ArmLayout(
        lpae=lpae,
        page_offset=base,
        text_offset=_text_offset(kernel, base),
        modules_vaddr=base - modules,
        modules_end=base - PMD_SIZE if highmem else base,
        pkmap_base=base - PMD_SIZE if highmem else None,
    )
    linked = kernel.symbols.get("swapper_pg_dir", layout.swapper_pg_dir)
    if linked != layout.swapper_pg_dir:
        raise InputError(
            f"symbol swapper_pg_dir is {linked:#x}, but _text and the configuration put it at "
            f"{layout.swapper_pg_dir:#x}: do configuration and symbols belong together?"
        )
    return layout


def page_offset(config: Config) -> int:
    """PAGE_OFFSET, by the choice of VMSPLIT where there is one; InputError if it is not known."""
    for option, value in VMSPLIT.items():
        if config.enabled(option):
            return value
    stated = config.integer("PAGE_OFFSET")
    if stated is not None:
        return stated
    raise InputError(
        "the configuration has neither CONFIG_PAGE_OFFSET nor a CONFIG_VMSPLIT_ choice"
    )


def _text_offset(kernel: Kernel, page_offset: int) -> int:
    """TEXT_OFFSET as the kernel was linked; `_text` is the first thing of the image."""
    text = kernel.symbols.get("_text", kernel.symbols.get("stext"))
    if text is None:
        raise InputError("the symbols have neither _text nor stext: TEXT_OFFSET is unknown")
    offset = text - page_offset
    if offset & 0xFFFF != 0x8000 or not 0 < offset < 32 * M:
        raise InputError(
            f"_text is linked at {text:#x}, which is not 0x8000 above a multiple of 64 KiB "
            f"from PAGE_OFFSET {page_offset:#x} on: do configuration and symbols belong together?"
        )
    return offset


def markers(kernel: Kernel, high_memory: int) -> list[tuple[int, str]]:
    """The regions that the kernel's own table dump names: (first virtual address, name).

    `high_memory` is the virtual address at which lowmem ends (arch/arm/mm/dump.c).
    """
    layout = arm_layout(kernel)
    return [
        (layout.modules_vaddr, "Modules"),
        (layout.page_offset, "Kernel Mapping"),
        (layout.vmalloc_start(high_memory), "vmalloc() Area"),
        (FDT_FIXED_BASE, "FDT Area"),
        (FIXADDR_START, "Fixmap Area"),
        (VECTORS_BASE, "Vectors"),
        (VECTORS_BASE + 2 * PAGE_SIZE, "Vectors End"),
    ]
