"""The fixmap: its static tables, the device tree and the early console in it.

Source: 6.12 arch/arm64/mm/fixmap.c; 6.1 mm/mmu.c (early_fixmap_init, fixmap_remap_fdt).
"""

from __future__ import annotations

from collections.abc import Callable

from ttbr.boot.arm64.create_pgd_mapping import Flags, create_pgd_mapping
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Root, Span
from ttbr.boot.memblock import BootPanic
from ttbr.kernel.arm64_fixmap import MAX_FDT_SIZE
from ttbr.kernel.arm64_geometry import PMD_LEVEL
from ttbr.kernel.arm64_prot import TABLE_BARE

# Level of a table → the static array that holds the fixmap's.
STATIC_TABLES = {1: "bm_pud", 2: "bm_pmd", 3: "bm_pte"}
MIN_FDT_ALIGN = 8


def init_mm_root(state: Arm64) -> Root:
    """The root of kernel addresses at this time (init_mm.pgd)."""
    early_c = state.machine.kernel.release.has("arm64_early_map_in_c")
    return state.root("swapper_pg_dir" if early_c else "init_pg_dir")


def slot_address(state: Arm64, index: int) -> int:
    """Virtual address of a slot (__fix_to_virt)."""
    return state.layout.fixaddr_top - index * state.layout.geometry.page_size


def early_fixmap_init(state: Arm64) -> None:
    """Link the static tables, each where nothing is linked yet.

    With five levels, and with 16K pages and four, the upper table is one of the kernel image's.
    """
    layout, tables = state.layout, state.tables
    by_pages = state.machine.kernel.release.has("arm64_fdt_mapped_by_pages")
    address = layout.fixaddr_tot_start if by_pages else layout.fixaddr_start
    last = layout.fixaddr_top - 1 if by_pages else address

    table = init_mm_root(state)
    while table.level < PMD_LEVEL:
        index = tables.index(address, table.level, table.entries)
        below = _link(state, table, index, 0)
        table = Root(below, table.level + 1, layout.geometry.entries)
    shift = layout.geometry.shift(PMD_LEVEL)
    for number in range((last >> shift) - (address >> shift) + 1):
        index = tables.index(address + (number << shift), PMD_LEVEL, table.entries)
        _link(state, table, index, number)


def _link(state: Arm64, table: Root, index: int, number: int) -> int:
    """Link the static table `number` of the level below, unless there is one; its address."""
    level = table.level
    name = STATIC_TABLES.get(level + 1)
    alloc: Callable[[], int] | None = None
    if name is not None:
        page = state.pa(name) + number * state.layout.geometry.page_size

        def alloc() -> int:
            return page

    return state.tables.next_table(table.address, index, level, TABLE_BARE, alloc)


def fixmap_remap_fdt(state: Arm64, protection: int) -> int:
    """Map the device tree into its window and return its size in bytes.

    `BootPanic` for a tree that the kernel refuses: it would loop for ever.
    """
    machine = state.machine
    fdt, size = machine.dtb, machine.tree.totalsize
    if not fdt or fdt % MIN_FDT_ALIGN or size > MAX_FDT_SIZE:
        raise BootPanic(
            f"the kernel stops: 'Error: invalid device tree blob at physical address {fdt:#x}': "
            f"it must be 8-byte aligned and at most 2 MiB, not {size:#x} bytes"
        )
    chunk = _fdt_chunk(state)
    base = fdt // chunk * chunk
    length = -(-(fdt + size - base) // chunk) * chunk
    span = Span(slot_address(state, state.layout.fixmap.fdt), base, length)
    root = init_mm_root(state)
    create_pgd_mapping(state.tables, root, span, protection, alloc=None, flags=Flags.NO_CONT)
    return size


def fdt_address(state: Arm64) -> int:
    """Virtual address at which the kernel reads the device tree."""
    return slot_address(state, state.layout.fixmap.fdt) + state.machine.dtb % _fdt_chunk(state)


def _fdt_chunk(state: Arm64) -> int:
    """What the device tree is mapped in: pages, or the early map's blocks."""
    geometry = state.layout.geometry
    if state.machine.kernel.release.has("arm64_fdt_mapped_by_pages"):
        return geometry.page_size
    return geometry.early_block_size


def set_fixmap_io(state: Arm64, index: int, phys: int) -> None:
    """Map a page of device registers into a slot."""
    page = state.layout.geometry.page_size
    span = Span(slot_address(state, index), phys // page * page, page)
    root, bits = init_mm_root(state), state.protections.device
    flags = Flags.NO_BLOCK | Flags.NO_CONT
    create_pgd_mapping(state.tables, root, span, bits, alloc=None, flags=flags)
    state.mapped(span, "__set_fixmap", "early console, device")
