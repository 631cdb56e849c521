"""System registers of arm64 at each moment of the boot, composed as the kernel composes them.

Source: arch/arm64/mm/proc.S (__cpu_setup), include/asm/{assembler,sysreg,kernel-pgtable}.h,
kernel/pi/map_kernel.c, include/asm/mmu_context.h. Field positions: Arm ARM D19.2 (TCR_EL1,
SCTLR_EL1, TTBRn_EL1, MAIR_EL1).
"""

from __future__ import annotations

from ttbr.kernel.arm64_geometry import Geometry
from ttbr.kernel.arm64_prot import physical_bits
from ttbr.kernel.config import Config
from ttbr.kernel.cpu import Cpu

T0SZ_SHIFT = 0
T1SZ_SHIFT = 16
IPS_SHIFT = 32
TXSZ_MASK = 0x3F
IPS_MASK = 0b111 << IPS_SHIFT
HA = 1 << 39
DS = 1 << 59

# Set in every configuration: inner and outer write-back walks of both halves, inner shareable,
# A1 (the ASID is in TTBR1), AS (16-bit ASIDs), TBI0.
TCR_ALWAYS = (
    (0b01 << 8 | 0b01 << 10 | 0b11 << 12)
    | (0b01 << 24 | 0b01 << 26 | 0b11 << 28)
    | (1 << 22 | 1 << 36 | 1 << 37)
)

# log2 page size → TG0 and TG1, which number the granules differently.
TCR_GRANULES = {
    12: 0b00 << 14 | 0b10 << 30,
    14: 0b10 << 14 | 0b01 << 30,
    16: 0b01 << 14 | 0b11 << 30,
}

TBI1 = 1 << 38
TBID1 = 1 << 52
NFD1 = 1 << 54
TCMA1 = 1 << 58

# Option → what it adds to TCR_EL1.
TCR_OPTIONS = (
    ("RANDOMIZE_BASE", NFD1),
    ("KASAN_HW_TAGS", TCMA1 | TBI1 | TBID1),
    ("ARM64_MTE", TBI1 | TBID1),
)

# Bits of SCTLR_EL1 that the kernel sets, by name.
SCTLR = {
    "M": 0,
    "C": 2,
    "SA": 3,
    "SA0": 4,
    "SED": 8,
    "EOS": 11,
    "I": 12,
    "DZE": 14,
    "UCT": 15,
    "nTWE": 18,
    "TSCXT": 20,
    "IESB": 21,
    "EIS": 22,
    "SPAN": 23,
    "E0E": 24,
    "EE": 25,
    "UCI": 26,
    "nTLSMD": 28,
    "LSMAOE": 29,
    "ITFSB": 37,
    "EPAN": 57,
}
SCTLR_MMU_OFF = ("LSMAOE", "nTLSMD", "EIS", "TSCXT", "EOS")
SCTLR_MMU_ON = (
    *SCTLR_MMU_OFF,
    *("M", "C", "SA", "SA0", "SED", "I", "DZE", "UCT", "nTWE", "IESB", "SPAN", "UCI", "EPAN"),
)

# Fields of ID registers that no property of `Cpu` stands for: (register, lowest bit).
PARANGE = ("ID_AA64MMFR0_EL1", 0)
BT = ("ID_AA64PFR1_EL1", 0)
MTE = ("ID_AA64PFR1_EL1", 8)
RNDR = ("ID_AA64ISAR0_EL1", 60)
# Pointer authentication with an architected or implementation-defined algorithm; APA3.
PAC = (("ID_AA64ISAR1_EL1", 4), ("ID_AA64ISAR1_EL1", 8), ("ID_AA64ISAR2_EL1", 12))

# A64FX 1.0 and 1.1, which must not use NFD1 (asm/assembler.h: tcr_clear_errata_bits).
MIDR_A64FX = 0x460F_0010

PARANGE_48 = 5
PARANGE_52 = 6


def has_pac(cpu: Cpu) -> bool:
    """cpu_has_pac: the CPU authenticates addresses."""
    return any(cpu.field(*where) for where in PAC)


def has_lpa2(config: Config, geometry: Geometry, cpu: Cpu) -> bool:
    """cpu_has_lpa2: the kernel is built for LPA2 and the CPU has it for the page size."""
    return config.enabled("ARM64_LPA2") and cpu.lpa2(geometry.page_shift)


def actual_va_bits(config: Config, geometry: Geometry, cpu: Cpu) -> int:
    """vabits_actual: the configured bits, or what a 52-bit kernel makes do with."""
    if geometry.va_bits <= 48:
        return geometry.va_bits
    if geometry.page_shift == 16:
        return 52 if cpu.large_va else 48
    if has_lpa2(config, geometry, cpu):
        return 52
    return 47 if geometry.page_shift == 14 else 48


def tcr_cpu_setup(config: Config, geometry: Geometry, cpu: Cpu, t0sz: int, t1sz: int) -> int:
    """TCR_EL1 as __cpu_setup leaves it. `t0sz`, `t1sz`: 64 − bits of the two halves."""
    value = TCR_ALWAYS | TCR_GRANULES[geometry.page_shift]
    for option, bits in TCR_OPTIONS:
        if config.enabled(option):
            value |= bits
    # Before the CPU's features are known, LPA2 kernels stay within 48 bits, too.
    widest = PARANGE_48
    if physical_bits(config) == 52 and not config.enabled("ARM64_LPA2"):
        widest = PARANGE_52
    value |= min(cpu.field(*PARANGE) & 0b111, widest) << IPS_SHIFT
    if config.enabled("ARM64_HW_AFDBM") and cpu.access_flag:
        value |= HA
    midr = cpu.registers.get("MIDR_EL1", 0)
    if config.enabled("FUJITSU_ERRATUM_010001") and midr & ~(1 << 20) == MIDR_A64FX:
        value &= ~NFD1
    return with_t1sz(with_t0sz(value, t0sz), t1sz)


def with_t0sz(tcr: int, t0sz: int) -> int:
    """`tcr` with another size of the lower half."""
    return tcr & ~(TXSZ_MASK << T0SZ_SHIFT) | t0sz << T0SZ_SHIFT


def with_t1sz(tcr: int, t1sz: int) -> int:
    """`tcr` with another size of the upper half."""
    return tcr & ~(TXSZ_MASK << T1SZ_SHIFT) | t1sz << T1SZ_SHIFT


def with_lpa2(tcr: int, cpu: Cpu) -> int:
    """`tcr` with LPA2 descriptors and the CPU's whole physical range (set_ttbr0_for_lpa2)."""
    return tcr & ~IPS_MASK | DS | (cpu.field(*PARANGE) & 0b111) << IPS_SHIFT


def sctlr(config: Config, cpu: Cpu, *, mmu: bool) -> int:
    """SCTLR_EL1 before and after the MMU is turned on (INIT_SCTLR_EL1_MMU_OFF, …_ON)."""
    names = [*(SCTLR_MMU_ON if mmu else SCTLR_MMU_OFF)]
    if config.enabled("CPU_BIG_ENDIAN"):
        names += ["E0E", "EE"]
    if mmu and cpu.field(*MTE) >= 2:
        names.append("ITFSB")  # the kernel always sets it; without tag checks it reads as zero
    return sum(1 << SCTLR[name] for name in names)


def ttbr(table: int, config: Config) -> int:
    """TTBRn_EL1 for a root table (phys_to_ttbr): 52-bit addresses keep PA[51:48] in bits 5:2."""
    if physical_bits(config) == 52:
        return (table | table >> 46) & ~0b11 & (1 << 48) - 1
    return table
