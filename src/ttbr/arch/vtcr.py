"""The stage 2 regime, from VTCR_EL2 and its company."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch.attributes import Controls
from ttbr.arch.long_format import LAST_LEVEL
from ttbr.arch.registers_aarch64 import GRANULES_TG0, ID_AA64MMFR1_EL1, SCTLR_EL1
from ttbr.arch.registers_el2_el3 import HCR_EL2, VTCR_EL2, VTTBR_EL2, VTTBR_EL2_52
from ttbr.arch.stage2 import stage2
from ttbr.arch.tcr import address_form, allowed_size, physical_bits
from ttbr.arch.translation_regime import Level, MissingRegister, TranslationRegime
from ttbr.arch.vmsav8_64 import GRANULES, Output
from ttbr.errors import InputError

MOST_CONCATENATED: Final = 4
"""Address bits that up to sixteen tables in a row add at the root (DDI 0487, D8.2)."""

_START: Final[Mapping[int, Mapping[int, int]]] = {
    0x1000: {0b00: 2, 0b01: 1, 0b10: 0, 0b11: 3},
    0x4000: {0b00: 3, 0b01: 2, 0b10: 1, 0b11: 0},
    0x10000: {0b00: 3, 0b01: 2, 0b10: 1},
}
"""VTCR_EL2.SL0 → the level of the root, by granule (DDI 0487, VTCR_EL2)."""
_START_BELOW_ZERO: Final = -1
"""With SL2, for 4K granules and SL0 = 0."""


def stage2_regime(
    granule: int,
    input_bits: int,
    *,
    start: int | None = None,
    output: Output = Output.BITS_48,
    output_bits: int = 52,
    controls: Controls | None = None,
    unknown: tuple[str, ...] = (),
) -> TranslationRegime:
    """The regime from guest physical addresses of ``input_bits``, with the root at level ``start``.

    By default that is the level that needs the fewest lookups: up to sixteen tables are
    concatenated at the root, as KVM does it. Raises InputError if a root at ``start`` cannot
    resolve ``input_bits`` (the hardware would fault on every address).
    """
    facts = GRANULES[granule]
    if start is None:
        start = facts.start_level(max(input_bits - MOST_CONCATENATED, facts.shift + 1))
    shifts = {
        number: facts.shift + (LAST_LEVEL - number) * facts.stride
        for number in range(start, LAST_LEVEL + 1)
    }
    root_bits = input_bits - shifts[start]
    if not 1 <= root_bits <= facts.stride + MOST_CONCATENATED:
        raise InputError(
            f"VTCR_EL2: {input_bits} address bits (64 - T0SZ) cannot start at level {start} (SL0)"
        )
    return TranslationRegime(
        format=stage2(granule, output),
        ttbr=0,
        root_register="VTTBR_EL2",
        ttbr_layout=VTTBR_EL2 if output is Output.BITS_48 else VTTBR_EL2_52,
        base=0,
        first=0,
        last=(1 << input_bits) - 1,
        input_bits=input_bits,
        output_bits=min(output_bits, output.bits),
        levels=tuple(
            Level(number, shift, root_bits if number == start else facts.stride)
            for number, shift in shifts.items()
        ),
        controls=controls or Controls(stage=2),
        fault_level=0,
        unknown=unknown,
    )


def stage2_from_vtcr(registers: Mapping[str, int]) -> TranslationRegime:
    """The regime of VTTBR_EL2; it is walked even where HCR_EL2.VM says that stage 2 is off.

    Uses VTCR_EL2, and where known HCR_EL2, SCTLR_EL2, ID_AA64MMFR0_EL1 and ID_AA64MMFR1_EL1.
    Raises MissingRegister without VTCR_EL2, InputError for values that fault on every address and
    for big-endian tables.
    """
    if "VTCR_EL2" not in registers:
        raise MissingRegister("VTCR_EL2")
    vtcr = VTCR_EL2.decode(registers["VTCR_EL2"])
    # EE has the same place whatever E2H is
    if SCTLR_EL1.by_name["EE"].extract(registers.get("SCTLR_EL2", 0)):
        raise InputError("SCTLR_EL2.EE is 1: translation tables are big-endian, not supported")
    granule = GRANULES_TG0.get(vtcr["TG0"])
    if granule is None:
        raise InputError("VTCR_EL2.TG0 is reserved: VTTBR_EL2 has no granule")
    start = _START[granule].get(vtcr["SL0"])
    if vtcr["SL2"] and vtcr["DS"] and granule == 0x1000:
        start = _START_BELOW_ZERO if vtcr["SL0"] == 0 else None
    if start is None:
        raise InputError("VTCR_EL2.SL0 is reserved: VTTBR_EL2 has no start level")
    unknown = []
    if "HCR_EL2" not in registers:
        unknown.append("HCR_EL2 is not known: FWB is taken as 0")
    if "ID_AA64MMFR1_EL1" not in registers:
        unknown.append("ID_AA64MMFR1_EL1 is not known: XN[1:0] are taken as with FEAT_XNX")
        xnx = True
    else:
        xnx = bool(ID_AA64MMFR1_EL1.by_name["XNX"].extract(registers["ID_AA64MMFR1_EL1"]))
    output = address_form(granule, vtcr["T0SZ"], vtcr["PS"], bool(vtcr["DS"]))
    return stage2_regime(
        granule,
        64 - allowed_size(granule, vtcr["T0SZ"], output),
        start=start,
        output=output,
        output_bits=physical_bits(registers, vtcr["PS"]),
        controls=Controls(
            ha=bool(vtcr["HA"]),
            hd=bool(vtcr["HA"] and vtcr["HD"]),
            shareability=vtcr["SH0"],
            fwb=bool(HCR_EL2.by_name["FWB"].extract(registers.get("HCR_EL2", 0))),
            xnx=xnx,
            stage=2,
        ),
        unknown=tuple(unknown),
    )
