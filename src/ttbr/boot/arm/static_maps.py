"""The machine's map_io() and its reserve(): what a board adds to the tables and to memblock.

The facts are rows of ttbr.kernel.arm_machines; here is what the named functions do.
Source: arch/arm/mm/mmu.c (debug_ll_io_init), arch/arm/mach-{exynos,s5pv210,omap2}/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.mapping import MapDesc
from ttbr.kernel.arm_layout import PAGE_SIZE
from ttbr.kernel.arm_machines import (
    DebugLl,
    DramBarrier,
    FromTree,
    IoTable,
    PrivatePeripherals,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ttbr.boot.arm.state import ArmBoot

M = 1 << 20


def map_io(boot: ArmBoot) -> None:
    """mdesc->map_io(), or debug_ll_io_init() for machines that have none."""
    for step in boot.mdesc.map_io:
        match step:
            case DebugLl():
                debug_ll_io_init(boot)
            case IoTable(entries):
                _iotable_init(
                    boot,
                    [
                        MapDesc(e.virtual, e.physical, e.length or boot.layout.section_size, e.type)
                        for e in entries
                    ],
                )
            case FromTree():
                _map_from_tree(boot, step)
            case PrivatePeripherals(virtual, physical, length):
                found = 0 if boot.machine.board.bare_core else physical
                _iotable_init(boot, [MapDesc(virtual, found, length, "DEVICE")])
            case DramBarrier(virtual):
                if boot.dram_barrier is not None:
                    _iotable_init(boot, [MapDesc(virtual, boot.dram_barrier, M, "MEMORY_RW_SO")])


def debug_ll_io_init(boot: ArmBoot) -> None:
    """Map the page of the low-level debug UART, where the configuration names it."""
    uart = boot.debug_uart
    if uart is not None:
        page = ~(PAGE_SIZE - 1)
        mapping = MapDesc(uart.virtual & page, uart.physical & page, PAGE_SIZE, "DEVICE")
        _iotable_init(boot, [mapping])


def _iotable_init(boot: ArmBoot, mappings: Sequence[MapDesc]) -> None:
    boot.mapper.iotable_init(mappings, "devicemaps_init")


def _map_from_tree(boot: ArmBoot, step: FromTree) -> None:
    """One mapping at the reg of the first matching node (of_scan_flat_dt, two cells exactly)."""
    for node in boot.tree.root.walk():
        compatible, reg = node.prop("compatible"), node.prop("reg")
        if compatible is None or step.compatible not in compatible.strings:
            continue
        if reg is None or len(reg.data) != 8:
            continue
        address, size = reg.cells
        _iotable_init(boot, [MapDesc(step.virtual, address, size - 1, "DEVICE")])
        return
