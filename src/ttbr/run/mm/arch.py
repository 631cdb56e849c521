"""What a booted machine's architecture decides about user space.

Source: arch/arm64/include/asm/{pgtable-hwdef,cpufeature}.h, arch/arm64/mm/mmap.c,
arch/arm/mm/mmu.c (build_mem_type_table), arch/arm/include/asm/{pgtable-2level,pgtable-3level}.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.mem_types import cache_policy
from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.registers import BT
from ttbr.boot.arm64.state import Arm64
from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.arm64_prot import output_address
from ttbr.kernel.arm64_user import arm64_user_entries
from ttbr.kernel.arm_prot import domains
from ttbr.kernel.arm_user import PXN_VMSA, arm_user_entries
from ttbr.run.mm.page_tables import TableLevel

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.kernel.user_entries import UserEntries

V7 = 7
PAN_FIELD, ENHANCED_PAN = 20, 3
HAFDBS_FIELD = 0
LPAE_PHYS_BITS = 40
_ARM64_NAMES = {3: "pte", 2: "pmd", 1: "pud", 0: "p4d"}


def user_entries(machine: Machine) -> UserEntries:
    """The user entries of the kernel on this machine."""
    kernel, state = machine.kernel, machine.arch_state
    if isinstance(state, Arm64):
        shift = state.layout.geometry.page_shift
        return arm64_user_entries(
            kernel.release,
            shift,
            output_address(kernel.config, shift, state.lpa2),
            lpa2=state.lpa2,
            execute_only=has_execute_only(machine),
        )
    assert isinstance(state, ArmBoot)
    v7 = machine.cpu.architecture >= V7
    return arm_user_entries(
        state.bits,
        policy=cache_policy(state.smp),
        shared=state.smp,
        user_domain=domains(kernel.config).user,
        pxn=v7 and machine.cpu.vmsa >= PXN_VMSA,
        v6=not v7,
    )


def table_levels(machine: Machine) -> tuple[TableLevel, ...]:
    """The levels of a process's tables, the root first; levels that are folded are left out."""
    state = machine.arch_state
    if isinstance(state, Arm64):
        geometry, root = state.layout.geometry, state.layout.root_level
        levels = [TableLevel("pgd", geometry.shift(root), state.layout.root_entries)]
        for number in range(root + 1, LAST_LEVEL + 1):
            name = _ARM64_NAMES[number]
            levels.append(TableLevel(name, geometry.shift(number), geometry.entries))
        return tuple(levels)
    assert isinstance(state, ArmBoot)
    if state.layout.lpae:
        pgd = TableLevel("pgd", 30, 4)
        return pgd, TableLevel("pmd", 21, 512), TableLevel("pte", 12, 512)
    return TableLevel("pgd", 21, 2048), TableLevel("pte", 12, 512)


def phys_bits(machine: Machine) -> int:
    """Bits of PHYS_MASK: what entries can name (valid_mmap_phys_addr_range)."""
    state = machine.arch_state
    if isinstance(state, Arm64):
        return state.phys_mask_shift
    return LPAE_PHYS_BITS if machine.kernel.phys_bits > 32 else 32


def has_execute_only(machine: Machine) -> bool:
    """Whether PROT_EXEC alone keeps from reading (ARM64_HAS_EPAN)."""
    state = machine.arch_state
    if not isinstance(state, Arm64) or not machine.kernel.config.enabled("ARM64_EPAN"):
        return False
    return state.cpu.field("ID_AA64MMFR1_EL1", PAN_FIELD) >= ENHANCED_PAN


def has_bti(machine: Machine) -> bool:
    """``system_supports_bti``: programs may ask for guarded pages (PROT_BTI)."""
    state = machine.arch_state
    if not isinstance(state, Arm64) or not machine.kernel.config.enabled("ARM64_BTI"):
        return False
    return bool(state.cpu.field(*BT))


def sets_access_flag(machine: Machine) -> bool:
    """``cpu_has_hw_af``: the CPU marks pages as used by itself."""
    state = machine.arch_state
    if not isinstance(state, Arm64) or not machine.kernel.config.enabled("ARM64_HW_AFDBM"):
        return False
    return bool(state.cpu.field("ID_AA64MMFR1_EL1", HAFDBS_FIELD))


def contiguous_ptes(machine: Machine) -> int:
    """How many last-level entries Linux joins for user pages by itself; 0 where it does not."""
    state, config = machine.arch_state, machine.kernel.config
    if not isinstance(state, Arm64) or not config.enabled("ARM64_CONTPTE"):
        return 0
    return 1 << state.layout.geometry.cont_pte_shift


def zero_page(machine: Machine) -> int:
    """Physical address of the page of zeros (ZERO_PAGE)."""
    state = machine.arch_state
    if isinstance(state, Arm64):
        return state.pa("empty_zero_page")
    assert isinstance(state, ArmBoot)
    return state.zero_page
