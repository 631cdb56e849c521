"""Page protections of 32-bit ARM: Linux's bits, the hardware's, and the way from one to the other.

With short descriptors Linux keeps two tables: its own entries, with young and dirty bits that the
hardware does not have, and the hardware's, which `set_pte_short` makes from them. With LPAE the
one entry holds both, and only AP[2] is computed.

Source: arch/arm/include/asm/{pgtable-2level,pgtable-2level-hwdef,pgtable-3level,
pgtable-3level-hwdef,domain,fixmap,pgalloc}.h, arch/arm/mm/{proc-v7,proc-v7-2level,
proc-v7-3level}.S of 6.1 and 6.12 (the same in both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ttbr.kernel.config import Config

# TEX remap (short descriptors) and MAIR0/1 (LPAE), the same register pair (__v7_setup).
PRRR, NMRR = 0xFF0A_81A8, 0x40E0_40E0
MAIR0, MAIR1 = 0xEEAA_4400, 0xFF00_0004

# Bits that the walker's accesses have in TTBRn with short descriptors.
TTB_FLAGS_SMP = 0x6A  # inner and outer write-back write-allocate, shareable, not outer shareable
TTB_FLAGS_UP = 0x59  # inner and outer write-back, not shareable
TTB_FLAGS_V6_SMP = 0x0A  # ARMv6: outer write-back write-allocate, shareable
TTB_FLAGS_V6_UP = 0x08


class Memory(StrEnum):
    """Linux's memory types (L_PTE_MT_*)."""

    UNCACHED = "uncached"
    BUFFERABLE = "bufferable"
    WRITETHROUGH = "writethrough"
    WRITEBACK = "writeback"
    WRITEALLOC = "writealloc"
    DEV_SHARED = "dev_shared"
    DEV_NONSHARED = "dev_nonshared"
    DEV_WC = "dev_wc"
    DEV_CACHED = "dev_cached"


@dataclass(frozen=True, slots=True)
class ProtBits:
    """The bits of one descriptor format under the names that mm/mmu.c uses for both.

    A name that means nothing in a format is 0 there, as in the kernel's headers. `mt` is the
    memory type in a Linux PTE, `sect_cache` the same in a section. `tex1` is TEX[0] of a section.
    """

    name: str
    # Linux PTE
    present: int
    young: int
    dirty: int
    rdonly: int
    user: int
    xn: int
    shared: int
    mt_mask: int
    mt: Mapping[Memory, int]
    mt_vectors: int  # what the vectors' type adds on CPUs that the kernel takes for ARMv6
    ext_af: int
    # first level (LPAE: PMD)
    table: int
    section: int
    bit4: int
    protection: int  # the v5 ECC bit, set by ecc=on
    sect_xn: int
    sect_write: int
    sect_read: int
    sect_read_only: int  # what makes a section read-only (MT_MEMORY_RO) beside leaving out writes
    sect_shared: int
    sect_af: int
    sect_bufferable: int
    tex1: int
    sect_uncached: int
    sect_cache: Mapping[Memory, int]
    domains: bool


SHORT = ProtBits(
    name="short",
    present=1 << 0,
    young=1 << 1,
    dirty=1 << 6,
    rdonly=1 << 7,
    user=1 << 8,
    xn=1 << 9,
    shared=1 << 10,
    mt_mask=0xF << 2,
    mt=MappingProxyType(
        {
            Memory.UNCACHED: 0x0 << 2,
            Memory.BUFFERABLE: 0x1 << 2,
            Memory.WRITETHROUGH: 0x2 << 2,
            Memory.WRITEBACK: 0x3 << 2,
            Memory.WRITEALLOC: 0x7 << 2,
            Memory.DEV_SHARED: 0x4 << 2,
            Memory.DEV_NONSHARED: 0xC << 2,
            Memory.DEV_WC: 0x9 << 2,
            Memory.DEV_CACHED: 0xB << 2,
        }
    ),
    mt_vectors=0xF << 2,
    ext_af=0,
    table=1,
    section=2,
    bit4=1 << 4,
    protection=1 << 9,
    sect_xn=1 << 4,
    sect_write=1 << 10,
    sect_read=1 << 11,
    sect_read_only=1 << 15 | 1 << 10,  # APX | AP_WRITE
    sect_shared=1 << 16,
    sect_af=0,
    sect_bufferable=1 << 2,
    tex1=1 << 12,
    sect_uncached=0,
    sect_cache=MappingProxyType(
        {
            Memory.WRITETHROUGH: 1 << 3,
            Memory.WRITEBACK: 1 << 3 | 1 << 2,
            Memory.WRITEALLOC: 1 << 12 | 1 << 3 | 1 << 2,
        }
    ),
    domains=True,
)

LPAE = ProtBits(
    name="lpae",
    present=3,
    young=1 << 10,
    dirty=1 << 55,
    rdonly=1 << 58,
    user=1 << 6,
    xn=1 << 54,
    shared=3 << 8,
    mt_mask=7 << 2,
    mt=MappingProxyType(
        {
            Memory.UNCACHED: 0 << 2,
            Memory.BUFFERABLE: 1 << 2,
            Memory.WRITETHROUGH: 2 << 2,
            Memory.WRITEBACK: 3 << 2,
            Memory.WRITEALLOC: 7 << 2,
            Memory.DEV_SHARED: 4 << 2,
            Memory.DEV_NONSHARED: 4 << 2,
            Memory.DEV_WC: 1 << 2,
            Memory.DEV_CACHED: 3 << 2,
        }
    ),
    mt_vectors=0,
    ext_af=1 << 10,
    table=3,
    section=1,
    bit4=0,
    protection=0,
    sect_xn=1 << 54,
    sect_write=0,
    sect_read=0,
    sect_read_only=1 << 58 | 1 << 7,  # L_PMD_SECT_RDONLY | AP2
    sect_shared=3 << 8,
    sect_af=1 << 10,
    sect_bufferable=1 << 2,
    tex1=0,
    sect_uncached=0,
    sect_cache=MappingProxyType(
        {
            Memory.WRITETHROUGH: 2 << 2,
            Memory.WRITEBACK: 3 << 2,
            Memory.WRITEALLOC: 7 << 2,
        }
    ),
    domains=False,
)

SECT_SUPER = 1 << 18  # short descriptors only
PGD_SWAPPER = 1 << 55  # LPAE: L_PGD_SWAPPER, software mark of swapper's top entries
L_PTE_NONE = 1 << 11  # short descriptors: PROT_NONE
L_PTE_NONE_LPAE = 1 << 57
PTE_EXT_APX = 1 << 9
PTE_EXT_AP0 = 1 << 4
PTE_EXT_AP1 = 1 << 5
PTE_EXT_TEX0 = 1 << 6
PTE_TYPE_SMALL = 2
PTE_AP2_LPAE = 1 << 7


def prot_bits(lpae: bool) -> ProtBits:
    """The bits of the format that a kernel with or without CONFIG_ARM_LPAE uses."""
    return LPAE if lpae else SHORT


@dataclass(frozen=True, slots=True)
class Domains:
    """Domain numbers (asm/domain.h); CONFIG_IO_36 exchanges the kernel's and the devices'."""

    kernel: int
    user: int
    io: int
    vectors: int


def domains(config: Config) -> Domains:
    """The domain numbers of a configuration."""
    if config.enabled("IO_36"):
        return Domains(kernel=2, user=1, io=0, vectors=3)
    return Domains(kernel=0, user=1, io=2, vectors=3)


def dacr_init(config: Config) -> int:
    """DACR as head.S loads it (DACR_INIT): the user domain is shut with CPU_SW_DOMAIN_PAN."""
    number = domains(config)
    manager = 3 if config.enabled("CPU_USE_DOMAINS") else 1
    user = 0 if config.enabled("CPU_SW_DOMAIN_PAN") else 1
    return (
        user << 2 * number.user
        | manager << 2 * number.kernel
        | 1 << 2 * number.io
        | 1 << 2 * number.vectors
    )


def kernel_table(bits: ProtBits, config: Config) -> int:
    """_PAGE_KERNEL_TABLE: the entry of a kernel table without its address."""
    domain = domains(config).kernel << 5 if bits.domains else 0
    return bits.table | bits.bit4 | domain


def fixmap_page_io(bits: ProtBits) -> int:
    """FIXMAP_PAGE_IO: the Linux PTE of a device page in the fixmap (earlycon)."""
    common = bits.young | bits.present | bits.xn | bits.dirty
    return common | bits.mt[Memory.DEV_SHARED] | bits.shared


def set_pte_short(pte: NDArray[np.uint64], ext: int = 0) -> NDArray[np.uint64]:
    """Hardware entries (any shape, 32-bit values) that cpu_v7_set_pte_ext makes of Linux ones.

    `ext` holds bits that Linux's entry lacks (PTE_EXT_NG). An entry that is not young, not valid
    or PROT_NONE is a fault to the hardware; one that is not dirty is read-only.
    """
    hardware = (pte & np.uint64(0xFFFF_FFFF ^ 0x3F3)) | np.uint64(
        ext | PTE_EXT_AP0 | PTE_TYPE_SMALL
    )
    writable = (pte & np.uint64(SHORT.rdonly | SHORT.dirty)) == np.uint64(SHORT.dirty)
    hardware |= np.where(pte & np.uint64(1 << 4), PTE_EXT_TEX0, 0).astype(np.uint64)
    hardware |= np.where(writable, 0, PTE_EXT_APX).astype(np.uint64)
    hardware |= np.where(pte & np.uint64(SHORT.user), PTE_EXT_AP1, 0).astype(np.uint64)
    hardware |= np.where(pte & np.uint64(SHORT.xn), 1, 0).astype(np.uint64)
    seen = np.uint64(SHORT.young | SHORT.present | L_PTE_NONE)
    usable = (pte & seen) == np.uint64(SHORT.young | SHORT.present)
    return np.where(usable, hardware, np.uint64(0))


V6_TEX1, V6_TEX2, V6_CACHEABLE, V6_BUFFERABLE = 1 << 6, 2 << 6, 1 << 3, 1 << 2
V6_MEMORY_TYPES = np.array(
    (
        *(0, V6_TEX1, V6_CACHEABLE, V6_CACHEABLE | V6_BUFFERABLE),
        *(V6_BUFFERABLE, 0, 0, V6_TEX1 | V6_CACHEABLE | V6_BUFFERABLE),
        *(0, V6_TEX1, 0, V6_CACHEABLE | V6_BUFFERABLE),
        *(V6_TEX2, 0, 0, V6_CACHEABLE | V6_BUFFERABLE | PTE_EXT_APX),
    ),
    np.uint64,
)
"""What a Linux memory type (bits 5:2) flips in the hardware entry on ARMv6 (armv6_mt_table)."""


def set_pte_v6(pte: NDArray[np.uint64], ext: int = 0) -> NDArray[np.uint64]:
    """Hardware entries that cpu_v6_set_pte_ext makes of Linux ones, as `set_pte_short` does.

    What the user may only read the kernel may not write either, by AP[0]; the memory type goes
    through a table, and that of the vectors flips APX.
    """
    hardware = (pte & np.uint64(0xFFFF_FFFF ^ 0x3FF)) | np.uint64(
        ext | PTE_EXT_AP0 | PTE_TYPE_SMALL
    )
    writable = (pte & np.uint64(SHORT.rdonly | SHORT.dirty)) == np.uint64(SHORT.dirty)
    user = (pte & np.uint64(SHORT.user)) != 0
    hardware |= np.where(writable, 0, PTE_EXT_APX).astype(np.uint64)
    hardware |= np.where(user, PTE_EXT_AP1, 0).astype(np.uint64)
    hardware &= np.where(user & ~writable, 0xFFFF_FFFF ^ PTE_EXT_AP0, 0xFFFF_FFFF).astype(np.uint64)
    hardware |= np.where(pte & np.uint64(SHORT.xn), 1, 0).astype(np.uint64)
    hardware ^= V6_MEMORY_TYPES[(pte >> np.uint64(2) & np.uint64(0xF)).astype(np.intp)]
    seen = np.uint64(SHORT.young | SHORT.present | L_PTE_NONE)
    usable = (pte & seen) == np.uint64(SHORT.young | SHORT.present)
    return np.where(usable, hardware, np.uint64(0))


def set_pte_lpae(pte: NDArray[np.uint64], ext: int = 0) -> NDArray[np.uint64]:
    """Entries (any shape) that LPAE's cpu_v7_set_pte_ext stores for the given ones.

    AP[2] says read-only or not dirty; PROT_NONE entries lose their valid bit.
    """
    valid = (pte & np.uint64(1)) != 0
    none = valid & ((pte & np.uint64(L_PTE_NONE_LPAE)) != 0)
    writable = (pte & np.uint64(LPAE.rdonly | LPAE.dirty)) == np.uint64(LPAE.dirty)
    ap2 = np.uint64(PTE_AP2_LPAE)
    extended = pte | np.uint64(ext)
    checked = np.where(writable, extended & ~ap2, extended | ap2)
    return np.where(none, extended & ~np.uint64(1), np.where(valid, checked, extended))
