"""AArch32 system registers of PL1 that concern translation, as declared fields."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch.fields import Field, Layout, tile
from ttbr.arch.memory_types import MAIR_V7
from ttbr.arch.register_fields import (
    CACHE_POLICIES,
    ENABLED,
    WALKS,
    feature,
    flag,
    memory_attributes,
    walk_fields,
)

_SOURCE: Final = "Arm ARM DDI 0406C, "
_PBHA: Final = range(59, 63)
"""Bits of long descriptors that hardware may use."""

TTBCR: Final = Layout(
    "TTBCR",
    32,
    tile(
        32,
        (
            flag("EAE", 31, "descriptors", {0: "short", 1: "long (LPAE)"}),
            flag("PD1", 5, "table walks through TTBR1", WALKS),
            flag("PD0", 4, "table walks through TTBR0", WALKS),
            Field("N", 2, 0, "TTBR0 covers 2^(32-N) bytes; with N = 0 all"),
        ),
    ),
    f"{_SOURCE}B4.1 TTBCR, Short-descriptor format",
)
"""TTBCR with EAE = 0."""

TTBCR_LPAE: Final = Layout(
    "TTBCR (LPAE)",
    32,
    tile(
        32,
        (
            flag("EAE", 31, "descriptors", {0: "short", 1: "long (LPAE)"}),
            flag("IMP", 30, "implementation defined"),
            *walk_fields(1, 24),
            flag("EPD1", 23, "table walks through TTBR1", WALKS),
            flag("A1", 22, "the ASID is in", {0: "TTBR0", 1: "TTBR1"}),
            Field("T1SZ", 18, 16, "TTBR1 covers 2^(32-T1SZ) bytes"),
            *walk_fields(0, 8),
            flag("EPD0", 7, "table walks through TTBR0", WALKS),
            flag("T2E", 6, "TTBCR2 is in use (ARMv8.2)"),
            Field("T0SZ", 2, 0, "TTBR0 covers 2^(32-T0SZ) bytes"),
        ),
    ),
    f"{_SOURCE}B4.1 TTBCR, Long-descriptor format",
)
"""TTBCR with EAE = 1."""

TTBCR2: Final = Layout(
    "TTBCR2",
    32,
    tile(
        32,
        (
            *(flag(f"HWU1{bit}", bit - 44, f"hardware may use bit {bit}, TTBR1") for bit in _PBHA),
            *(flag(f"HWU0{bit}", bit - 48, f"hardware may use bit {bit}, TTBR0") for bit in _PBHA),
            flag("HPD1", 10, "APTable, PXNTable and XNTable are ignored, TTBR1"),
            flag("HPD0", 9, "APTable, PXNTable and XNTable are ignored, TTBR0"),
        ),
    ),
    "Arm ARM DDI 0487, G8.2 TTBCR2",
)
"""TTBCR2, in use with TTBCR.EAE and T2E (ARMv8.2)."""

TTBR: Final = Layout(
    "TTBR",
    32,
    (
        Field("BADDR[31:7]", 31, 7, "table address (bits below the table's size are zero)"),
        flag("IRGN[0]", 6, "inner cacheability of walks, bit 0"),
        flag("NOS", 5, "walks are Inner Shareable only"),
        Field("RGN", 4, 3, "outer cacheability of walks", CACHE_POLICIES),
        flag("IMP", 2, "implementation defined"),
        flag("S", 1, "walks are shareable"),
        flag("IRGN[1]", 0, "inner cacheability of walks, bit 1 (C without the MP extensions)"),
    ),
    f"{_SOURCE}B4.1 TTBR0, B4.1 TTBR1, 32-bit format",
    (("BADDR[31:7]", 7),),
)
"""TTBR0 and TTBR1 of short descriptors."""

TTBR_LPAE: Final = Layout(
    "TTBR (LPAE)",
    64,
    tile(
        64,
        (
            Field("ASID", 55, 48, "address space identifier"),
            Field("BADDR[39:4]", 39, 4, "table address"),
            flag("CnP", 0, "common not private (ARMv8.2)"),
        ),
    ),
    f"{_SOURCE}B4.1 TTBR0, B4.1 TTBR1, 64-bit format",
    (("BADDR[39:4]", 4),),
)
"""TTBR0 and TTBR1 of long descriptors."""

MAIR0: Final = memory_attributes("MAIR0", 32, 0, MAIR_V7, f"{_SOURCE}B4.1 MAIR0 and MAIR1")
MAIR1: Final = memory_attributes("MAIR1", 32, 4, MAIR_V7, f"{_SOURCE}B4.1 MAIR0 and MAIR1")

SCTLR: Final = Layout(
    "SCTLR",
    32,
    (
        Field("RES[31]", 31, 31, "reserved, zero"),
        flag("TE", 30, "exceptions are taken in Thumb state"),
        flag("AFE", 29, "AP[0] is the access flag", ENABLED),
        flag("TRE", 28, "TEX remap", ENABLED),
        flag("NMFI", 27, "FIQs cannot be masked"),
        Field("RES[26]", 26, 26, "reserved, zero"),
        flag("EE", 25, "big-endian exceptions and translation tables"),
        flag("VE", 24, "vectored interrupts", ENABLED),
        Field("RES[23]", 23, 23, "reserved, one (SPAN in ARMv8)"),
        flag("U", 22, "unaligned accesses (always one)"),
        flag("FI", 21, "fast interrupt configuration"),
        flag("UWXN", 20, "what PL0 can write is never executable at PL1"),
        flag("WXN", 19, "writable memory is never executable"),
        Field("RES[18]", 18, 18, "reserved, one (nTWE in ARMv8)"),
        flag("HA", 17, "hardware sets the access flag", ENABLED),
        Field("RES[16]", 16, 16, "reserved, one (nTWI in ARMv8)"),
        Field("RES[15]", 15, 15, "reserved, zero"),
        flag("RR", 14, "round-robin cache replacement"),
        flag("V", 13, "exception vectors", {0: "low, or at VBAR", 1: "high, at 0xffff0000"}),
        flag("I", 12, "instruction cache", ENABLED),
        flag("Z", 11, "branch prediction", ENABLED),
        flag("SW", 10, "SWP and SWPB", ENABLED),
        Field("RES[9:8]", 9, 8, "reserved, zero"),
        flag("B", 7, "big-endian as in ARMv6 (always zero)"),
        Field("RES[6]", 6, 6, "reserved, one"),
        flag("CP15BEN", 5, "CP15 barriers", ENABLED),
        Field("RES[4:3]", 4, 3, "reserved, ones"),
        flag("C", 2, "data cache", ENABLED),
        flag("A", 1, "alignment check", ENABLED),
        flag("M", 0, "stage 1 translation", ENABLED),
    ),
    f"{_SOURCE}B4.1 SCTLR (VMSA)",
)

_TR: Final[Mapping[int, str]] = {
    0: "Strongly-ordered",
    1: "Device",
    2: "Normal",
    3: "reserved",
}


def _by_index(name: str, low: int, meaning: str, values: Mapping[int, str]) -> tuple[Field, ...]:
    """Eight two-bit fields, index 7 first."""
    return tuple(
        Field(f"{name}{at}", low + 2 * at + 1, low + 2 * at, f"{meaning} of index {at}", values)
        for at in reversed(range(8))
    )


PRRR: Final = Layout(
    "PRRR",
    32,
    tile(
        32,
        (
            *(flag(f"NOS{at}", 24 + at, f"index {at} is Inner Shareable only") for at in range(8)),
            flag("NS1", 19, "Normal memory with S = 1 is shareable"),
            flag("NS0", 18, "Normal memory with S = 0 is shareable"),
            flag("DS1", 17, "Device memory with S = 1 is shareable"),
            flag("DS0", 16, "Device memory with S = 0 is shareable"),
            *_by_index("TR", 0, "memory type", _TR),
        ),
    ),
    f"{_SOURCE}B4.1 PRRR",
)
NMRR: Final = Layout(
    "NMRR",
    32,
    (
        *_by_index("OR", 16, "outer cacheability", CACHE_POLICIES),
        *_by_index("IR", 0, "inner cacheability", CACHE_POLICIES),
    ),
    f"{_SOURCE}B4.1 NMRR",
)
_DOMAIN_ACCESS: Final[Mapping[int, str]] = {
    0: "no access",
    1: "client: permissions are checked",
    2: "reserved",
    3: "manager: permissions are not checked",
}
DACR: Final = Layout(
    "DACR",
    32,
    tuple(
        Field(f"D{at}", 2 * at + 1, 2 * at, f"domain {at}", _DOMAIN_ACCESS)
        for at in reversed(range(16))
    ),
    f"{_SOURCE}B4.1 DACR",
)

ID_MMFR0: Final = Layout(
    "ID_MMFR0",
    32,
    (
        feature("InnerShr", 28, "innermost shareability"),
        feature("FCSE", 24, "fast context switch extension"),
        feature("AuxReg", 20, "auxiliary registers"),
        feature("TCM", 16, "tightly coupled memory"),
        feature("ShareLvl", 12, "shareability levels", {0: "one", 1: "two"}),
        feature("OuterShr", 8, "outermost shareability"),
        feature("PMSA", 4, "protected memory system"),
        feature(
            "VMSA",
            0,
            "virtual memory system",
            {0: "none", 3: "VMSAv7", 4: "VMSAv7 with PXN", 5: "VMSAv7 with PXN and LPAE"},
        ),
    ),
    f"{_SOURCE}B4.1 ID_MMFR0",
)
ID_MMFR3: Final = Layout(
    "ID_MMFR3",
    32,
    (
        feature("Supersec", 28, "supersections", {0: "implemented", 15: "not implemented"}),
        feature("CMemSz", 24, "cached memory size", {0: "4 GiB", 1: "64 GiB", 2: "1 TiB"}),
        feature("CohWalk", 20, "table walks", {0: "clean caches first", 1: "see the caches"}),
        feature("PAN", 16, "privileged access never (ARMv8.1)"),
        feature("MaintBcst", 12, "broadcast maintenance"),
        feature("BPMaint", 8, "branch predictor maintenance"),
        feature("CMaintSW", 4, "cache maintenance by set and way"),
        feature("CMaintVA", 0, "cache maintenance by address"),
    ),
    f"{_SOURCE}B4.1 ID_MMFR3",
)
