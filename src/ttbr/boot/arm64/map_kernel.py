"""6.12's early C code: the kernel image mapped by segments, before start_kernel.

Source: arch/arm64/kernel/pi/map_kernel.c; segment bounds: kernel/vmlinux.lds.S.
"""

from __future__ import annotations

from ttbr.boot.arm64 import kaslr, registers
from ttbr.boot.arm64.feature_override import RODATA_OFF
from ttbr.boot.arm64.head import create_init_idmap, enable_mmu, set_ttbr0
from ttbr.boot.arm64.map_range import PageArray, map_range
from ttbr.boot.arm64.registers import BT
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Span
from ttbr.kernel.arm64_fixmap import MAX_FDT_SIZE
from ttbr.kernel.arm64_geometry import IDMAP_VA_BITS
from ttbr.kernel.arm64_prot import GP

# (first symbol, end symbol, holds code, may be contiguous once mapped for good).
SEGMENTS = (
    ("_stext", "_etext", True, True),
    ("__start_rodata", "__inittext_begin", False, False),
    ("__inittext_begin", "__inittext_end", True, False),
    ("__initdata_begin", "__initdata_end", False, False),
    ("_data", "_end", False, True),
)
TEXT_HEAD = ("_text", "_stext", False, False)


def early_map(state: Arm64) -> None:
    """early_map_kernel; nothing in releases whose head.S maps the image itself."""
    machine, layout = state.machine, state.layout
    if not machine.kernel.release.has("arm64_early_map_in_c"):
        return
    enable_mmu(state, "init_idmap_pg_dir", "reserved_pg_dir")
    map_fdt(state)
    clear_bss(state)
    if layout.va_bits_actual > layout.va_bits_min:
        tcr = registers.with_t1sz(machine.registers["TCR_EL1"], 64 - layout.va_bits_actual)
        machine.registers["TCR_EL1"] = tcr
    kaslr.choose_offset(state)
    state.non_global = kaslr.uses_non_global(state)
    if registers.has_lpa2(machine.kernel.config, layout.geometry, state.cpu):
        remap_idmap_for_lpa2(state)
    map_kernel(state)


def map_fdt(state: Arm64) -> None:
    """The device tree in the identity map, always 2 MiB, its tables from an array of its own."""
    tables, fdt = state.tables, state.machine.dtb
    start = state.static_array("__pi_ptes")
    if start is None:
        state.machine.unknowns.append(
            "the kernel's symbols do not say where map_fdt keeps its tables (__pi_ptes): the "
            "device tree is missing from the identity map"
        )
        return
    pages = PageArray(tables, start, start + fdt_tables_size(state), "ptes of map_fdt")
    text, end = state.pa("_text"), fdt + MAX_FDT_SIZE
    if text > fdt:
        end = min(text, end)
    root = state.idmap_root("init_idmap_pg_dir")
    span = Span(fdt, fdt, end - fdt)
    map_range(tables, root, span, state.protections.kernel, pages=pages)
    state.mapped(span, "map_fdt", "PAGE_KERNEL")


def fdt_tables_size(state: Arm64) -> int:
    """INIT_IDMAP_FDT_SIZE: bytes of map_fdt's array (asm/kernel-pgtable.h).

    Two tables for each level between the root and the early block, and two more where a block is
    larger than a segment's alignment, as the tree may cross its boundary.
    """
    geometry = state.layout.geometry
    blocks = geometry.early_block_size > geometry.page_size
    between = geometry.levels(IDMAP_VA_BITS) - 1 - blocks
    return (2 * between + 2 * blocks) * geometry.page_size


def clear_bss(state: Arm64) -> None:
    """Zero the BSS and the page tables behind it."""
    start, end = state.pa("__bss_start"), state.pa("init_pg_end")
    state.machine.ram.write(start, bytes(end - start))


def remap_idmap_for_lpa2(state: Arm64) -> None:
    """Turn LPA2 on and make the identity map anew in its format, without the device tree."""
    machine, tables = state.machine, state.tables
    tcr = registers.with_lpa2(machine.registers["TCR_EL1"], machine.cpu)
    machine.registers["TCR_EL1"] = tcr
    # The kernel runs from a copy in init_pg_dir meanwhile, and wipes it.
    page = tables.geometry.page_size
    for table in range(state.pa("init_idmap_pg_dir"), state.pa("init_idmap_pg_end"), page):
        tables.clear(table)
    create_init_idmap(state, "init_idmap_pg_dir", "init_idmap_pg_end")
    set_ttbr0(state, "init_idmap_pg_dir")


def segments(state: Arm64) -> list[tuple[str, str, bool, bool]]:
    """The image's segments in the order of mapping."""
    if state.machine.kernel.release.has("arm64_text_head_mapped"):
        return [TEXT_HEAD, *SEGMENTS]
    return list(SEGMENTS)


def text_protection(state: Arm64, *, writable: bool) -> int:
    """Protection of code: writable with rodata=off, guarded where kernel and CPU have BTI."""
    prot, machine = state.protections, state.machine
    text = prot.kernel_exec if writable else prot.kernel_rox
    if machine.kernel.config.enabled("ARM64_BTI_KERNEL") and state.cpu.field(*BT):
        text |= GP
    return text


def map_kernel(state: Arm64) -> None:
    """The image in init_pg_dir; its root page is then copied to swapper_pg_dir.

    A relocatable kernel maps code writable first. Making it executable later only writes entries
    that exist: the second pass here is the kernel's unmapping and remapping in one.
    """
    tables, prot = state.tables, state.protections
    text = text_protection(state, writable=state.overrides.is_set(RODATA_OFF))
    config = state.machine.kernel.config
    twopass = config.enabled("RELOCATABLE") or patches_scs(state)
    root = state.root("init_pg_dir")
    page = tables.geometry.page_size
    pages = PageArray(tables, root.address + page, state.pa("init_pg_end"), "init_pg_dir")
    for first, end, code, cont in segments(state):
        # Code is contiguous on its first pass only if there is no second.
        bits = text if code and not twopass else prot.kernel
        _map_segment(state, (first, end), bits, pages, may_use_cont=cont and not (code and twopass))
    for first, end, code, cont in segments(state):
        if code and twopass:
            _map_segment(state, (first, end), text, None, may_use_cont=cont)
        what = f"[{first}, {end}), {'code' if code else 'PAGE_KERNEL'}"
        state.mapped(state.segment(first, end), "map_kernel", what)
    tables.writer.copy_page(root.address, state.pa("swapper_pg_dir"), page)
    enable_mmu(state, "init_idmap_pg_dir", "swapper_pg_dir")


def patches_scs(state: Arm64) -> bool:
    """Whether the kernel patches itself for shadow call stacks (enable_scs), a second pass."""
    machine = state.machine
    config, cpu = machine.kernel.config, state.cpu
    if not config.enabled("UNWIND_PATCH_PAC_INTO_SCS"):
        return False
    bti = config.enabled("ARM64_BTI_KERNEL") and cpu.field(*BT)
    pac = config.enabled("ARM64_PTR_AUTH_KERNEL") and registers.has_pac(cpu)
    return not (bti or pac)


def _map_segment(
    state: Arm64,
    bounds: tuple[str, str],
    protection: int,
    pages: PageArray | None,
    *,
    may_use_cont: bool,
) -> None:
    """Map a segment of the image at its run-time address."""
    found = state.segment(*bounds)
    span = Span(found.virt & ~state.layout.page_offset, found.phys, found.size)
    root = state.root("init_pg_dir")
    map_range(state.tables, root, span, protection, pages=pages, may_use_cont=may_use_cont)
