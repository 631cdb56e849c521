"""The first translation tables: head.S of 6.1, create_init_idmap of 6.12.

Source: 6.1 arch/arm64/kernel/head.S (create_idmap, create_kernel_mapping, map_memory,
remap_region); 6.12 kernel/head.S (primary_entry), kernel/pi/map_range.c (create_init_idmap).
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.arm64 import kaslr, registers
from ttbr.boot.arm64.map_range import PageArray, map_range
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Span, Tables
from ttbr.kernel.arm64_fixmap import MAX_FDT_SIZE
from ttbr.kernel.arm64_geometry import IDMAP_VA_BITS, LAST_LEVEL
from ttbr.kernel.arm64_prot import SHARED, TABLE_BARE, leaf, mair, physical_bits

# What adrp yields: addresses of 4K, whatever the kernel's page size.
ADRP = 4096


def head(state: Arm64) -> None:
    """From the loader's jump to the end of head.S: the MMU on where it maps the kernel itself."""
    machine = state.machine
    early_c = machine.kernel.release.has("arm64_early_map_in_c")
    if early_c:
        create_init_idmap(state, "init_idmap_pg_dir", "init_idmap_pg_end")
    else:
        create_idmap(state)
    machine.roots["init_idmap_pg_dir"] = state.pa("init_idmap_pg_dir")
    cpu_setup(state)
    if early_c:
        return
    kaslr.choose_offset(state)
    create_kernel_mapping(state)
    enable_mmu(state, "init_idmap_pg_dir", "init_pg_dir")


def cpu_setup(state: Arm64) -> None:
    """__cpu_setup: MAIR_EL1 and TCR_EL1, with SCTLR_EL1 still off."""
    machine, layout = state.machine, state.layout
    config, cpu = machine.kernel.config, machine.cpu
    if machine.kernel.release.has("arm64_early_map_in_c"):
        t0sz, t1sz = 64 - IDMAP_VA_BITS, 64 - layout.va_bits_min
    elif layout.va_bits > 48:
        t0sz = t1sz = 64 - layout.va_bits_actual
    else:
        t0sz, t1sz = 64 - idmap_bits(state), 64 - layout.va_bits
    machine.registers.update(
        MAIR_EL1=mair(),
        TCR_EL1=registers.tcr_cpu_setup(config, layout.geometry, cpu, t0sz, t1sz),
        SCTLR_EL1=registers.sctlr(config, cpu, mmu=False),
    )


def idmap_bits(state: Arm64) -> int:
    """Bits of address that 6.1's identity map needs (idmap_get_t0sz, idmap_t0sz)."""
    return (state.pa("_end") | (1 << state.layout.va_bits_min) - 1).bit_length()


def enable_mmu(state: Arm64, lower: str, upper: str) -> None:
    """Turn the MMU on with the roots of these names in TTBR0_EL1 and TTBR1_EL1."""
    machine = state.machine
    config = machine.kernel.config
    machine.registers["SCTLR_EL1"] = registers.sctlr(config, machine.cpu, mmu=True)
    set_ttbr0(state, lower)
    set_ttbr1(state, upper)


def set_ttbr0(state: Arm64, root: str) -> None:
    """Point TTBR0_EL1 at a root of the image."""
    value = registers.ttbr(state.pa(root), state.machine.kernel.config)
    state.machine.registers["TTBR0_EL1"] = value


def set_ttbr1(state: Arm64, root: str) -> None:
    """Point TTBR1_EL1 at a root of the image (load_ttbr1).

    A 64K kernel built for 52 bits keeps its large root on a CPU with 48; the register then
    points at the entries of the top 48 bits.
    """
    layout = state.layout
    skipped = 0
    if layout.geometry.page_shift == 16 and layout.va_bits_actual < layout.va_bits:
        shift = layout.geometry.shift(layout.root_level)
        skipped = (1 << layout.va_bits - shift) - (1 << layout.va_bits_actual - shift)
    value = registers.ttbr(state.pa(root) + skipped * 8, state.machine.kernel.config)
    state.machine.registers["TTBR1_EL1"] = value


def create_init_idmap(state: Arm64, root: str, end: str) -> None:
    """6.12: identity map of the kernel image in the page array [root, end).

    With LPA2 in force the leaves have no shareability.
    """
    tables, prot = state.tables, state.protections
    keep = ~SHARED if state.lpa2 else ~0
    start, data, stop = state.pa("_stext"), state.pa("__initdata_begin"), state.pa("_end")
    pages = PageArray(tables, state.pa(root) + tables.geometry.page_size, state.pa(end), root)
    tables.clear(state.pa(root))
    for first, last, bits, what in (
        (start, data, prot.kernel_rox, "PAGE_KERNEL_ROX"),
        (data, stop, prot.kernel, "PAGE_KERNEL"),
    ):
        span = Span(first, first, last - first)
        map_range(tables, state.idmap_root(root), span, bits & keep, pages=pages)
        state.mapped(span, "create_init_idmap", what)


@dataclass(frozen=True, slots=True)
class EarlyMap:
    """What map_memory leaves: the first table of the last level, its entries' shift, the start."""

    table: int
    shift: int
    start: int


def map_memory(
    tables: Tables, table: int, span: Span, flags: int, levels: list[tuple[int, int]]
) -> EarlyMap:
    """6.1's assembly mapper: tables are taken upward behind the root `table`.

    `flags`: type and attributes of a leaf. `levels`: (shift, log2 of entries) from the root down
    to the leaves. Each level's tables are consecutive pages, allotted level by level.
    """
    page = tables.geometry.page_size
    last = span.end - 1
    following, extra = table + page, 0
    for shift, order in levels[:-1]:
        index, until, extra = _indices(span.virt, last, shift, order, extra)
        count = until - index + 1
        tables.leaves(table, index, following, TABLE_BARE, step=page, count=count)
        table, following = following, following + count * page
    shift, order = levels[-1]
    index, until, _ = _indices(span.virt, last, shift, order, extra)
    block = 1 << shift
    phys = span.phys // block * block
    tables.leaves(table, index, phys, flags, step=block, count=until - index + 1)
    return EarlyMap(table, shift, span.virt)


def _indices(start: int, last: int, shift: int, order: int, extra: int) -> tuple[int, int, int]:
    """First and last index of a range in the tables of a level, and how many more that is."""
    mask = (1 << order) - 1
    first = start >> shift & mask
    final = (last >> shift & mask) + (extra << order)
    return first, final, final - first


def remap_region(tables: Tables, mapping: EarlyMap, span: Span, flags: int) -> None:
    """6.1: give a part of a `map_memory` other leaves."""
    shift = mapping.shift
    first_entry = mapping.start >> shift & ~(tables.geometry.entries - 1)
    index = (span.virt >> shift) - first_entry
    until = (span.end - 1 >> shift) - first_entry
    count = until - index + 1
    tables.leaves(mapping.table, index, span.phys, flags, step=1 << shift, count=count)


def create_idmap(state: Arm64) -> None:
    """6.1: identity map of the image, with the device tree remapped right behind it."""
    tables, fdt = state.tables, state.machine.dtb
    block = state.layout.geometry.early_block_size
    base = state.pa("_text") // ADRP * ADRP
    stop = (state.pa("_end") + MAX_FDT_SIZE + block) // ADRP * ADRP
    executable, writable = early_flags(state, executable=True), early_flags(state, executable=False)
    image = Span(base, base, stop - base)
    levels = idmap_levels(state, stop - 1)
    mapping = map_memory(tables, state.pa("init_idmap_pg_dir"), image, executable, levels)
    state.mapped(image, "create_idmap", "executable")

    first, last = state.pa("init_pg_dir"), state.pa("init_pg_end")
    span = Span(first, first // block * block, last - first)
    remap_region(tables, mapping, span, writable)
    state.mapped(span, "create_idmap", "writable")

    window = (state.pa("_end") + block) // block * block
    span = Span(window, fdt // block * block, MAX_FDT_SIZE + block)
    remap_region(tables, mapping, span, writable)
    state.mapped(span, "create_idmap", "device tree, writable")


def idmap_levels(state: Arm64, last: int) -> list[tuple[int, int]]:
    """6.1: the levels of `early_levels` as the identity map up to address `last` uses them.

    A space of less than 48 bits gets one more level if `last` needs it; a larger one has a root
    for all physical addresses.
    """
    layout = state.layout
    levels = early_levels(state)
    if layout.va_bits >= IDMAP_VA_BITS:
        shift = levels[0][0]
        levels[0] = (shift, physical_bits(state.machine.kernel.config) - shift)
    elif last >> layout.va_bits:
        levels.insert(0, (layout.va_bits, layout.geometry.page_shift - 3))
    return levels


def create_kernel_mapping(state: Arm64) -> None:
    """6.1: the whole image, writable, from its run-time address on, in init_pg_dir."""
    tables = state.tables
    root, page = state.pa("init_pg_dir"), tables.geometry.page_size
    for table in range(root, state.pa("init_pg_end"), page):
        tables.clear(table)
    span = state.segment("_text", "_end")
    map_memory(tables, root, span, early_flags(state, executable=False), early_levels(state))
    state.mapped(span, "create_kernel_mapping", "writable")


def early_levels(state: Arm64) -> list[tuple[int, int]]:
    """6.1: (shift, log2 of entries) of the levels that head.S uses for kernel addresses."""
    geometry, va_bits = state.layout.geometry, state.layout.va_bits
    root = geometry.root_level(va_bits)
    leaves = LAST_LEVEL - (geometry.early_block_size > geometry.page_size)
    orders = [va_bits - geometry.shift(root)] + [geometry.page_shift - 3] * (leaves - root)
    return [(geometry.shift(root + i), order) for i, order in enumerate(orders)]


def early_flags(state: Arm64, *, executable: bool) -> int:
    """6.1: SWAPPER_RX_MMUFLAGS or SWAPPER_RW_MMUFLAGS."""
    geometry = state.layout.geometry
    level = LAST_LEVEL - (geometry.early_block_size > geometry.page_size)
    return leaf(state.protections.early(executable=executable), level)
