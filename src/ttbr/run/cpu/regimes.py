"""The regimes that a CPU's registers describe, made once for each setting of its control bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ttbr.arch.regime import RegimePair, TranslationRegime
from ttbr.run.cpu.decoder import Decoder
from ttbr.run.cpu.walker import Half

CONTROLS: Final = (
    *("TCR_EL1", "SCTLR_EL1", "MAIR_EL1", "ID_AA64MMFR0_EL1"),
    *("TTBCR", "TTBCR2", "SCTLR", "DACR", "PRRR", "NMRR", "MAIR0", "MAIR1", "ID_MMFR0"),
)
"""The registers that say how tables are walked, beside those that say where they are."""


@dataclass(frozen=True, slots=True)
class Decoders:
    """Both halves of the address space. ``split``: where TTBR1's begins; 0: where bit 55 is set."""

    lower: Decoder | None
    upper: Decoder | None
    split: int
    format_name: str

    def halves(self, registers: Mapping[str, int]) -> tuple[Half | None, Half | None]:
        """The halves with the root tables that the TTBRs point to."""
        return _point(self.lower, registers), _point(self.upper, registers)


class Regimes:
    """Decoders by the values of control registers. ``swapper``: address of the kernel's root."""

    def __init__(self, swapper: int) -> None:
        self.swapper = swapper
        self._known: dict[tuple[int | None, ...], Decoders] = {}

    def of(self, registers: Mapping[str, int]) -> Decoders:
        """What a CPU with these registers walks tables by."""
        key = tuple(registers.get(name) for name in CONTROLS)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _decoders(RegimePair.from_registers(registers))
        return found

    def reference(self, decoders: Decoders, registers: Mapping[str, int]) -> Half | None:
        """Where global translations are looked up: the kernel's own tables.

        On 32-bit ARM every process has its own copy of the entries above them.
        """
        lower, upper = decoders.halves(registers)
        if upper is not None or lower is None:
            return upper
        return Half(lower.decoder, self.swapper)


def _decoders(pair: RegimePair) -> Decoders:
    def decoder(regime: TranslationRegime | None) -> Decoder | None:
        return None if regime is None else Decoder(regime)

    known = pair.upper or pair.lower
    assert known is not None, "a kernel that runs has tables"
    split = 0 if pair.address_bits == 64 or pair.upper is None else pair.upper.first
    if pair.address_bits == 32 and pair.upper is None:
        split = 1 << 32
    return Decoders(decoder(pair.lower), decoder(pair.upper), split, known.format.name)


def _point(decoder: Decoder | None, registers: Mapping[str, int]) -> Half | None:
    if decoder is None:
        return None
    regime = decoder.regime
    return Half(decoder, regime.root_address(registers[regime.root_register]))
