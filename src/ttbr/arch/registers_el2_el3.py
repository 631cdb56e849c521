"""AArch64 system registers of EL2 and EL3 that concern translation, as declared fields."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ttbr.arch.fields import Field, Layout, tile
from ttbr.arch.memory_types import MAIR_V8
from ttbr.arch.register_fields import ENABLED, flag, memory_attributes, walk_fields
from ttbr.arch.registers_aarch64 import (
    CNP,
    GRANULES_TG0,
    PHYSICAL_SIZES,
    SCTLR_EL1,
    TCR_EL1,
    TTBR_EL1,
    TTBR_EL1_52,
    granule_names,
)

_SOURCE: Final = "Arm ARM DDI 0487, "
_PS: Final = Field(
    "PS", 18, 16, "physical address size", {code: f"{n} bits" for code, n in PHYSICAL_SIZES.items()}
)
_SL0: Final[Mapping[int, str]] = {
    0: "level 2 (16K, 64K: 3; with SL2: -1)",
    1: "level 1 (16K, 64K: 2)",
    2: "level 0 (16K, 64K: 1)",
    3: "level 3 (16K: 0)",
}


def _hardware_use() -> tuple[Field, ...]:
    return tuple(
        flag(f"HWU{bit}", bit - 34, f"hardware may use bit {bit} of leaves")
        for bit in range(59, 63)
    )


def _tcr(name: str) -> Layout:
    """TCR_ELx of a regime with one range of addresses."""
    return Layout(
        name,
        64,
        tile(
            64,
            (
                flag("MTX", 33, "memory tagging uses bits 59:56 of addresses"),
                flag("DS", 32, "52-bit addresses in 4K and 16K descriptors (LPA2)"),
                Field("RES1[31]", 31, 31, "reserved, one"),
                flag("TCMA", 30, "accesses with a match-all tag are not checked"),
                flag("TBID", 29, "top byte of instruction addresses is not ignored"),
                *_hardware_use(),
                flag("HPD", 24, "APTable and XNTable are ignored"),
                Field("RES1[23]", 23, 23, "reserved, one"),
                flag("HD", 22, "hardware manages dirty state"),
                flag("HA", 21, "hardware sets the access flag"),
                flag("TBI", 20, "top byte of addresses is ignored"),
                _PS,
                Field("TG0", 15, 14, "granule", granule_names(GRANULES_TG0)),
                *walk_fields(0, 8),
                Field("T0SZ", 5, 0, "addresses have 64-T0SZ bits"),
            ),
        ),
        f"{_SOURCE}{name}",
    )


TCR_EL2: Final = _tcr("TCR_EL2")
TCR_EL3: Final = _tcr("TCR_EL3")

VTCR_EL2: Final = Layout(
    "VTCR_EL2",
    64,
    tile(
        64,
        (
            flag("SL2", 33, "with SL0 = 0, 4K and DS: the walk starts at level -1"),
            flag("DS", 32, "52-bit addresses in 4K and 16K descriptors (LPA2)"),
            Field("RES1[31]", 31, 31, "reserved, one"),
            flag("NSA", 30, "walks of non-secure addresses lead to non-secure memory"),
            flag("NSW", 29, "walks of non-secure addresses are non-secure"),
            *_hardware_use(),
            flag("HD", 22, "hardware manages dirty state"),
            flag("HA", 21, "hardware sets the access flag"),
            flag("VS", 19, "VMID size", {0: "8 bits", 1: "16 bits"}),
            _PS,
            Field("TG0", 15, 14, "granule", granule_names(GRANULES_TG0)),
            *walk_fields(0, 8),
            Field("SL0", 7, 6, "the walk starts at", _SL0),
            Field("T0SZ", 5, 0, "guest physical addresses have 64-T0SZ bits"),
        ),
    ),
    f"{_SOURCE}VTCR_EL2",
)

_VMID: Final = Field("VMID", 63, 48, "virtual machine identifier")
VTTBR_EL2: Final = Layout(
    "VTTBR_EL2",
    64,
    (_VMID, Field("BADDR[47:1]", 47, 1, "table address"), CNP),
    f"{_SOURCE}VTTBR_EL2",
    (("BADDR[47:1]", 1),),
)
"""VTTBR_EL2 with 48-bit table addresses."""

VTTBR_EL2_52: Final = Layout(
    "VTTBR_EL2 (52-bit)",
    64,
    tile(
        64,
        (
            _VMID,
            Field("BADDR[47:6]", 47, 6, "table address"),
            Field("BADDR[51:48]", 5, 2, "table address, bits 51:48"),
            CNP,
        ),
    ),
    f"{_SOURCE}VTTBR_EL2 (VTCR_EL2.DS = 1, or 64K granule and PS = 0b110)",
    (("BADDR[47:6]", 6), ("BADDR[51:48]", 48)),
)
"""VTTBR_EL2 with 52-bit table addresses."""

MAIR_EL2: Final = memory_attributes("MAIR_EL2", 64, 0, MAIR_V8, f"{_SOURCE}MAIR_EL2")
MAIR_EL3: Final = memory_attributes("MAIR_EL3", 64, 0, MAIR_V8, f"{_SOURCE}MAIR_EL3")


def _sctlr(name: str) -> Layout:
    """SCTLR_ELx of a regime of a single exception level."""
    return Layout(
        name,
        64,
        tile(
            64,
            (
                flag("SPINTMASK", 62, "PSTATE.SP masks interrupts"),
                flag("NMI", 61, "non-maskable interrupts", ENABLED),
                flag("TCSO", 59, "tag checks of stores only"),
                flag("TME", 53, "transactional memory"),
                flag("TMT", 51, "transactions fail"),
                flag("DSSBS", 44, "PSTATE.SSBS on exception entry"),
                flag("ATA", 43, "allocation tags accessible"),
                Field("TCF", 41, 40, "tag check faults"),
                flag("ITFSB", 37, "tag faults are synchronised on exception entry"),
                flag("BT", 36, "PACIASP is no branch target of every kind"),
                flag("EnIA", 31, "pointer authentication with key IA", ENABLED),
                flag("EnIB", 30, "pointer authentication with key IB", ENABLED),
                Field("RES1[29:28]", 29, 28, "reserved, ones"),
                flag("EnDA", 27, "pointer authentication with key DA", ENABLED),
                flag("EE", 25, "big-endian data and translation tables"),
                Field("RES1[23]", 23, 23, "reserved, one"),
                flag("EIS", 22, "exception entry synchronises context"),
                flag("IESB", 21, "implicit error synchronisation"),
                flag("WXN", 19, "writable memory is never executable"),
                Field("RES1[18]", 18, 18, "reserved, one"),
                Field("RES1[16]", 16, 16, "reserved, one"),
                flag("EnDB", 13, "pointer authentication with key DB", ENABLED),
                flag("I", 12, "instruction cache", ENABLED),
                flag("EOS", 11, "exception exit synchronises context"),
                flag("nAA", 6, "unaligned accesses of some instructions do not fault"),
                Field("RES1[5:4]", 5, 4, "reserved, ones"),
                flag("SA", 3, "stack alignment check", ENABLED),
                flag("C", 2, "data cache", ENABLED),
                flag("A", 1, "alignment check", ENABLED),
                flag("M", 0, "stage 1 translation", ENABLED),
            ),
        ),
        f"{_SOURCE}{name}",
    )


SCTLR_EL2: Final = _sctlr("SCTLR_EL2")
SCTLR_EL3: Final = _sctlr("SCTLR_EL3")


def _as_el1(layout: Layout, name: str, source: str) -> Layout:
    """A register whose fields are those of EL1's."""
    return replace(layout, name=name, source=f"{_SOURCE}{source}")


TCR_EL2_VHE: Final = _as_el1(TCR_EL1, "TCR_EL2 (VHE)", "TCR_EL2, HCR_EL2.E2H = 1")
SCTLR_EL2_VHE: Final = _as_el1(SCTLR_EL1, "SCTLR_EL2 (VHE)", "SCTLR_EL2, HCR_EL2.E2H = 1")
TTBR_EL2: Final = _as_el1(TTBR_EL1, "TTBR_EL2, EL3", "TTBR0_EL2, TTBR1_EL2, TTBR0_EL3")
TTBR_EL2_52: Final = _as_el1(
    TTBR_EL1_52, "TTBR_EL2, EL3 (52-bit)", "TTBR0_EL2, TTBR1_EL2, TTBR0_EL3 (TCR_ELx.DS or PS)"
)

HCR_EL2: Final = Layout(
    "HCR_EL2",
    64,
    (
        Field("TWEDEL", 63, 60, "delay before WFE is trapped"),
        flag("TWEDEn", 59, "that delay is in use"),
        flag("TID5", 58, "trap GMID_EL1"),
        flag("DCT", 57, "default cacheable memory is tagged"),
        flag("ATA", 56, "allocation tags accessible from EL1 and EL0"),
        flag("TTLBOS", 55, "trap TLB maintenance, Outer Shareable"),
        flag("TTLBIS", 54, "trap TLB maintenance, Inner Shareable"),
        flag("EnSCXT", 53, "SCXTNUM accessible from EL1 and EL0"),
        flag("TOCU", 52, "trap cache maintenance to unification"),
        flag("AMVOFFEN", 51, "activity monitor offsets"),
        flag("TICAB", 50, "trap IC IALLUIS"),
        flag("TID4", 49, "trap cache identification"),
        flag("GPF", 48, "granule protection faults go to EL2"),
        flag("FIEN", 47, "fault injection", ENABLED),
        flag("FWB", 46, "stage 2 memory types win over those of stage 1"),
        flag("NV2", 45, "nested virtualisation by memory accesses"),
        flag("AT", 44, "trap address translation instructions"),
        flag("NV1", 43, "nested virtualisation, EL1 as seen by a hypervisor"),
        flag("NV", 42, "nested virtualisation"),
        flag("API", 41, "pointer authentication is not trapped"),
        flag("APK", 40, "pointer authentication keys are not trapped"),
        flag("TME", 39, "transactional memory at EL1 and EL0"),
        flag("MIOCNCE", 38, "mismatched cacheability may lose coherency"),
        flag("TEA", 37, "external aborts go to EL2"),
        flag("TERR", 36, "trap error records"),
        flag("TLOR", 35, "trap limited ordering regions"),
        flag("E2H", 34, "EL2 hosts an operating system (VHE)"),
        flag("ID", 33, "stage 2 instruction accesses are not cacheable"),
        flag("CD", 32, "stage 2 data accesses are not cacheable"),
        flag("RW", 31, "EL1 is", {0: "AArch32", 1: "AArch64"}),
        flag("TRVM", 30, "trap reads of virtual memory registers"),
        flag("HCD", 29, "HVC is undefined"),
        flag("TDZ", 28, "trap DC ZVA"),
        flag("TGE", 27, "EL0 belongs to EL2"),
        flag("TVM", 26, "trap writes of virtual memory registers"),
        flag("TTLB", 25, "trap TLB maintenance"),
        flag("TPU", 24, "trap cache maintenance to unification"),
        flag("TPCP", 23, "trap cache maintenance to coherency or persistence"),
        flag("TSW", 22, "trap cache maintenance by set and way"),
        flag("TACR", 21, "trap auxiliary control registers"),
        flag("TIDCP", 20, "trap implementation-defined registers"),
        flag("TSC", 19, "trap SMC"),
        flag("TID3", 18, "trap ID group 3"),
        flag("TID2", 17, "trap ID group 2"),
        flag("TID1", 16, "trap ID group 1"),
        flag("TID0", 15, "trap ID group 0"),
        flag("TWE", 14, "trap WFE"),
        flag("TWI", 13, "trap WFI"),
        flag("DC", 12, "default cacheable: stage 1 off means Normal memory"),
        Field("BSU", 11, 10, "least shareability of barriers"),
        flag("FB", 9, "maintenance is broadcast"),
        flag("VSE", 8, "virtual SError pending"),
        flag("VI", 7, "virtual IRQ pending"),
        flag("VF", 6, "virtual FIQ pending"),
        flag("AMO", 5, "SErrors go to EL2"),
        flag("IMO", 4, "IRQs go to EL2"),
        flag("FMO", 3, "FIQs go to EL2"),
        flag("PTW", 2, "stage 1 walks through Device memory fault"),
        flag("SWIO", 1, "set/way invalidation also cleans"),
        flag("VM", 0, "stage 2 translation", ENABLED),
    ),
    f"{_SOURCE}HCR_EL2",
)
