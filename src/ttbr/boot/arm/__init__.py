"""The boot of 32-bit ARM (ARMv7), stage by stage; each stage changes the machine."""

from __future__ import annotations

from collections.abc import Callable

from ttbr.boot.arm import late_setup, setup
from ttbr.boot.arm.bootmem_init import bootmem_init as arm_bootmem_init
from ttbr.boot.arm.head import create_page_tables, enable_mmu
from ttbr.boot.arm.mem_init import hand_over
from ttbr.boot.arm.memblock_init import arm_memblock_init
from ttbr.boot.arm.paging_init import paging_init as arm_paging_init
from ttbr.boot.arm.state import start, state
from ttbr.boot.efi.efi_init import efi_init
from ttbr.boot.machine import Machine
from ttbr.boot.unflatten import unflatten_device_tree
from ttbr.kernel.arm_layout import markers

SCTLR_AT_ENTRY = 0x00C5_5078
"""SCTLR as the decompressor leaves it: the bits that read as one, caches off but for I and RR."""


def head(machine: Machine) -> None:
    """head.S: first tables, MMU on, start_kernel() at its link address."""
    boot = start(machine)
    machine.registers.setdefault("SCTLR", SCTLR_AT_ENTRY)
    create_page_tables(boot)
    enable_mmu(boot)


def early_map(machine: Machine) -> None:
    """Nothing: on 32-bit ARM the tables of head.S serve until paging_init()."""
    state(machine)


def fixmap(machine: Machine) -> None:
    """setup_arch() up to arm_memblock_init(): tree scanned, fixmap up, lowmem known."""
    boot = state(machine)
    setup.setup_machine_fdt(boot)
    boot.memblock.reserve(machine.dtb, machine.tree.totalsize, "setup_arch")
    setup.early_fixmap_init(boot)
    setup.parse_early_param(boot)
    setup.early_mm_init(boot)
    efi_init(machine)
    setup.adjust_bounds(boot)
    machine.markers = markers(machine.kernel, boot.lowmem.high_memory)


def memblock(machine: Machine) -> None:
    """arm_memblock_init() and, memory being gone perhaps, the bounds once more."""
    boot = state(machine)
    arm_memblock_init(boot)
    setup.adjust_bounds(boot)
    machine.markers = markers(machine.kernel, boot.lowmem.high_memory)


def paging_init(machine: Machine) -> None:
    """paging_init() without bootmem_init(): the tables that stay."""
    arm_paging_init(state(machine))


def bootmem_init(machine: Machine) -> None:
    """bootmem_init(), the end of paging_init(), and what setup_arch() does after that."""
    boot = state(machine)
    arm_bootmem_init(boot)
    late_setup.request_standard_resources(boot)
    unflatten_device_tree(machine)
    late_setup.reserve_crashkernel(boot)


def mm_init(machine: Machine) -> None:
    """start_kernel() behind setup_arch(), until the page allocator has all memory."""
    hand_over(state(machine))


STAGES: tuple[tuple[str, Callable[[Machine], None]], ...] = (
    ("head", head),
    ("early_map", early_map),
    ("fixmap", fixmap),
    ("memblock", memblock),
    ("paging_init", paging_init),
    ("bootmem_init", bootmem_init),
    ("mm_init", mm_init),
)
"""The stages behind the hand-off in order, by their names."""
