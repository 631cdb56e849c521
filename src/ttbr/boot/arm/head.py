"""head.S: the first page table, and the registers with which the MMU goes on.

Source: arch/arm/kernel/head.S (stext, __create_page_tables, __enable_mmu), arch/arm/mm/
{proc-v6,proc-v7,proc-v7-2level,proc-v7-3level}.S (__v6_setup, __v7_setup, v7_ttb_setup,
v6_crval, v7_crval).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.mem_types import io_mmuflags, mm_mmuflags
from ttbr.kernel.arm_layout import FDT_FIXED_BASE
from ttbr.kernel.arm_prot import (
    MAIR0,
    MAIR1,
    NMRR,
    PRRR,
    TTB_FLAGS_SMP,
    TTB_FLAGS_UP,
    TTB_FLAGS_V6_SMP,
    TTB_FLAGS_V6_UP,
    dacr_init,
)

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot

G = 1 << 30

TTB_FLAGS = {
    (False, True): TTB_FLAGS_SMP,
    (False, False): TTB_FLAGS_UP,
    (True, True): TTB_FLAGS_V6_SMP,
    (True, False): TTB_FLAGS_V6_UP,
}
"""Bits that the walker's accesses have in TTBRn, by (ARMv6, runs as an SMP kernel)."""

# Bits that the walker's accesses have in TTBCR (LPAE).
TTBCR_FLAGS_SMP = 0x3500
TTBCR_FLAGS_UP = 0x0F00
TTBCR_EAE = 1 << 31

# v7_crval: what __v7_setup clears and sets in SCTLR.
CRVAL_SHORT = (0x2120_C302, 0x10C0_3C7D)
CRVAL_V6 = (0x01E0_FB7F, 0x00C0_387D)  # v6_crval
CRVAL_LPAE = (0x0122_C302, 0x30C0_3C7D)
SCTLR_SW = 1 << 10  # SWP and SWPB enabled
SCTLR_TE = 1 << 30  # exceptions in Thumb state
SCTLR_A, SCTLR_C, SCTLR_Z, SCTLR_I = 1 << 1, 1 << 2, 1 << 11, 1 << 12
_SCTLR_OFF = {
    "CPU_DCACHE_DISABLE": SCTLR_C,
    "CPU_BPREDICT_DISABLE": SCTLR_Z,
    "CPU_ICACHE_DISABLE": SCTLR_I,
}


def create_page_tables(boot: ArmBoot) -> None:
    """__create_page_tables: identity section, kernel sections, device tree window, debug UART."""
    layout, tables, log = boot.layout, boot.tables, boot.memblock.log
    size, function = layout.section_size, "__create_page_tables"
    flags = mm_mmuflags(boot.bits, boot.smp)
    tables.clear_all()

    turn_on = boot.physical(boot.symbol("__turn_mmu_on"))
    # The label behind it is local; the code is shorter than the 32 bytes it is aligned to.
    turn_on_end = boot.physical(
        boot.symbols.get("__turn_mmu_on_end", boot.symbol("__turn_mmu_on") + 0x20)
    )
    first = turn_on & ~(size - 1)
    count = (turn_on_end >> layout.section_shift) - (turn_on >> layout.section_shift) + 1
    tables.set_sections(first, first | flags, count)
    log.add("map", first, first + count * size - 1, function, f"to {first:#x} (identity)")

    last = boot.symbol("_end") - 1
    count = (last >> layout.section_shift) - (layout.page_offset >> layout.section_shift) + 1
    tables.set_sections(layout.page_offset, boot.phys_offset | flags, count)
    boot.kernel_sec_start = boot.phys_offset
    boot.kernel_sec_end = boot.phys_offset + count * size
    end = layout.page_offset + count * size
    log.add("map", layout.page_offset, end - 1, function, f"to {boot.phys_offset:#x} (kernel)")

    tree = boot.placement.dtb & ~(size - 1)
    tables.set_sections(FDT_FIXED_BASE, tree | flags, 2)
    end = FDT_FIXED_BASE + layout.fdt_fixed_size
    log.add("map", FDT_FIXED_BASE, end - 1, function, f"to {tree:#x} (device tree)")

    uart = boot.debug_uart
    if uart is not None:
        virtual, physical = uart.virtual & ~(size - 1), uart.physical & ~(size - 1)
        tables.set_sections(virtual, physical | io_mmuflags(boot.bits), 1)
        log.add("map", virtual, virtual + size - 1, function, f"to {physical:#x} (debug UART)")


def enable_mmu(boot: ArmBoot) -> None:
    """__v7_setup and __enable_mmu: the registers as start_kernel finds them."""
    registers = boot.registers
    root = boot.tables.root
    if boot.layout.lpae:
        registers["TTBR0"] = root
        registers["TTBR1"], registers["TTBCR"] = _ttb_setup_lpae(boot)
        registers["MAIR0"], registers["MAIR1"] = MAIR0, MAIR1
    else:
        v6 = boot.machine.cpu.proc == "v6"
        flags = TTB_FLAGS[v6, boot.smp]
        registers["TTBR0"] = registers["TTBR1"] = root | flags
        registers["TTBCR"] = 0
        if not v6:
            registers["PRRR"], registers["NMRR"] = PRRR, NMRR
        registers["DACR"] = dacr_init(boot.config)
    registers["SCTLR"] = _control(boot)


def _ttb_setup_lpae(boot: ArmBoot) -> tuple[int, int]:
    """v7_ttb_setup with LPAE: (TTBR1, TTBCR).

    Where RAM begins below the kernel's virtual addresses (the comparison is of swapper_pg_dir's
    two addresses), TTBR1 serves the kernel's part alone, unless CPU_TTBR0_PAN uses it otherwise.
    """
    flags = TTBCR_FLAGS_SMP if boot.smp else TTBCR_FLAGS_UP
    ttbcr = TTBCR_EAE | flags | flags << 16
    root, layout = boot.tables.root, boot.layout
    if boot.config.enabled("CPU_TTBR0_PAN") or root >> 12 > layout.swapper_pg_dir >> 12:
        return root, ttbcr
    # Behind the root's entries, or the PMD pages, of the gigabytes below PAGE_OFFSET.
    offset = {0x8000_0000: 16, 0xC000_0000: 0x4000}.get(layout.page_offset, 0)
    return root + offset, ttbcr | (layout.page_offset // G - 1) << 16


def _control(boot: ArmBoot) -> int:
    """SCTLR with the MMU on, from its value at the hand-off."""
    clear, wanted = CRVAL_LPAE if boot.layout.lpae else CRVAL_SHORT
    if boot.machine.cpu.proc == "v6":
        clear, wanted = CRVAL_V6
    if boot.config.enabled("SWP_EMULATE"):
        clear |= SCTLR_SW
        wanted &= ~SCTLR_SW
    value = boot.registers["SCTLR"] & ~clear | wanted
    if boot.config.enabled("THUMB2_KERNEL"):
        value |= SCTLR_TE
    value &= ~SCTLR_A
    for option, bit in _SCTLR_OFF.items():
        if boot.config.enabled(option):
            value &= ~bit
    return value
