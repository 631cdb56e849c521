"""Translation regimes of AArch64 EL1&0, from TCR_EL1 and its company."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch.attributes import Controls
from ttbr.arch.long_format import LAST_LEVEL
from ttbr.arch.memory_types import mair_bytes
from ttbr.arch.registers_aarch64 import (
    GRANULES_TG0,
    GRANULES_TG1,
    ID_AA64MMFR0_EL1,
    PHYSICAL_SIZES,
    SCTLR_EL1,
    TCR_EL1,
    TTBR_EL1,
    TTBR_EL1_52,
)
from ttbr.arch.translation_regime import TranslationRegime, levels_of
from ttbr.arch.vmsav8_64 import GRANULES, Output, vmsav8_64
from ttbr.errors import InputError

SMALLEST_TXSZ: Final = 16
SMALLEST_TXSZ_52: Final = 12
LARGEST_TXSZ: Final[Mapping[int, int]] = {0x1000: 48, 0x4000: 48, 0x10000: 47}
"""Limits of T0SZ and T1SZ; the largest by granule, with FEAT_TTST (DDI 0487, D8.2).

A value outside is forced to the limit, which is one of the two behaviours the architecture allows.
"""


def vmsav8_64_regime(
    granule: int,
    input_bits: int,
    *,
    upper: bool,
    output: Output = Output.BITS_48,
    output_bits: int = 52,
    controls: Controls | None = None,
    disabled: bool = False,
    tbi: bool = False,
    unknown: tuple[str, ...] = (),
) -> TranslationRegime:
    """The regime of one half of the address space.

    ``granule`` in bytes; ``input_bits`` 64 − TnSZ; ``upper`` for TTBR1's half; ``output_bits`` what
    TCR_EL1.IPS allows, further limited by what the descriptors can hold.
    """
    facts = GRANULES[granule]
    base = (1 << 64) - (1 << input_bits) if upper else 0
    return TranslationRegime(
        format=vmsav8_64(granule, output),
        ttbr=int(upper),
        ttbr_layout=TTBR_EL1 if output is Output.BITS_48 else TTBR_EL1_52,
        base=base,
        first=base,
        last=base + (1 << input_bits) - 1,
        input_bits=input_bits,
        output_bits=min(output_bits, output.bits),
        levels=levels_of(
            facts.shift, facts.stride, LAST_LEVEL, facts.start_level(input_bits), input_bits
        ),
        controls=controls or Controls(),
        # Arm ARM DDI 0487, D8, MMU faults: faults before the walk are reported with level 0
        fault_level=0,
        disabled=disabled,
        tbi=tbi,
        unknown=unknown,
    )


def regimes_from_tcr(
    registers: Mapping[str, int],
) -> tuple[TranslationRegime | None, TranslationRegime | None]:
    """The regimes of TTBR0_EL1 and TTBR1_EL1; None for a half whose granule is reserved.

    Uses TCR_EL1, and where known MAIR_EL1, SCTLR_EL1 and ID_AA64MMFR0_EL1. Raises InputError for
    big-endian tables, which ttbr does not read.
    """
    tcr = TCR_EL1.decode(registers["TCR_EL1"])
    sctlr = SCTLR_EL1.decode(registers.get("SCTLR_EL1", 0))
    if sctlr["EE"]:
        raise InputError("SCTLR_EL1.EE is 1: translation tables are big-endian, not supported")
    mair = registers.get("MAIR_EL1")
    unknown = []
    if mair is None:
        unknown.append("MAIR_EL1 is not known: memory types are unknown")
    if "SCTLR_EL1" not in registers:
        unknown.append("SCTLR_EL1 is not known: WXN and EE are taken as 0")
    output_bits = PHYSICAL_SIZES[tcr["IPS"]]
    if "ID_AA64MMFR0_EL1" in registers:
        implemented = ID_AA64MMFR0_EL1.decode(registers["ID_AA64MMFR0_EL1"])["PARange"]
        output_bits = min(output_bits, PHYSICAL_SIZES.get(implemented, output_bits))

    def half(number: int, granules: Mapping[int, int]) -> TranslationRegime | None:
        granule = granules.get(tcr[f"TG{number}"])
        if granule is None:
            return None
        size = tcr[f"T{number}SZ"]
        output = _output(granule, size, tcr)
        smallest = SMALLEST_TXSZ if output is Output.BITS_48 else SMALLEST_TXSZ_52
        size = max(smallest, min(size, LARGEST_TXSZ[granule]))
        return vmsav8_64_regime(
            granule,
            64 - size,
            upper=bool(number),
            output=output,
            output_bits=output_bits,
            controls=Controls(
                mair=None if mair is None else mair_bytes(mair),
                wxn=bool(sctlr["WXN"]),
                hpd=bool(tcr[f"HPD{number}"]),
                ha=bool(tcr["HA"]),
                hd=bool(tcr["HA"] and tcr["HD"]),
                e0pd=bool(tcr[f"E0PD{number}"]),
                shareability=tcr[f"SH{number}"],
            ),
            disabled=bool(tcr[f"EPD{number}"]),
            tbi=bool(tcr[f"TBI{number}"]),
            unknown=tuple(unknown),
        )

    return half(0, GRANULES_TG0), half(1, GRANULES_TG1)


def _output(granule: int, size: int, tcr: Mapping[str, int]) -> Output:
    """The address form of descriptors: TCR_EL1 alone decides (Arm ARM DDI 0487, D8.3.1)."""
    if GRANULES[granule].wide is Output.LPA2:
        return Output.LPA2 if tcr["DS"] else Output.BITS_48
    wide = size < SMALLEST_TXSZ or PHYSICAL_SIZES[tcr["IPS"]] > Output.BITS_48.bits
    return Output.LPA if wide else Output.BITS_48
