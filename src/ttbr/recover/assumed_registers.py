"""Registers for an image that holds none: those that follow from its tables, and Linux's own.

What a table shows (granule, size, root) is as sure as the finding of the table; what is the same
in every Linux of its kind (memory types, walk attributes) is assumed.
Source: arch/arm64/mm/proc.S (__cpu_setup), arch/arm64/include/asm/{pgtable-hwdef,sysreg}.h,
arch/arm/mm/{proc-v7-2level,proc-v7-3level}.S (v7_ttb_setup), asm/pgtable-3level-hwdef.h.
"""

from ttbr.arch.registers_aarch32 import SCTLR, TTBCR_LPAE
from ttbr.arch.registers_aarch64 import GRANULES_TG0, GRANULES_TG1, PHYSICAL_SIZES, TCR_EL1
from ttbr.arch.tcr import SMALLEST_TXSZ
from ttbr.kernel.arm64_prot import mair
from ttbr.kernel.arm_prot import MAIR0, MAIR1, NMRR, PRRR, TTB_FLAGS_SMP, TTB_FLAGS_UP

ADDRESS_BITS = 64
_INNER_SHAREABLE = 3
_WRITE_BACK = 1
_TG0 = {size: code for code, size in GRANULES_TG0.items()}
_TG1 = {size: code for code, size in GRANULES_TG1.items()}
_IPS = {bits: code for code, bits in PHYSICAL_SIZES.items()}
_GRANULE_64K = 0x10000


def arm64_registers(granule: int, va_bits: int, root: int) -> dict[str, int]:
    """TCR_EL1, TTBR1_EL1 and MAIR_EL1 of a kernel.

    ``granule`` in bytes; ``va_bits`` that TTBR1 translates; ``root``: the physical address that
    TTBR1 holds. Linux gives both halves the same size, 52 bits only together with 52-bit output
    addresses, and leaves the top byte of the lower half to programs.
    """
    size = ADDRESS_BITS - va_bits
    wide = size < SMALLEST_TXSZ
    walks = {f"{name}{half}": _WRITE_BACK for name in ("IRGN", "ORGN") for half in (0, 1)}
    tcr = TCR_EL1.encode(
        {
            "T0SZ": size,
            "T1SZ": size,
            "TG0": _TG0[granule],
            "TG1": _TG1[granule],
            "IPS": _IPS[52 if wide else 48],
            "DS": int(wide and granule != _GRANULE_64K),
            "SH0": _INNER_SHAREABLE,
            "SH1": _INNER_SHAREABLE,
            "TBI0": 1,
            "A1": 1,
            **walks,
        }
    )
    return {"TCR_EL1": tcr, "TTBR1_EL1": root, "MAIR_EL1": mair()}


def short_registers(root: int, smp: bool) -> dict[str, int]:
    """The registers of an ARMv7 kernel with short descriptors: one table, in both TTBRs.

    As long as no process runs, TTBR0 holds it, too; and only there the CPU looks.
    """
    flags = TTB_FLAGS_SMP if smp else TTB_FLAGS_UP
    return {
        "TTBCR": 0,
        "TTBR0": root | flags,
        "TTBR1": root | flags,
        "PRRR": PRRR,
        "NMRR": NMRR,
        "SCTLR": _sctlr(),
    }


def lpae_registers(swapper: int, root: int, t1sz: int) -> dict[str, int]:
    """The registers of an ARMv7 kernel with long descriptors.

    ``root`` is what TTBR1 holds; ``t1sz`` 0 where that is the whole of ``swapper``.
    """
    return {
        "TTBCR": TTBCR_LPAE.encode({"EAE": 1, "T1SZ": t1sz, "SH0": 3, "SH1": 3}),
        "TTBR0": swapper,
        "TTBR1": root,
        "MAIR0": MAIR0,
        "MAIR1": MAIR1,
        "SCTLR": _sctlr(),
    }


def _sctlr() -> int:
    """MMU, caches and TEX remap on; no access flag by hardware (AFE), as Linux has it."""
    return SCTLR.encode({"M": 1, "C": 1, "Z": 1, "I": 1, "TRE": 1})
