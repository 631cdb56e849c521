"""The translation regimes of a processor: from its registers, and by the name of a format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ttbr.arch.attributes import Controls
from ttbr.arch.faults import Fault, FaultKind
from ttbr.arch.memory_types import mair_bytes
from ttbr.arch.registers import known_registers
from ttbr.arch.tcr import regimes_from_tcr, vmsav8_64_regime
from ttbr.arch.tcr_el2_el3 import is_vhe_host, single_regime
from ttbr.arch.translation_regime import Level, MissingRegister, TranslationRegime
from ttbr.arch.ttbcr import lpae_regime, regimes_from_ttbcr, short_regime
from ttbr.arch.vmsav8_64 import Output
from ttbr.arch.vtcr import stage2_regime
from ttbr.errors import InputError

__all__ = [
    "FORMATS",
    "Level",
    "MissingRegister",
    "RegimePair",
    "TranslationRegime",
    "make_regime",
]

_HALF_BIT: Final = 55
"""The address bit that picks TTBR0 or TTBR1 in AArch64 (Arm ARM DDI 0487, D8.2)."""


@dataclass(frozen=True, slots=True)
class RegimePair:
    """The regimes of TTBR0 (``lower``) and TTBR1 (``upper``).

    None where the TTBR is not in use: an AArch32 TTBR1 while TTBCR gives everything to TTBR0 (then
    a table that TTBR1 holds has the form of ``lower``), or an AArch64 half whose granule field has
    a reserved value.
    """

    lower: TranslationRegime | None
    upper: TranslationRegime | None
    address_bits: int

    @classmethod
    def from_registers(cls, registers: Mapping[str, int]) -> "RegimePair":
        """The regimes that register values by name describe.

        With TCR_EL1 it is AArch64, otherwise TTBCR says which format. A host with VHE (HCR_EL2.E2H
        and TGE) is described by TCR_EL2 instead. Raises MissingRegister if there is none of them.
        Other registers that are missing leave attributes ``unknown`` or at the value that
        ``TranslationRegime.unknown`` names.
        """
        named = known_registers(registers)
        if is_vhe_host(named):
            if "TCR_EL2" not in named:
                raise MissingRegister("TCR_EL2")
            return cls(*regimes_from_tcr(named, 2), 64)
        if "TCR_EL1" in named:
            return cls(*regimes_from_tcr(named), 64)
        if "TTBCR" in named:
            return cls(*regimes_from_ttbcr(named), 32)
        raise MissingRegister("TCR_EL1 (AArch64) or TTBCR (AArch32)")

    def select(self, va: int) -> TranslationRegime | Fault:
        """The regime that the hardware translates ``va`` with, or the fault that it takes."""
        if not 0 <= va < 1 << self.address_bits:
            raise InputError(f"{va:#x} is not an address of {self.address_bits} bits")
        if self.address_bits == 64:
            number = va >> _HALF_BIT & 1
        else:
            number = int(self.upper is not None and self.upper.contains(va))
        chosen = self.upper if number else self.lower
        if chosen is None:
            text = f"TCR_ELx.TG{number} is reserved: TTBR{number}_ELx has no granule"
            return Fault(FaultKind.TRANSLATION, 0, va, text=text)
        if not chosen.contains(va):
            text = "the address is outside what TTBR0 and TTBR1 cover"
            return Fault(FaultKind.TRANSLATION, chosen.fault_level, va, text=text)
        if chosen.disabled:
            text = f"walks through {chosen.root_register} are disabled"
            return Fault(FaultKind.TRANSLATION, chosen.fault_level, va, text=text)
        return chosen


_ARM64_FORMATS: Final[Mapping[str, tuple[int, Output]]] = {
    "arm64-4k": (0x1000, Output.BITS_48),
    "arm64-16k": (0x4000, Output.BITS_48),
    "arm64-64k": (0x10000, Output.BITS_48),
    "arm64-4k-lpa2": (0x1000, Output.LPA2),
    "arm64-16k-lpa2": (0x4000, Output.LPA2),
    "arm64-64k-lpa": (0x10000, Output.LPA),
}
"""Granule and address form by the name of the format."""

_STAGE_2, _EL2 = "-stage2", "-el2"

FORMATS: Final = (
    *_ARM64_FORMATS,
    "lpae",
    "short",
    *(f"{name}{_STAGE_2}" for name in _ARM64_FORMATS),
    *(f"{name}{_EL2}" for name in _ARM64_FORMATS),
)
"""The names of descriptor formats that ``make_regime`` and ``ttbr explain`` know."""


def make_regime(
    format_name: str,
    *,
    va_bits: int | None = None,
    upper: bool = False,
    mair: int | None = None,
    controls: Controls | None = None,
) -> TranslationRegime:
    """A regime by the name of its format (one of ``FORMATS``).

    ``va_bits`` is the input size, by default all that the format can have (52 for the 52-bit forms,
    48 for the others of arm64, 32). ``upper`` asks for TTBR1's half; for the AArch32 formats that
    is all above the lowest 2^va_bits addresses, by default above 2 GiB. ``mair`` is MAIR_EL1; for
    lpae MAIR1:MAIR0; for short NMRR:PRRR, and then TEX remap is on. Raises InputError for an
    unknown name or a size that the format cannot have.
    """
    controls = _with_memory_types(controls or Controls(), format_name, mair)
    base = format_name.removesuffix(_STAGE_2).removesuffix(_EL2)
    if base in _ARM64_FORMATS and format_name in FORMATS:
        granule, output = _ARM64_FORMATS[base]
        bits = _checked(format_name, va_bits, 17 if granule == 0x10000 else 16, output.bits)
        if format_name.endswith(_STAGE_2):
            controls = replace(controls, stage=2)
            return stage2_regime(granule, bits, output=output, controls=controls)
        if format_name.endswith(_EL2):
            controls = replace(controls, exception_levels=(2,))
            return single_regime(granule, bits, output=output, controls=controls)
        return vmsav8_64_regime(granule, bits, upper=upper, output=output, controls=controls)
    makers: Mapping[str, Callable[[int], TranslationRegime]] = {
        "lpae": lambda size: lpae_regime(size, 0, upper=upper, controls=controls),
        "short": lambda size: short_regime(size, upper=upper, controls=controls),
    }
    if format_name not in makers:
        known = ", ".join(FORMATS)
        raise InputError(f"no descriptor format {format_name!r}; there are {known}")
    return makers[format_name](32 - _checked(format_name, va_bits, 25, 31 if upper else 32))


def _checked(format_name: str, va_bits: int | None, least: int, most: int) -> int:
    if va_bits is None:
        return most
    if not least <= va_bits <= most:
        raise InputError(f"{format_name} has {least} to {most} address bits, not {va_bits}")
    return va_bits


def _with_memory_types(controls: Controls, format_name: str, mair: int | None) -> Controls:
    if mair is None:
        return controls
    if not 0 <= mair < 1 << 64:
        raise InputError(f"{mair:#x} is not a register of 64 bits")
    if format_name == "short":
        return replace(controls, prrr=mair & 0xFFFFFFFF, nmrr=mair >> 32, tre=True)
    return replace(controls, mair=mair_bytes(mair))
