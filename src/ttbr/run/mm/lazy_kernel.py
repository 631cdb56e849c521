"""Kernel mappings that processes of 32-bit ARM get to know late.

A root table is made with the first-level entries that the kernel has at the time. What vmalloc or
a module adds to swapper_pg_dir later is copied when a process's kernel side first faults on it.

Source: arch/arm/mm/fault.c: do_translation_fault; arch/arm/include/asm/pgtable-{2level,3level}.h
(copy_pmd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm
    from ttbr.run.mm.user_space import UserSpace

PMD_SHIFT, PGD_SHIFT, SECTION_SHIFT = 21, 30, 20


def copy_kernel_entry(user: UserSpace, mm: Mm | None, va: int) -> str:
    """Copy what swapper_pg_dir has for ``va`` into the root in use; what was copied, in words.

    Empty if swapper_pg_dir has nothing for it either, or its own table is in use.
    """
    if mm is None:
        return ""
    state = user.kernel.machine.arch_state
    assert isinstance(state, ArmBoot)
    swapper, writes = state.tables.root, mm.tables.writes
    if user.short:
        index = va >> PMD_SHIFT << 1
        if not writes.get(swapper, index + (va >> SECTION_SHIFT & 1)):
            return ""
        for number in (index, index + 1):
            writes.set(mm.pgd, number, writes.get(swapper, number))
        return f"first-level entries {index} and {index + 1} copied from swapper_pg_dir"
    index = va >> PGD_SHIFT
    kernel_pgd = writes.get(swapper, index)
    if not kernel_pgd:
        return ""
    if not writes.get(mm.pgd, index):
        writes.set(mm.pgd, index, kernel_pgd)
    entries = mm.tables.entries
    of_kernel = entries.address(kernel_pgd)
    of_process = entries.address(writes.get(mm.pgd, index))
    place = mm.tables.levels[1].index(va)
    entry = writes.get(of_kernel, place)
    if not entry:
        return ""
    if of_kernel != of_process:
        writes.set(of_process, place, entry)
    return f"PMD {place} of {va & -(1 << PMD_SHIFT):#x} copied from swapper_pg_dir"
