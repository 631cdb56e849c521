"""paging_init: the final tables, and the identity map for later.

Source: arch/arm64/mm/mmu.c of 6.1 and 6.12; kernel/acpi.c (acpi_boot_table_init).
"""

from __future__ import annotations

from ttbr.boot.arm64.create_pgd_mapping import Flags, create_pgd_mapping
from ttbr.boot.arm64.fixmap import set_fixmap_io
from ttbr.boot.arm64.head import idmap_bits, set_ttbr1
from ttbr.boot.arm64.map_kernel import SEGMENTS, text_protection
from ttbr.boot.arm64.map_mem import early_pgtable_alloc, map_mem
from ttbr.boot.arm64.map_range import PageArray, map_range
from ttbr.boot.arm64.options import rodata
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Root, Span
from ttbr.errors import InputError
from ttbr.kernel.arm64_geometry import IDMAP_VA_BITS
from ttbr.kernel.arm64_prot import TABLE, TABLE_BARE

KPTI_FLAG_SIZE = 4


def paging_init(state: Arm64) -> None:
    """paging_init, and an early console that waited for the absence of ACPI tables."""
    machine = state.machine
    swapper = state.root("swapper_pg_dir")
    if machine.kernel.release.has("arm64_early_map_in_c"):
        map_mem(state, swapper)
        machine.memblock.growth.allow()
        create_idmap(state)
    else:
        map_kernel(state, swapper)
        link_fixmap(state, swapper)
        map_mem(state, swapper)
        set_ttbr1(state, "swapper_pg_dir")
        start = state.pa("init_pg_dir")
        machine.memblock.phys_free(start, state.pa("init_pg_end") - start, "paging_init")
        machine.roots.pop("init_pg_dir")
        machine.memblock.growth.allow()
        create_idmap_from_memblock(state)
    if state.earlycon is not None:
        set_fixmap_io(state, state.layout.fixmap.earlycon, state.earlycon)


def map_kernel(state: Arm64, root: Root) -> None:
    """6.1: the image by segments; only read-only data, remapped later, is never contiguous."""
    machine, prot = state.machine, state.protections
    writable = rodata(machine.params, machine.kernel.config) == "off"
    text = text_protection(state, writable=writable)
    for first, end, code, _ in SEGMENTS:
        span = state.segment(first, end)
        create_pgd_mapping(
            state.tables,
            root,
            span,
            text if code else prot.kernel,
            alloc=lambda: early_pgtable_alloc(state),
            flags=Flags.NO_CONT if first == "__start_rodata" else Flags.NONE,
        )
        what = f"[{first}, {end}), {'code' if code else 'PAGE_KERNEL'}"
        state.mapped(span, "map_kernel", what)


def link_fixmap(state: Arm64, root: Root) -> None:
    """6.1: the fixmap's tables under the new root, by the old root's entry where that is free."""
    tables, address = state.tables, state.layout.fixaddr_start
    index = tables.index(address, root.level, root.entries)
    entry = tables.writer.read(root.address, index)
    if entry == 0:
        early = tables.writer.read(state.pa("init_pg_dir"), index)
        tables.writer.write(root.address, index, early)
        return
    # 16K pages and four levels: kernel image and fixmap share the entry.
    below = tables.output.decode(entry)
    index = tables.index(address, root.level + 1, tables.geometry.entries)
    pmd = tables.output.encode(state.pa("bm_pmd"))
    tables.writer.write(below, index, pmd | TABLE)


def idmap_pieces(state: Arm64, *, with_flag: bool) -> list[tuple[Span, int, str]]:
    """What the identity map holds: (span, protection, its name).

    The code that switches the MMU; and the flag by which CPUs wait for each other when KPTI has
    to change the tables under them.
    """
    prot = state.protections
    start, end = state.pa("__idmap_text_start"), state.pa("__idmap_text_end")
    pieces = [(Span(start, start, end - start), prot.kernel_rox, "PAGE_KERNEL_ROX")]
    if with_flag and state.machine.kernel.config.enabled("UNMAP_KERNEL_AT_EL0"):
        flag = state.pa("__idmap_kpti_flag")
        pieces.append((Span(flag, flag, KPTI_FLAG_SIZE), prot.kernel, "PAGE_KERNEL"))
    return pieces


def create_idmap(state: Arm64) -> None:
    """6.12: the identity map in tables of static arrays, one for each piece."""
    root = state.idmap_root("idmap_pg_dir")
    pieces = idmap_pieces(state, with_flag=not state.non_global)
    for name, (span, bits, what) in zip(("idmap_ptes", "kpti_ptes"), pieces, strict=False):
        map_range(state.tables, root, span, bits, pages=_array(state, name))
        state.mapped(span, "create_idmap", what)


def _array(state: Arm64, name: str) -> PageArray:
    """A static array of tables for the identity map."""
    start = state.static_array(name)
    if start is None:
        raise InputError(f"the kernel's symbols have no {name}: is the System.map complete?")
    geometry = state.layout.geometry
    pages = geometry.levels(IDMAP_VA_BITS) - 1
    return PageArray(state.tables, start, start + pages * geometry.page_size, name)


def create_idmap_from_memblock(state: Arm64) -> None:
    """6.1: the same with tables from memblock, and one more level if memory lies too high."""
    tables, layout = state.tables, state.layout
    root = state.root("idmap_pg_dir")
    pieces = idmap_pieces(state, with_flag=True)
    if layout.va_bits < IDMAP_VA_BITS and idmap_bits(state) > layout.va_bits_min:
        below = early_pgtable_alloc(state)
        tables.clear(below)
        index = pieces[0][0].virt >> layout.va_bits
        tables.writer.write(root.address, index, tables.output.encode(below) | TABLE_BARE)
        root = Root(below, root.level, root.entries)
    for span, bits, what in pieces:
        create_pgd_mapping(tables, root, span, bits, alloc=lambda: early_pgtable_alloc(state))
        state.mapped(span, "create_idmap", what)
