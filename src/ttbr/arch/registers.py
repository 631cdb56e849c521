"""System registers by the names that recordings and debuggers use."""

from collections.abc import Mapping
from typing import Final

from ttbr.arch import registers_aarch32 as aarch32
from ttbr.arch import registers_aarch64 as aarch64
from ttbr.arch import registers_el2_el3 as el2_el3
from ttbr.arch.fields import Layout
from ttbr.errors import InputError

REGISTERS: Final[Mapping[str, Layout]] = {
    "TCR_EL1": aarch64.TCR_EL1,
    "TTBR0_EL1": aarch64.TTBR_EL1,
    "TTBR1_EL1": aarch64.TTBR_EL1,
    "MAIR_EL1": aarch64.MAIR_EL1,
    "SCTLR_EL1": aarch64.SCTLR_EL1,
    "ID_AA64MMFR0_EL1": aarch64.ID_AA64MMFR0_EL1,
    "ID_AA64MMFR1_EL1": aarch64.ID_AA64MMFR1_EL1,
    "ID_AA64MMFR2_EL1": aarch64.ID_AA64MMFR2_EL1,
    "HCR_EL2": el2_el3.HCR_EL2,
    "TCR_EL2": el2_el3.TCR_EL2,
    "TTBR0_EL2": el2_el3.TTBR_EL2,
    "TTBR1_EL2": el2_el3.TTBR_EL2,
    "MAIR_EL2": el2_el3.MAIR_EL2,
    "SCTLR_EL2": el2_el3.SCTLR_EL2,
    "VTCR_EL2": el2_el3.VTCR_EL2,
    "VTTBR_EL2": el2_el3.VTTBR_EL2,
    "TCR_EL3": el2_el3.TCR_EL3,
    "TTBR0_EL3": el2_el3.TTBR_EL2,
    "MAIR_EL3": el2_el3.MAIR_EL3,
    "SCTLR_EL3": el2_el3.SCTLR_EL3,
    "TTBCR": aarch32.TTBCR,
    "TTBCR2": aarch32.TTBCR2,
    "TTBR0": aarch32.TTBR,
    "TTBR1": aarch32.TTBR,
    "PRRR": aarch32.PRRR,
    "NMRR": aarch32.NMRR,
    "MAIR0": aarch32.MAIR0,
    "MAIR1": aarch32.MAIR1,
    "DACR": aarch32.DACR,
    "SCTLR": aarch32.SCTLR,
    "ID_MMFR0": aarch32.ID_MMFR0,
    "ID_MMFR3": aarch32.ID_MMFR3,
}
"""The fields of every register by name; the ones that have two forms, in their simpler one."""

LARGE_FORMS: Final[Mapping[str, Layout]] = {
    "TTBR0_EL1": aarch64.TTBR_EL1_52,
    "TTBR1_EL1": aarch64.TTBR_EL1_52,
    "TCR_EL2": el2_el3.TCR_EL2_VHE,
    "TTBR0_EL2": el2_el3.TTBR_EL2_52,
    "TTBR1_EL2": el2_el3.TTBR_EL2_52,
    "SCTLR_EL2": el2_el3.SCTLR_EL2_VHE,
    "VTTBR_EL2": el2_el3.VTTBR_EL2_52,
    "TTBR0_EL3": el2_el3.TTBR_EL2_52,
    "TTBCR": aarch32.TTBCR_LPAE,
    "TTBR0": aarch32.TTBR_LPAE,
    "TTBR1": aarch32.TTBR_LPAE,
}
"""The other form: TTBRn_ELx and VTTBR_EL2 with 52-bit addresses, TTBCR and TTBRn with
TTBCR.EAE = 1, TCR_EL2 and SCTLR_EL2 with HCR_EL2.E2H = 1."""

_VHE_FORMS: Final = ("TCR_EL2", "SCTLR_EL2")
"""Registers whose value tells its form by bits that the simpler one reserves."""

_ALIASES: Final[Mapping[str, str]] = {
    "TCR": "TCR_EL1",
    "MAIR": "MAIR_EL1",
    "ID_AA64MMFR0": "ID_AA64MMFR0_EL1",
    "ID_AA64MMFR1": "ID_AA64MMFR1_EL1",
    "ID_AA64MMFR2": "ID_AA64MMFR2_EL1",
}
_BANKS: Final = ("_S", "_NS")


def register_name(name: str) -> str:
    """The name in ``REGISTERS`` of a register as debuggers spell it, else the name as it is.

    A bank suffix marks an AArch32 register, which QEMU may call by its AArch64 name
    (``TTBR0_EL1_S``).
    """
    known = name.upper()
    for suffix in _BANKS:
        if known.endswith(suffix):
            known = known.removesuffix(suffix).removesuffix("_EL1")
    known = _ALIASES.get(known, known)
    return known if known in REGISTERS else name


def register_layout(name: str, value: int, *, large: bool = False) -> Layout:
    """The field table of a register; KeyError for one that ttbr does not know.

    ``large`` asks for the register's large form if it has one. TTBCR says itself which form it has,
    a TTBRn value of more than 32 bits is the large one, and TCR_EL2 and SCTLR_EL2 have the form of
    VHE where bits are set that are reserved without.
    """
    name = register_name(name)
    layout = REGISTERS[name]
    if name == "TTBCR":
        large = bool(value & layout.by_name["EAE"].mask)
    elif name in _VHE_FORMS:
        reserved = sum(item.mask for item in layout.fields if item.name.startswith("RES0"))
        large = bool(value & reserved)
    elif value >> layout.width:
        large = True
    return LARGE_FORMS.get(name, layout) if large else layout


def known_registers(registers: Mapping[str, int]) -> dict[str, int]:
    """The registers under their names in ``REGISTERS``, with others as they are.

    Raises InputError for a value that its register cannot hold.
    """
    named = {register_name(name): value for name, value in registers.items()}
    for name, value in named.items():
        if name in REGISTERS and not 0 <= value < 1 << register_layout(name, value).width:
            raise InputError(f"register {name} cannot hold {value:#x}")
    return named
