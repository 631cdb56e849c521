"""map_mem: the linear map of all memory.

Source: arch/arm64/mm/mmu.c of 6.1 and 6.12 (map_mem, early_pgtable_alloc, KFENCE's pool).
"""

from __future__ import annotations

from ttbr.boot.arm64.crash_area import is_deferred, splits_linear_map
from ttbr.boot.arm64.create_pgd_mapping import Flags, create_pgd_mapping
from ttbr.boot.arm64.options import can_set_direct_map, kfence_early
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Root, Span
from ttbr.boot.memblock import ACCESSIBLE, NOLEAKTRACE, BootPanic
from ttbr.errors import InputError

PAGES_ONLY = Flags.NO_BLOCK | Flags.NO_CONT
FUNCTION = "map_mem"
MOST_TABLES = 4 << 30  # bytes
KFENCE_OBJECTS = 255  # default of CONFIG_KFENCE_NUM_OBJECTS


def early_pgtable_alloc(state: Arm64) -> int:
    """A page for a table, from the top of free memory."""
    page = state.layout.geometry.page_size
    memory = state.machine.memblock
    found = memory.phys_alloc_range(page, page, 0, NOLEAKTRACE, "early_pgtable_alloc")
    if not found:
        raise BootPanic("the kernel panics: 'Failed to allocate page table page'")
    return found


def map_mem(state: Arm64, root: Root) -> None:
    """Map every memory range, then the alias of the kernel's code and read-only data."""
    machine = state.machine
    memory, release = machine.memblock, machine.kernel.release
    pool = _kfence_alloc_pool(state)
    flags = Flags.NO_EXEC
    if can_set_direct_map(machine.params, machine.kernel.config, kfence_pool=pool is not None):
        flags |= PAGES_ONLY
    crash = None
    if splits_linear_map(state):
        # An area whose place is not known yet may be anywhere.
        flags |= PAGES_ONLY if is_deferred(state) else Flags.NONE
        crash = state.crash_area
    alias = state.pa("_text" if release.has("arm64_text_head_mapped") else "_stext")
    alias_size = state.pa("__init_begin") - alias

    memory.mark_nomap(alias, alias_size, FUNCTION)
    if crash is not None:
        memory.mark_nomap(*crash, FUNCTION)
    if flags & Flags.NO_BLOCK:
        _refuse_too_many_tables(state)
    page = state.layout.geometry.page_size
    unit = page if release.has("arm64_map_mem_whole_pages") else 1
    for base, behind in memory.for_each_mem_range():
        start, end = -(-base // unit) * unit, behind // unit * unit
        if start < end:
            _map_memblock(state, root, start, end, tagged=True, flags=flags)
    # No PXNTable here, so tables that this call makes differ from those around them; blocks are
    # allowed whatever the rest is made of.
    _map_memblock(state, root, alias, alias + alias_size, tagged=False, flags=Flags.NO_CONT)
    memory.clear_nomap(alias, alias_size, FUNCTION)

    if crash is not None:
        start, size = crash
        _map_memblock(state, root, start, start + size, tagged=False, flags=PAGES_ONLY)
        memory.clear_nomap(start, size, FUNCTION)
    if pool is not None:
        start, size = pool
        _map_memblock(state, root, start, start + size, tagged=True, flags=PAGES_ONLY)
        memory.clear_nomap(start, size, FUNCTION)


def _refuse_too_many_tables(state: Arm64) -> None:
    """`InputError` where single pages make more tables than are worked out here."""
    geometry = state.layout.geometry
    memory = sum(end - base for base, end in state.machine.memblock.for_each_mem_range())
    tables = memory // (geometry.page_size * geometry.entries)
    if tables * geometry.page_size > MOST_TABLES:
        raise InputError(
            f"the linear map of {memory >> 30} GiB by single pages has {tables} tables, "
            f"{tables * geometry.page_size >> 30} GiB of them: more than {MOST_TABLES >> 30} GiB "
            "are not worked out (rodata=on needs fewer, unless something else wants pages)"
        )


def _map_memblock(
    state: Arm64, root: Root, start: int, end: int, *, tagged: bool, flags: Flags
) -> None:
    """__map_memblock: [start, end) at its linear address."""
    prot = state.protections
    span = Span(state.phys_to_virt(start), start, end - start)
    bits = prot.kernel_tagged if tagged else prot.kernel
    create_pgd_mapping(
        state.tables, root, span, bits, alloc=lambda: early_pgtable_alloc(state), flags=flags
    )
    state.mapped(span, "__map_memblock", "PAGE_KERNEL, tagged" if tagged else "PAGE_KERNEL")


def _kfence_alloc_pool(state: Arm64) -> tuple[int, int] | None:
    """(address, bytes) of KFENCE's pool, NOMAP for now; None where there is none yet."""
    machine = state.machine
    config = machine.kernel.config
    if not config.enabled("KFENCE") or not kfence_early(machine.params, config):
        return None
    page = state.layout.geometry.page_size
    size = (config.integer("KFENCE_NUM_OBJECTS", KFENCE_OBJECTS) + 1) * 2 * page
    function = machine.kernel.caller("arm64_kfence_alloc_pool", FUNCTION, "paging_init")
    start = machine.memblock.phys_alloc_range(size, page, 0, ACCESSIBLE, function)
    if not start:
        machine.log.say("failed to allocate kfence pool")
        return None
    machine.memblock.mark_nomap(start, size, function)
    machine.kfence_pool = start, size
    return start, size
