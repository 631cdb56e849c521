"""One translation regime: what the registers say about walks through one TTBR."""

from dataclasses import dataclass

from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.fields import Layout
from ttbr.arch.format import DescriptorFormat
from ttbr.errors import InputError

_TAG_SHIFT = 56
"""Bits 63:56 of an address are the tag that TBI ignores (Arm ARM DDI 0487, D8.8)."""


class MissingRegister(InputError):
    """A register that a regime cannot be made without; ``register`` names it."""

    def __init__(self, register: str) -> None:
        super().__init__(f"register {register} is not known: give it with --registers")
        self.register = register


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a walk: ``bits`` address bits, from bit ``shift`` up, index its tables."""

    number: int
    shift: int
    bits: int

    @property
    def entries(self) -> int:
        """Descriptors in a table of this level; a root may have fewer than a full table."""
        return 1 << self.bits

    def index(self, va: int) -> int:
        """The index of the descriptor that ``va`` selects."""
        return va >> self.shift & self.entries - 1


@dataclass(frozen=True, slots=True)
class TranslationRegime:
    """The translation through one TTBR, whose name is ``root_register``.

    ``base`` is the address that entry 0 of the root maps; ``first`` and ``last`` (inclusive) are
    the addresses for which the hardware uses this TTBR: with AArch32 they can be a part of what the
    root could map. ``levels`` start with the root's. ``output_bits`` is the physical address size
    beyond which an address size fault is taken. ``disabled`` is EPDn (PDn), ``fault_level`` the
    level of faults taken before the walk. ``tbi``: the top byte of addresses is ignored; with
    ``tbid`` not when an instruction is fetched. ``unknown`` says what was taken for granted because
    a register is missing.
    """

    format: DescriptorFormat
    ttbr: int
    root_register: str
    ttbr_layout: Layout
    base: int
    first: int
    last: int
    input_bits: int
    output_bits: int
    levels: tuple[Level, ...]
    controls: Controls
    fault_level: int
    disabled: bool = False
    tbi: bool = False
    tbid: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def root_size(self) -> int:
        """Bytes of the root table."""
        return self.levels[0].entries * self.format.entry_size

    def root_address(self, ttbr_value: int) -> int:
        """The root table's physical address in a value of the TTBR.

        ASID, CnP and walk attributes are stripped; the address is aligned to the root's size, as
        the hardware does it (52-bit addresses: to 64 bytes at least, by their field).
        """
        return self.ttbr_layout.address(ttbr_value) & -self.root_size

    def ttbr_value(self, root: int) -> int:
        """The TTBR bits that point to ``root``; ValueError if they cannot."""
        value = self.ttbr_layout.place(root)
        if self.root_address(value) != root:
            raise ValueError(f"a root of {self.root_size} bytes cannot be at {root:#x}")
        return value

    def canonical(self, va: int, *, fetch: bool = False) -> int:
        """``va`` without the tag that TBI ignores; without TBI, ``va``.

        ``fetch`` is for the address of an instruction, whose tag TBID lets count.
        """
        if not self.tbi or (fetch and self.tbid):
            return va
        tag = (1 << 64) - (1 << _TAG_SHIFT)
        return va | tag if va >> _TAG_SHIFT - 1 & 1 else va & ~tag

    def contains(self, va: int) -> bool:
        """Whether the hardware walks this regime's tables for ``va``."""
        return self.first <= self.canonical(va) <= self.last

    def attributes(self, bits: int, level: int, limits: int = 0) -> Attributes:
        """Effective attributes of a leaf descriptor below tables with ``limits``."""
        return self.format.attributes(bits, level, limits, self.controls)


def levels_of(
    page_shift: int, stride: int, last: int, start: int, input_bits: int
) -> tuple[Level, ...]:
    """The levels ``start`` to ``last`` that resolve ``input_bits``; the root takes what is left."""
    shifts = {number: page_shift + (last - number) * stride for number in range(start, last + 1)}
    return tuple(
        Level(number, shift, min(stride, input_bits - shift) if number == start else stride)
        for number, shift in shifts.items()
    )
