"""build_mem_type_table(): what each kind of kernel mapping looks like on the CPU at hand.

Values are of ARMv6 and ARMv7 with extended page tables, which is all this boot runs on.
Source: arch/arm/mm/mmu.c (mem_types, cache_policies, build_mem_type_table), asm/mach/map.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ttbr.kernel.arm_prot import Domains, Memory, ProtBits

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class MemType:
    """One row of mem_types[]: Linux PTE bits, table entry bits and section bits.

    `prot_l1` 0 means that the type cannot be mapped by pages, `prot_sect` 0 never by sections.
    """

    prot_pte: int
    prot_l1: int
    prot_sect: int


# Which domain a type lives in, under the names of asm/domain.h; the others are the kernel's.
_DOMAIN = {
    "DEVICE": "io",
    "DEVICE_NONSHARED": "io",
    "DEVICE_CACHED": "io",
    "DEVICE_WC": "io",
    "UNCACHED": "io",
    "LOW_VECTORS": "vectors",
    "HIGH_VECTORS": "vectors",
}
# Execute-never sections from ARMv6 on.
_SECT_XN = ("DEVICE", "DEVICE_NONSHARED", "DEVICE_CACHED", "DEVICE_WC", "MEMORY_RW", "MEMORY_RO")
# Shared (S bit, or inner shareable) when the boot's own tables are.
_SHARED_SECT = (
    "DEVICE_WC",
    "DEVICE_CACHED",
    "MEMORY_RWX",
    "MEMORY_RW",
    "MEMORY_RO",
    "MEMORY_RWX_NONCACHED",
)
_SHARED_PTE = (*_SHARED_SECT, "MEMORY_DMA_READY")
# Types that take the cache policy: in pages (kern_pgprot, vecs_pgprot) and in sections.
_POLICY_PTE = ("MEMORY_RWX", "MEMORY_RW", "MEMORY_RO", "MEMORY_DMA_READY")
_POLICY_PTE_VECTORS = ("LOW_VECTORS", "HIGH_VECTORS")
_POLICY_SECT = ("MEMORY_RWX", "MEMORY_RW", "MEMORY_RO", "ROM")
_ECC_SECT = ("MEMORY_RWX", "MEMORY_RW", "MEMORY_RO", "MEMORY_RWX_NONCACHED")
_ECC_TABLE = ("LOW_VECTORS", "HIGH_VECTORS")
V7 = 7


def mm_mmuflags(bits: ProtBits, smp: bool) -> int:
    """The section flags of head.S's tables (procinfo of proc-v7.S): read-write, cached."""
    access = bits.section | bits.sect_write | bits.sect_read | bits.sect_af
    if smp:
        return access | bits.sect_cache[Memory.WRITEALLOC] | bits.sect_shared
    return access | bits.sect_cache[Memory.WRITEBACK]


def io_mmuflags(bits: ProtBits) -> int:
    """The section flags of head.S's debug UART mapping (procinfo of proc-v7.S), with XN."""
    return bits.section | bits.sect_write | bits.sect_read | bits.sect_af | bits.sect_xn


def cache_policy(smp: bool) -> Memory:
    """The policy that the boot's own tables chose; v6 and later refuse any other."""
    return Memory.WRITEALLOC if smp else Memory.WRITEBACK


@dataclass(slots=True)
class _Row:
    pte: int = 0
    table: int = 0
    sect: int = 0


def build_mem_type_table(
    bits: ProtBits,
    domains: Domains,
    *,
    smp: bool,
    ecc: bool = False,
    tex_remap: bool = True,
    architecture: int = 7,
) -> Mapping[str, MemType]:
    """The types by the kernel's names without `MT_`.

    `smp`: the kernel runs as an SMP kernel (is_smp()); `ecc`: `ecc=on` was given, which sets the
    protection bit of short descriptors; `tex_remap`: SCTLR.TRE is set, which counts where the
    kernel takes the CPU for ARMv7 (`architecture`).
    """
    rows = _initial(bits)
    policy = cache_policy(smp)
    pte_policy = bits.mt[policy]
    sect_policy = bits.sect_cache[policy]
    pte_shared = bits.shared if smp else 0
    sect_shared = bits.sect_shared if smp else 0

    for name in _SECT_XN:
        rows[name].sect |= bits.sect_xn
    remap = tex_remap and architecture >= V7
    if remap:
        # TEX[0] tells the two device types from the uncached ones.
        rows["DEVICE"].sect |= bits.tex1
        rows["DEVICE_NONSHARED"].sect |= bits.tex1
        rows["DEVICE_WC"].sect |= bits.sect_bufferable
    else:
        rows["DEVICE"].sect |= bits.sect_bufferable
        rows["DEVICE_NONSHARED"].sect |= bits.tex1 << 1
        rows["DEVICE_WC"].sect |= bits.tex1
    if bits.domains:
        for name in ("ROM", "MINICLEAN", "CACHECLEAN", "MEMORY_RO"):
            rows[name].sect |= bits.sect_read_only

    for name in _SHARED_SECT:
        rows[name].sect |= sect_shared
    for name in _SHARED_PTE:
        rows[name].pte |= pte_shared
    rows["MEMORY_RWX_NONCACHED"].sect |= bits.sect_bufferable if remap else bits.tex1
    for row in rows.values():
        row.pte |= bits.ext_af
        if row.sect:
            row.sect |= bits.sect_af

    for name in (*_POLICY_PTE, *_POLICY_PTE_VECTORS):
        rows[name].pte |= pte_policy | pte_shared | bits.ext_af
    if architecture < V7:
        for name in _POLICY_PTE_VECTORS:
            rows[name].pte |= bits.mt_vectors
    for name in _POLICY_SECT:
        rows[name].sect |= sect_policy
    rows["CACHECLEAN"].sect |= bits.sect_cache[Memory.WRITEBACK]
    if ecc:
        for name in _ECC_SECT:
            rows[name].sect |= bits.protection
        for name in _ECC_TABLE:
            rows[name].table |= bits.protection

    return MappingProxyType(
        {name: _with_domain(bits, row, _domain(domains, name)) for name, row in rows.items()}
    )


def _domain(numbers: Domains, name: str) -> int:
    kind = _DOMAIN.get(name, "kernel")
    return {"io": numbers.io, "vectors": numbers.vectors, "kernel": numbers.kernel}[kind]


def _with_domain(bits: ProtBits, row: _Row, domain: int) -> MemType:
    field = domain << 5 if bits.domains else 0
    return MemType(
        prot_pte=row.pte,
        prot_l1=row.table | field if row.table else 0,
        prot_sect=row.sect | field if row.sect else 0,
    )


def _initial(bits: ProtBits) -> dict[str, _Row]:
    """mem_types[] as it is compiled."""
    memory = bits.present | bits.young | bits.dirty
    device = memory | bits.xn
    write = bits.section | bits.sect_write
    table = bits.table
    return {
        "DEVICE": _Row(
            device | bits.mt[Memory.DEV_SHARED] | bits.shared, table, write | bits.sect_shared
        ),
        "DEVICE_NONSHARED": _Row(device | bits.mt[Memory.DEV_NONSHARED], table, write),
        "DEVICE_CACHED": _Row(
            device | bits.mt[Memory.DEV_CACHED], table, write | bits.sect_cache[Memory.WRITEBACK]
        ),
        "DEVICE_WC": _Row(device | bits.mt[Memory.DEV_WC], table, write),
        "UNCACHED": _Row(device, table, bits.section | bits.sect_xn),
        "CACHECLEAN": _Row(sect=bits.section | bits.sect_xn),
        **_miniclean(bits),
        "LOW_VECTORS": _Row(memory | bits.rdonly, table),
        "HIGH_VECTORS": _Row(memory | bits.user | bits.rdonly, table),
        "MEMORY_RWX": _Row(memory, table, write),
        "MEMORY_RW": _Row(memory | bits.xn, table, write),
        "MEMORY_RO": _Row(
            memory | bits.xn | bits.rdonly,
            table,
            bits.section if bits.domains else bits.section | bits.sect_read_only,
        ),
        "ROM": _Row(sect=bits.section),
        "MEMORY_RWX_NONCACHED": _Row(memory | bits.mt[Memory.BUFFERABLE], table, write),
        "MEMORY_RW_DTCM": _Row(memory | bits.xn, table, bits.section | bits.sect_xn),
        "MEMORY_RWX_ITCM": _Row(memory, table),
        "MEMORY_RW_SO": _Row(
            memory | bits.mt[Memory.UNCACHED] | bits.xn,
            table,
            write | bits.sect_shared | bits.sect_uncached | bits.sect_xn,
        ),
        "MEMORY_DMA_READY": _Row(memory | bits.xn, table),
    }


def _miniclean(bits: ProtBits) -> dict[str, _Row]:
    """MT_MINICLEAN, the mini-cache of early cores, which LPAE kernels leave out."""
    if not bits.domains:
        return {}
    minicache = bits.tex1 | bits.sect_cache[Memory.WRITETHROUGH]
    return {"MINICLEAN": _Row(sect=bits.section | bits.sect_xn | minicache)}
