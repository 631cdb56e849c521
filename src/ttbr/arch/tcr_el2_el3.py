"""Translation regimes of EL2 without VHE and of EL3: one range of addresses, one TTBR."""

from collections.abc import Mapping

from ttbr.arch.attributes import Controls
from ttbr.arch.el2_el3 import el2_el3
from ttbr.arch.long_format import LAST_LEVEL
from ttbr.arch.memory_types import mair_bytes
from ttbr.arch.registers_aarch64 import GRANULES_TG0
from ttbr.arch.registers_el2_el3 import (
    HCR_EL2,
    SCTLR_EL2,
    SCTLR_EL3,
    TCR_EL2,
    TCR_EL3,
    TTBR_EL2,
    TTBR_EL2_52,
)
from ttbr.arch.tcr import (
    address_form,
    allowed_size,
    control_bits,
    physical_bits,
    regimes_from_tcr,
)
from ttbr.arch.translation_regime import MissingRegister, TranslationRegime, levels_of
from ttbr.arch.vmsav8_64 import GRANULES, Output
from ttbr.errors import InputError

_REGISTERS = {2: (TCR_EL2, SCTLR_EL2), 3: (TCR_EL3, SCTLR_EL3)}


def single_regime(
    granule: int,
    input_bits: int,
    *,
    output: Output = Output.BITS_48,
    output_bits: int = 52,
    controls: Controls,
    tbi: bool = False,
    tbid: bool = False,
    unknown: tuple[str, ...] = (),
) -> TranslationRegime:
    """The regime of EL2 or EL3, the one of ``controls.exception_levels``; addresses start at 0.

    ``granule`` in bytes; ``input_bits`` 64 − T0SZ; ``output_bits`` what PS allows.
    """
    facts = GRANULES[granule]
    return TranslationRegime(
        format=el2_el3(granule, output),
        ttbr=0,
        root_register=f"TTBR0_EL{controls.exception_levels[0]}",
        ttbr_layout=TTBR_EL2 if output is Output.BITS_48 else TTBR_EL2_52,
        base=0,
        first=0,
        last=(1 << input_bits) - 1,
        input_bits=input_bits,
        output_bits=min(output_bits, output.bits),
        levels=levels_of(
            facts.shift, facts.stride, LAST_LEVEL, facts.start_level(input_bits), input_bits
        ),
        controls=controls,
        fault_level=0,
        tbi=tbi,
        tbid=tbid,
        unknown=unknown,
    )


def el2_pair(registers: Mapping[str, int]) -> tuple[TranslationRegime | None, ...]:
    """The regimes of TTBR0_EL2 and, with VHE (HCR_EL2.E2H), of TTBR1_EL2.

    None for a half whose granule is reserved. Raises MissingRegister without TCR_EL2.
    """
    _require(registers, "TCR_EL2")
    if is_vhe(registers):
        return regimes_from_tcr(registers, 2)
    return (_single(registers, 2),)


def el3_regime(registers: Mapping[str, int]) -> TranslationRegime:
    """The regime of TTBR0_EL3. Raises MissingRegister without TCR_EL3."""
    _require(registers, "TCR_EL3")
    return _single(registers, 3)


def is_vhe(registers: Mapping[str, int]) -> bool:
    """HCR_EL2.E2H: EL2 has two halves and an EL0 of its own."""
    return bool(HCR_EL2.by_name["E2H"].extract(registers.get("HCR_EL2", 0)))


def is_vhe_host(registers: Mapping[str, int]) -> bool:
    """HCR_EL2.E2H and TGE: the operating system and its processes run in the regime of EL2&0."""
    return is_vhe(registers) and bool(HCR_EL2.by_name["TGE"].extract(registers["HCR_EL2"]))


def _single(registers: Mapping[str, int], exception_level: int) -> TranslationRegime:
    el = f"EL{exception_level}"
    tcr_layout, sctlr_layout = _REGISTERS[exception_level]
    tcr = tcr_layout.decode(registers[f"TCR_{el}"])
    sctlr, unknown = control_bits(registers, sctlr_layout, el)
    granule = GRANULES_TG0.get(tcr["TG0"])
    if granule is None:
        raise InputError(f"TCR_{el}.TG0 is reserved: TTBR0_{el} has no granule")
    if exception_level == 2 and "HCR_EL2" not in registers:
        unknown = (*unknown, "HCR_EL2 is not known: E2H is taken as 0")
    mair = registers.get(f"MAIR_{el}")
    output = address_form(granule, tcr["T0SZ"], tcr["PS"], bool(tcr["DS"]))
    return single_regime(
        granule,
        64 - allowed_size(granule, tcr["T0SZ"], output),
        output=output,
        output_bits=physical_bits(registers, tcr["PS"]),
        controls=Controls(
            mair=None if mair is None else mair_bytes(mair),
            wxn=bool(sctlr["WXN"]),
            hpd=bool(tcr["HPD"]),
            ha=bool(tcr["HA"]),
            hd=bool(tcr["HA"] and tcr["HD"]),
            shareability=tcr["SH0"],
            exception_levels=(exception_level,),
        ),
        tbi=bool(tcr["TBI"]),
        tbid=bool(tcr["TBID"]),
        unknown=unknown,
    )


def _require(registers: Mapping[str, int], name: str) -> None:
    if name not in registers:
        raise MissingRegister(name)
