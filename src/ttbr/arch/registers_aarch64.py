"""AArch64 system registers of EL1 that concern translation, as declared fields."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch.fields import Field, Layout, tile
from ttbr.arch.memory_types import MAIR_V8
from ttbr.arch.register_fields import (
    ENABLED,
    NOT_THERE,
    WALKS,
    feature,
    flag,
    memory_attributes,
    walk_fields,
)

_SOURCE: Final = "Arm ARM DDI 0487, "

GRANULES_TG0: Final[Mapping[int, int]] = {0: 0x1000, 1: 0x10000, 2: 0x4000}
GRANULES_TG1: Final[Mapping[int, int]] = {1: 0x4000, 2: 0x1000, 3: 0x10000}
"""TCR_EL1.TG0 and TG1 → granule in bytes; other values are reserved."""
PHYSICAL_SIZES: Final[Mapping[int, int]] = {0: 32, 1: 36, 2: 40, 3: 42, 4: 44, 5: 48, 6: 52, 7: 56}
"""TCR_EL1.IPS and ID_AA64MMFR0_EL1.PARange → physical address bits."""


def granule_names(table: Mapping[int, int]) -> dict[int, str]:
    """``4K``, ``16K`` or ``64K`` by the value of a TGn field."""
    return {code: f"{size >> 10}K" for code, size in table.items()}


def _hardware_use(half: int, low: int) -> tuple[Field, ...]:
    return tuple(
        flag(f"HWU{half}{bit}", low + bit - 59, f"hardware may use bit {bit} of TTBR{half} leaves")
        for bit in range(59, 63)
    )


def _split(name: str, low: int, meaning: str) -> tuple[Field, Field]:
    """A bit for each half of the address space, TTBR0's at ``low``."""
    lower = flag(f"{name}0", low, f"{meaning}, TTBR0")
    return lower, flag(f"{name}1", low + 1, f"{meaning}, TTBR1")


TCR_EL1: Final = Layout(
    "TCR_EL1",
    64,
    tile(
        64,
        (
            *_split("MTX", 60, "memory tagging uses bits 59:56 of addresses"),
            flag("DS", 59, "52-bit addresses in 4K and 16K descriptors (LPA2)"),
            *_split("TCMA", 57, "accesses with a match-all tag are not checked"),
            *_split("E0PD", 55, "EL0 accesses fault"),
            *_split("NFD", 53, "non-fault accesses of SVE fault"),
            *_split("TBID", 51, "top byte of instruction addresses is not ignored"),
            *_hardware_use(1, 47),
            *_hardware_use(0, 43),
            *_split("HPD", 41, "APTable, PXNTable and UXNTable are ignored"),
            flag("HD", 40, "hardware manages dirty state"),
            flag("HA", 39, "hardware sets the access flag"),
            *_split("TBI", 37, "top byte of addresses is ignored"),
            flag("AS", 36, "ASID size", {0: "8 bits", 1: "16 bits"}),
            Field(
                "IPS",
                34,
                32,
                "physical address size",
                {code: f"{bits} bits" for code, bits in PHYSICAL_SIZES.items()},
            ),
            Field("TG1", 31, 30, "granule of TTBR1", granule_names(GRANULES_TG1)),
            *walk_fields(1, 24),
            flag("EPD1", 23, "table walks through TTBR1", WALKS),
            flag("A1", 22, "the ASID is in", {0: "TTBR0", 1: "TTBR1"}),
            Field("T1SZ", 21, 16, "TTBR1 covers 2^(64-T1SZ) bytes"),
            Field("TG0", 15, 14, "granule of TTBR0", granule_names(GRANULES_TG0)),
            *walk_fields(0, 8),
            flag("EPD0", 7, "table walks through TTBR0", WALKS),
            Field("T0SZ", 5, 0, "TTBR0 covers 2^(64-T0SZ) bytes"),
        ),
    ),
    f"{_SOURCE}TCR_EL1",
)

CNP: Final = flag("CnP", 0, "common not private: shared with other processors")
_ASID: Final = Field("ASID", 63, 48, "address space identifier")

TTBR_EL1: Final = Layout(
    "TTBR_EL1",
    64,
    (_ASID, Field("BADDR[47:1]", 47, 1, "table address"), CNP),
    f"{_SOURCE}TTBR0_EL1, TTBR1_EL1",
    (("BADDR[47:1]", 1),),
)
"""TTBR0_EL1 and TTBR1_EL1 with 48-bit table addresses."""

TTBR_EL1_52: Final = Layout(
    "TTBR_EL1 (52-bit)",
    64,
    tile(
        64,
        (
            _ASID,
            Field("BADDR[47:6]", 47, 6, "table address"),
            Field("BADDR[51:48]", 5, 2, "table address, bits 51:48"),
            CNP,
        ),
    ),
    f"{_SOURCE}TTBR0_EL1, TTBR1_EL1 (TCR_EL1.DS = 1, or 64K granule and IPS = 0b110)",
    (("BADDR[47:6]", 6), ("BADDR[51:48]", 48)),
)
"""TTBR0_EL1 and TTBR1_EL1 with 52-bit table addresses."""

MAIR_EL1: Final = memory_attributes("MAIR_EL1", 64, 0, MAIR_V8, f"{_SOURCE}MAIR_EL1")

SCTLR_EL1: Final = Layout(
    "SCTLR_EL1",
    64,
    tile(
        64,
        (
            flag("TIDCP", 63, "implementation-defined instructions trapped from EL0"),
            flag("SPINTMASK", 62, "PSTATE.SP masks interrupts"),
            flag("NMI", 61, "non-maskable interrupts", ENABLED),
            flag("EnTP2", 60, "TPIDR2_EL0 accessible from EL0"),
            flag("TCSO", 59, "tag checks of stores only, EL1"),
            flag("TCSO0", 58, "tag checks of stores only, EL0"),
            flag("EPAN", 57, "PAN counts EL0-executable pages as accessible to EL0"),
            flag("EnALS", 56, "LD64B and ST64B from EL0"),
            flag("EnAS0", 55, "ST64BV0 from EL0"),
            flag("EnASR", 54, "ST64BV from EL0"),
            flag("TME", 53, "transactional memory at EL1"),
            flag("TME0", 52, "transactional memory at EL0"),
            flag("TMT", 51, "transactions fail at EL1"),
            flag("TMT0", 50, "transactions fail at EL0"),
            Field("TWEDEL", 49, 46, "delay before WFE is trapped"),
            flag("TWEDEn", 45, "that delay is in use"),
            flag("DSSBS", 44, "PSTATE.SSBS on exception entry"),
            flag("ATA", 43, "allocation tags accessible at EL1"),
            flag("ATA0", 42, "allocation tags accessible at EL0"),
            Field("TCF", 41, 40, "tag check faults at EL1"),
            Field("TCF0", 39, 38, "tag check faults at EL0"),
            flag("ITFSB", 37, "tag faults are synchronised on entry to EL1"),
            flag("BT1", 36, "PACIASP is no branch target of every kind, EL1"),
            flag("BT0", 35, "PACIASP is no branch target of every kind, EL0"),
            flag("EnFPM", 34, "FPMR accessible from EL0"),
            flag("MSCEn", 33, "memory copy instructions at EL0", ENABLED),
            flag("CMOW", 32, "cache maintenance at EL0 needs write permission"),
            flag("EnIA", 31, "pointer authentication with key IA", ENABLED),
            flag("EnIB", 30, "pointer authentication with key IB", ENABLED),
            flag("LSMAOE", 29, "load and store multiple are atomic and ordered"),
            flag("nTLSMD", 28, "load and store multiple to Device are not trapped"),
            flag("EnDA", 27, "pointer authentication with key DA", ENABLED),
            flag("UCI", 26, "cache maintenance at EL0 is not trapped"),
            flag("EE", 25, "big-endian data and translation tables at EL1"),
            flag("E0E", 24, "big-endian data at EL0"),
            flag("SPAN", 23, "PAN is left as it is on exception entry"),
            flag("EIS", 22, "exception entry synchronises context"),
            flag("IESB", 21, "implicit error synchronisation"),
            flag("TSCXT", 20, "SCXTNUM_EL0 is trapped from EL0"),
            flag("WXN", 19, "writable memory is never executable"),
            flag("nTWE", 18, "WFE at EL0 is not trapped"),
            flag("nTWI", 16, "WFI at EL0 is not trapped"),
            flag("UCT", 15, "CTR_EL0 accessible from EL0"),
            flag("DZE", 14, "DC ZVA at EL0 is not trapped"),
            flag("EnDB", 13, "pointer authentication with key DB", ENABLED),
            flag("I", 12, "instruction cache", ENABLED),
            flag("EOS", 11, "exception exit synchronises context"),
            flag("EnRCTX", 10, "speculation restriction instructions at EL0"),
            flag("UMA", 9, "interrupt masks accessible from EL0"),
            flag("SED", 8, "SETEND is undefined at EL0"),
            flag("ITD", 7, "some IT instructions are undefined at EL0"),
            flag("nAA", 6, "unaligned accesses of some instructions do not fault"),
            flag("CP15BEN", 5, "CP15 barriers at EL0", ENABLED),
            flag("SA0", 4, "stack alignment check at EL0", ENABLED),
            flag("SA", 3, "stack alignment check at EL1", ENABLED),
            flag("C", 2, "data cache", ENABLED),
            flag("A", 1, "alignment check", ENABLED),
            flag("M", 0, "stage 1 translation", ENABLED),
        ),
    ),
    f"{_SOURCE}SCTLR_EL1",
)

_PA_RANGES: Final = {code: f"{bits} bits" for code, bits in PHYSICAL_SIZES.items()}
_TGRAN_OR_NOT: Final = {0: "implemented", 1: "implemented, with LPA2", 15: "not implemented"}
_STAGE_2: Final = {0: "as stage 1", 1: "not implemented", 2: "implemented", 3: "with LPA2"}

ID_AA64MMFR0_EL1: Final = Layout(
    "ID_AA64MMFR0_EL1",
    64,
    tile(
        64,
        (
            feature("ECV", 60, "enhanced counter virtualisation"),
            feature("FGT", 56, "fine-grained traps"),
            feature("ExS", 44, "exception entry and exit need not synchronise"),
            feature("TGran4_2", 40, "4K granule at stage 2", _STAGE_2),
            feature("TGran64_2", 36, "64K granule at stage 2", _STAGE_2),
            feature("TGran16_2", 32, "16K granule at stage 2", _STAGE_2),
            feature("TGran4", 28, "4K granule", _TGRAN_OR_NOT),
            feature("TGran64", 24, "64K granule", {0: "implemented", 15: "not implemented"}),
            feature(
                "TGran16",
                20,
                "16K granule",
                {0: "not implemented", 1: "implemented", 2: "implemented, with LPA2"},
            ),
            feature("BigEndEL0", 16, "mixed endianness at EL0 only"),
            feature("SNSMem", 12, "secure and non-secure memory are told apart"),
            feature("BigEnd", 8, "mixed endianness"),
            feature("ASIDBits", 4, "ASID size", {0: "8 bits", 2: "16 bits"}),
            feature("PARange", 0, "physical address size", _PA_RANGES),
        ),
    ),
    f"{_SOURCE}ID_AA64MMFR0_EL1",
)
ID_AA64MMFR1_EL1: Final = Layout(
    "ID_AA64MMFR1_EL1",
    64,
    (
        feature("ECBHB", 60, "branch history is not used across exceptions"),
        feature("CMOW", 56, "cache maintenance can need write permission"),
        feature("TIDCP1", 52, "SCTLR_EL1.TIDCP"),
        feature("nTLBPA", 48, "no intermediate caching by physical address"),
        feature("AFP", 44, "FPCR.AH, FIZ and NEP"),
        feature("HCX", 40, "HCRX_EL2"),
        feature("ETS", 36, "enhanced translation synchronisation"),
        feature("TWED", 32, "delayed trapping of WFE"),
        feature("XNX", 28, "execute-never by exception level at stage 2"),
        feature("SpecSEI", 24, "speculative reads can raise SError"),
        feature(
            "PAN",
            20,
            "privileged access never",
            NOT_THERE | {2: "with AT S1E1RP and S1E1WP", 3: "with SCTLR_EL1.EPAN"},
        ),
        feature("LO", 16, "limited ordering regions"),
        feature(
            "HPDS",
            12,
            "hierarchical permissions can be disabled",
            NOT_THERE | {2: "with hardware use of bits 62:59"},
        ),
        feature("VH", 8, "virtualisation host extensions"),
        feature("VMIDBits", 4, "VMID size", {0: "8 bits", 2: "16 bits"}),
        feature(
            "HAFDBS",
            0,
            "hardware update of access flag and dirty state",
            {0: "neither", 1: "access flag", 2: "both", 3: "both, and of table descriptors"},
        ),
    ),
    f"{_SOURCE}ID_AA64MMFR1_EL1",
)
ID_AA64MMFR2_EL1: Final = Layout(
    "ID_AA64MMFR2_EL1",
    64,
    tile(
        64,
        (
            feature("E0PD", 60, "EL0 can be kept out of a half of the address space"),
            feature("EVT", 56, "enhanced virtualisation traps"),
            feature("BBM", 52, "break-before-make level of support", {0: "0", 1: "1", 2: "2"}),
            feature("TTL", 48, "level hint of TLB maintenance"),
            feature("FWB", 40, "stage 2 can force write-back"),
            feature("IDS", 36, "syndrome of ID register traps"),
            feature("AT", 32, "unaligned single-copy atomicity"),
            feature("ST", 28, "small translation tables", {0: "TnSZ up to 39", 1: "TnSZ up to 48"}),
            feature("NV", 24, "nested virtualisation"),
            feature("CCIDX", 20, "format of CCSIDR_EL1", {0: "32-bit", 1: "64-bit"}),
            feature(
                "VARange",
                16,
                "virtual address size of a half",
                {0: "48 bits", 1: "52 bits with 64K granule", 2: "56 bits"},
            ),
            feature("IESB", 12, "implicit error synchronisation"),
            feature("LSM", 8, "SCTLR_EL1.LSMAOE and nTLSMD"),
            feature("UAO", 4, "user access override"),
            feature("CnP", 0, "common not private translations"),
        ),
    ),
    f"{_SOURCE}ID_AA64MMFR2_EL1",
)
