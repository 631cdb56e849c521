"""The kernel image's last permissions: read-only data and aliases, init memory taken away.

The boot's stages end before them. They are in force when the first program runs.

Source: arch/arm64/mm/mmu.c (mark_linear_text_alias_ro, mark_rodata_ro), arch/arm64/mm/init.c
(free_initmem), arch/arm/mm/init.c (fix_kernmem_perms, mark_rodata_ro, set_section_perms),
init/main.c (mark_readonly) of 6.1 and 6.12.
"""

from __future__ import annotations

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.create_pgd_mapping import Flags, create_pgd_mapping
from ttbr.boot.arm64.options import rodata
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Span
from ttbr.boot.params import kstrtobool
from ttbr.run.kernel_space import KernelSpace


def kernel_init_perms(space: KernelSpace) -> None:
    """Change the tables as kernel_init() does before it starts the first program."""
    state = space.state
    if isinstance(state, Arm64):
        _arm64(space, state)
    elif state.config.enabled("STRICT_KERNEL_RWX"):
        _arm(space, state)


def _arm64(space: KernelSpace, state: Arm64) -> None:
    machine = state.machine
    head = machine.kernel.release.has("arm64_text_head_mapped")
    text = state.segment("_text" if head else "_stext", "__init_begin")
    alias = Span(state.phys_to_virt(text.phys), text.phys, text.size)
    _read_only(space, state, alias, "mark_linear_text_alias_ro")
    init = state.segment("__init_begin", "__init_end")
    space.map.unmap_range(init.virt, init.end)
    space.log.add("unmap", "free_initmem", "", init.virt, init.end - 1)
    strict = machine.kernel.config.enabled("STRICT_KERNEL_RWX")
    if not strict or rodata(machine.params, machine.kernel.config) == "off":
        return
    _read_only(space, state, state.segment("__start_rodata", "__init_begin"), "mark_rodata_ro")
    if head:
        _read_only(space, state, state.segment("_text", "_stext"), "mark_rodata_ro")


def _read_only(space: KernelSpace, state: Arm64, span: Span, function: str) -> None:
    """update_mapping_prot(): the same blocks and pages, as PAGE_KERNEL_RO."""
    if span.size <= 0:
        return
    root, bits = state.root("swapper_pg_dir"), state.protections.kernel_ro
    create_pgd_mapping(state.tables, root, span, bits, alloc=None, flags=Flags.NO_CONT)
    space.log.add("protect", function, "PAGE_KERNEL_RO", span.virt, span.end - 1)


def _arm(space: KernelSpace, state: ArmBoot) -> None:
    """Whole sections alone change; a part that is not aligned stays as it was, with a message."""
    bits, symbol = state.bits, state.symbol
    aligned = symbol("__start_rodata_section_aligned")
    never = [
        (state.layout.page_offset, symbol("_stext")),
        (symbol("__init_begin"), symbol("_sdata")),
        (aligned, symbol("__init_begin")),
    ]
    for start, end in never:
        _sections(space, state, start, end, bits.sect_xn, "fix_kernmem_perms")
    if kstrtobool(state.machine.params.last("rodata")) is not False:
        start, end = symbol("_stext"), symbol("__init_begin")
        _sections(space, state, start, end, bits.sect_read_only, "mark_rodata_ro")


def _sections(
    space: KernelSpace, state: ArmBoot, start: int, end: int, prot: int, function: str
) -> None:
    section = state.layout.section_size
    if start % section or end % section:
        what = f"BUG: section {start:x}-{end:x} not aligned to {section:x}"
        space.log.add("message", function, what, start, end)
        return
    tables = state.tables
    for address in range(start, end, section):
        tables.set_sections(address, tables.section(address) | prot, 1)
    if start < end:
        space.log.add("protect", function, "", start, end - 1)
