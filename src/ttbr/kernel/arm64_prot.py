"""Page protections of arm64 kernels and how descriptors are put together from them.

Bits: Arm ARM D8.3 (VMSAv8-64 descriptors). Protections: arch/arm64/include/asm/pgtable-prot.h
of 6.1 and 6.12; memory types: asm/memory.h (MT_*); table descriptors: asm/pgtable-hwdef.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.config import Config
from ttbr.kernel.release import Release

TYPE_MASK = 0b11
TYPE_BLOCK = 0b01
TYPE_TABLE = 0b11
TYPE_PAGE = 0b11

RDONLY = 1 << 7
SHARED = 0b11 << 8
AF = 1 << 10
NG = 1 << 11
GP = 1 << 50
WRITE = 1 << 51  # DBM
CONT = 1 << 52
PXN = 1 << 53
UXN = 1 << 54
DIRTY = 1 << 55  # software

TABLE_PXN = 1 << 59
TABLE_UXN = 1 << 60

# Descriptor of the tables that hold code or both (PxD_TYPE_TABLE | PxD_TABLE_UXN) and of those
# that head.S and the fixmap link.
TABLE = TYPE_TABLE | TABLE_UXN
TABLE_BARE = TYPE_TABLE


class MemoryType(IntEnum):
    """Index into MAIR_EL1 (MT_*)."""

    NORMAL = 0
    NORMAL_TAGGED = 1
    NORMAL_NC = 2
    DEVICE_NGNRNE = 3
    DEVICE_NGNRE = 4


# MAIR_EL1 attribute of each type at boot; NORMAL_TAGGED becomes f0 once MTE is brought up.
MAIR_ATTRIBUTES = {
    MemoryType.NORMAL: 0xFF,
    MemoryType.NORMAL_TAGGED: 0xFF,
    MemoryType.NORMAL_NC: 0x44,
    MemoryType.DEVICE_NGNRNE: 0x00,
    MemoryType.DEVICE_NGNRE: 0x04,
}


def mair() -> int:
    """MAIR_EL1 from the MMU's first use until MTE is brought up."""
    return sum(attribute << 8 * index for index, attribute in MAIR_ATTRIBUTES.items())


def attr_index(memory: MemoryType) -> int:
    """The AttrIndx field of a descriptor."""
    return memory << 2


@dataclass(frozen=True, slots=True)
class OutputAddress:
    """Where the output address stands in a descriptor (phys_to_pte).

    `high_shift`: how far bits 48 and up are moved down for the low field, or 0 where the format
    has none: 64K with 52-bit addresses keeps PA[51:48] in bits 15:12, LPA2 PA[51:50] in 9:8.
    """

    field: int
    high_shift: int

    def encode(self, address: int) -> int:
        """Address bits of the descriptor that points to physical `address`."""
        return (address | (address >> self.high_shift if self.high_shift else 0)) & self.field

    def decode(self, descriptor: int) -> int:
        """The physical address that a descriptor points to."""
        plain = descriptor & (self.field & ~self.low_field)
        return plain | (descriptor & self.low_field) << self.high_shift

    @property
    def low_field(self) -> int:
        """The bits that hold the moved part of the address."""
        return self.field & LOW_FIELDS[self.high_shift]

    @property
    def contiguous_limit(self) -> int:
        """Span (a power of two) within which the address field counts up linearly."""
        return 1 << LINEAR_BITS[self.high_shift]


# high_shift → bits of the descriptor with the moved address bits; → bits that count linearly.
LOW_FIELDS = {0: 0, 36: 0xF000, 42: 0x300}
LINEAR_BITS = {0: 48, 36: 48, 42: 50}


def physical_bits(config: Config) -> int:
    """CONFIG_ARM64_PA_BITS: physical address bits that the kernel is built for."""
    return config.integer("ARM64_PA_BITS", 48)


def output_address(config: Config, page_shift: int, lpa2: bool) -> OutputAddress:
    """The address packing of a kernel; `lpa2`: TCR_EL1.DS is set."""
    if page_shift == 16 and physical_bits(config) == 52:
        return OutputAddress(field=(1 << 48) - (1 << 16) | 0xF000, high_shift=36)
    if lpa2:
        return OutputAddress(field=(1 << 50) - (1 << page_shift) | 0x300, high_shift=42)
    return OutputAddress(field=(1 << 48) - (1 << page_shift), high_shift=0)


@dataclass(frozen=True, slots=True)
class Protections:
    """The kernel's page protections as page descriptors without an address.

    `shared` is SHARED, or 0 with LPA2, whose descriptors have no shareability; `non_global` is
    NG once the kernel uses non-global mappings; `dirty` is DIRTY where the release's kernel
    protections carry it.
    """

    shared: int
    non_global: int
    dirty: int

    def normal(self, memory: MemoryType = MemoryType.NORMAL) -> int:
        """PROT_NORMAL, PROT_NORMAL_NC, PROT_DEVICE_*: data of one memory type."""
        default = TYPE_PAGE | self.non_global | self.shared | AF
        return default | PXN | UXN | WRITE | attr_index(memory)

    @property
    def kernel(self) -> int:
        """PAGE_KERNEL: writable data."""
        return self.normal() | self.dirty

    @property
    def kernel_tagged(self) -> int:
        """PAGE_KERNEL of the linear map (pgprot_tagged)."""
        return self.normal(MemoryType.NORMAL_TAGGED) | self.dirty

    @property
    def kernel_ro(self) -> int:
        """PAGE_KERNEL_RO: read-only data."""
        return self.normal() & ~WRITE | RDONLY | self.dirty

    @property
    def kernel_rox(self) -> int:
        """PAGE_KERNEL_ROX: code."""
        return self.normal() & ~(WRITE | PXN) | RDONLY | self.dirty

    @property
    def kernel_exec(self) -> int:
        """PAGE_KERNEL_EXEC: code that stays writable (rodata=off)."""
        return self.normal() & ~PXN | self.dirty

    @property
    def device(self) -> int:
        """PROT_DEVICE_nGnRE: ioremap and the fixmap's I/O slots."""
        return self.normal(MemoryType.DEVICE_NGNRE)

    def early(self, *, executable: bool) -> int:
        """head.S of releases that map there: SWAPPER_RW/RX_MMUFLAGS as a page descriptor."""
        flags = TYPE_PAGE | AF | SHARED | attr_index(MemoryType.NORMAL)
        return flags | RDONLY if executable else flags


def protections(release: Release, *, non_global: bool, lpa2: bool) -> Protections:
    """Protections of a release at a moment of its boot."""
    return Protections(
        shared=0 if lpa2 else SHARED,
        non_global=NG if non_global else 0,
        dirty=DIRTY if release.has("arm64_kernel_pages_dirty") else 0,
    )


def leaf(protection: int, level: int) -> int:
    """`protection` with the type bits of a leaf at `level`."""
    return protection & ~TYPE_MASK | (TYPE_PAGE if level == LAST_LEVEL else TYPE_BLOCK)
