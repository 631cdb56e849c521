"""Translation regimes of AArch64 with two halves: EL1&0, and EL2&0 with VHE; from TCR_ELx."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch.attributes import Controls
from ttbr.arch.fields import Layout
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
    tbid: bool = False,
    unknown: tuple[str, ...] = (),
) -> TranslationRegime:
    """The regime of one half of the address space.

    ``granule`` in bytes; ``input_bits`` 64 − TnSZ; ``upper`` for TTBR1's half; ``output_bits`` what
    TCR_EL1.IPS allows, further limited by what the descriptors can hold. The exception level is the
    first of ``controls.exception_levels``.
    """
    controls = controls or Controls()
    facts = GRANULES[granule]
    base = (1 << 64) - (1 << input_bits) if upper else 0
    return TranslationRegime(
        format=vmsav8_64(granule, output),
        ttbr=int(upper),
        root_register=f"TTBR{int(upper)}_EL{controls.exception_levels[0]}",
        ttbr_layout=TTBR_EL1 if output is Output.BITS_48 else TTBR_EL1_52,
        base=base,
        first=base,
        last=base + (1 << input_bits) - 1,
        input_bits=input_bits,
        output_bits=min(output_bits, output.bits),
        levels=levels_of(
            facts.shift, facts.stride, LAST_LEVEL, facts.start_level(input_bits), input_bits
        ),
        controls=controls,
        # Arm ARM DDI 0487, D8, MMU faults: faults before the walk are reported with level 0
        fault_level=0,
        disabled=disabled,
        tbi=tbi,
        tbid=tbid,
        unknown=unknown,
    )


def regimes_from_tcr(
    registers: Mapping[str, int], exception_level: int = 1
) -> tuple[TranslationRegime | None, TranslationRegime | None]:
    """The regimes of TTBR0_ELx and TTBR1_ELx; None for a half whose granule is reserved.

    Uses TCR_ELx, and where known MAIR_ELx, SCTLR_ELx and ID_AA64MMFR0_EL1. ``exception_level`` 2 is
    EL2&0 of a host with VHE, whose registers have the fields of EL1's (DDI 0487, TCR_EL2). Raises
    InputError for big-endian tables, which ttbr does not read.
    """
    el = f"EL{exception_level}"
    tcr = TCR_EL1.decode(registers[f"TCR_{el}"])
    sctlr, unknown = control_bits(registers, SCTLR_EL1, el)
    mair = registers.get(f"MAIR_{el}")
    output_bits = physical_bits(registers, tcr["IPS"])

    def half(number: int, granules: Mapping[int, int]) -> TranslationRegime | None:
        granule = granules.get(tcr[f"TG{number}"])
        if granule is None:
            return None
        size = tcr[f"T{number}SZ"]
        output = address_form(granule, size, tcr["IPS"], bool(tcr["DS"]))
        return vmsav8_64_regime(
            granule,
            64 - allowed_size(granule, size, output),
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
                epan=bool(sctlr["EPAN"]),
                exception_levels=(exception_level, 0),
            ),
            disabled=bool(tcr[f"EPD{number}"]),
            tbi=bool(tcr[f"TBI{number}"]),
            tbid=bool(tcr[f"TBID{number}"]),
            unknown=unknown,
        )

    return half(0, GRANULES_TG0), half(1, GRANULES_TG1)


def control_bits(
    registers: Mapping[str, int], layout: Layout, el: str
) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """The fields of SCTLR_ELx, and what is taken for granted where it or MAIR_ELx is missing.

    ``el`` is the registers' suffix. Raises InputError for big-endian tables.
    """
    name = f"SCTLR_{el}"
    sctlr = layout.decode(registers.get(name, 0))
    if sctlr["EE"]:
        raise InputError(f"{name}.EE is 1: translation tables are big-endian, not supported")
    unknown = []
    if f"MAIR_{el}" not in registers:
        unknown.append(f"MAIR_{el} is not known: memory types are unknown")
    if name not in registers:
        unknown.append(f"{name} is not known: WXN and EE are taken as 0")
    return sctlr, tuple(unknown)


def physical_bits(registers: Mapping[str, int], size: int) -> int:
    """The physical address bits of an IPS or PS field, but not more than are implemented."""
    bits = PHYSICAL_SIZES[size]
    if "ID_AA64MMFR0_EL1" in registers:
        implemented = ID_AA64MMFR0_EL1.decode(registers["ID_AA64MMFR0_EL1"])["PARange"]
        bits = min(bits, PHYSICAL_SIZES.get(implemented, bits))
    return bits


def address_form(granule: int, size: int, physical: int, ds: bool) -> Output:
    """The address form of descriptors: TnSZ, IPS (or PS) and DS decide (DDI 0487, D8.3.1)."""
    if GRANULES[granule].wide is Output.LPA2:
        return Output.LPA2 if ds else Output.BITS_48
    wide = size < SMALLEST_TXSZ or PHYSICAL_SIZES[physical] > Output.BITS_48.bits
    return Output.LPA if wide else Output.BITS_48


def allowed_size(granule: int, size: int, output: Output) -> int:
    """TnSZ forced to what the granule and the address form can have."""
    smallest = SMALLEST_TXSZ if output is Output.BITS_48 else SMALLEST_TXSZ_52
    return max(smallest, min(size, LARGEST_TXSZ[granule]))
