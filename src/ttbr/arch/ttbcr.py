"""Translation regimes of AArch32 PL1&0, from TTBCR and its company."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ttbr.arch import lpae as lpae_format
from ttbr.arch import short as short_format
from ttbr.arch.attributes import Controls
from ttbr.arch.lpae import LPAE
from ttbr.arch.memory_types import mair_bytes
from ttbr.arch.registers_aarch32 import (
    ID_MMFR0,
    SCTLR,
    TTBCR,
    TTBCR2,
    TTBCR_LPAE,
    TTBR,
    TTBR_LPAE,
)
from ttbr.arch.short import short
from ttbr.arch.translation_regime import Level, TranslationRegime, levels_of
from ttbr.errors import InputError

ADDRESS_BITS: Final = 32
LAST_ADDRESS: Final = (1 << ADDRESS_BITS) - 1

_FAULT_LEVEL: Final = 1
"""Faults before the walk have level 1 (Arm ARM DDI 0406C, B3.5.4, B3.6.4)."""

_VMSA_PXN, _VMSA_LPAE = 4, 5
"""ID_MMFR0.VMSA from which PXN and LPAE exist."""

Pair = tuple[TranslationRegime, TranslationRegime | None]


def is_long(ttbcr: int) -> bool:
    """TTBCR.EAE: whether descriptors are long (LPAE)."""
    return bool(TTBCR.by_name["EAE"].extract(ttbcr))


def short_regime(
    n: int,
    *,
    upper: bool,
    controls: Controls | None = None,
    disabled: bool = False,
    unknown: tuple[str, ...] = (),
) -> TranslationRegime:
    """The regime of TTBR0, or with ``upper`` of TTBR1, of short descriptors and TTBCR.N = ``n``.

    TTBR0 maps the lowest 2^(32−N) bytes with a root of 2^(14−N) bytes; TTBR1, used with N > 0 for
    all above, always has a full root, indexed from address 0 (Arm ARM DDI 0406C, B3.5.4, B3.5.5).
    """
    input_bits = ADDRESS_BITS if upper else ADDRESS_BITS - n
    controls = controls or Controls()
    first = 1 << ADDRESS_BITS - n if upper else 0
    return TranslationRegime(
        format=short(controls.pxn),
        ttbr=int(upper),
        root_register=f"TTBR{int(upper)}",
        ttbr_layout=TTBR,
        base=0,
        first=first,
        last=LAST_ADDRESS if upper else (1 << input_bits) - 1,
        input_bits=input_bits,
        output_bits=short_format.OUTPUT_BITS,
        levels=(Level(1, 20, input_bits - 20), Level(2, 12, 8)),
        controls=controls,
        fault_level=_FAULT_LEVEL,
        disabled=disabled,
        unknown=unknown,
    )


def lpae_regime(
    t0sz: int,
    t1sz: int,
    *,
    upper: bool,
    controls: Controls | None = None,
    disabled: bool = False,
    unknown: tuple[str, ...] = (),
) -> TranslationRegime:
    """The regime of TTBR0, or with ``upper`` of TTBR1, of long descriptors.

    With T1SZ = 0 TTBR1 gets all that TTBR0 does not cover, from a root indexed from address 0; with
    T0SZ = 0 TTBR0 gets all that TTBR1 does not cover (Arm ARM DDI 0406C, B3.6.4).
    """
    size = t1sz if upper else t0sz
    input_bits = ADDRESS_BITS - size
    split = 1 << ADDRESS_BITS
    top = split - (1 << ADDRESS_BITS - t1sz) if t1sz else split
    base = top if upper and t1sz else 0
    if upper:
        first, last = (top if t1sz else 1 << ADDRESS_BITS - t0sz), LAST_ADDRESS
    else:
        first, last = 0, min(1 << input_bits, top) - 1
    # B3.6.6: the walk starts at level 2 where a level 1 table would have a single entry
    start = lpae_format.FIRST_LEVEL if size < 2 else lpae_format.FIRST_LEVEL + 1
    return TranslationRegime(
        format=LPAE,
        ttbr=int(upper),
        root_register=f"TTBR{int(upper)}",
        ttbr_layout=TTBR_LPAE,
        base=base,
        first=first,
        last=last,
        input_bits=input_bits,
        output_bits=lpae_format.OUTPUT_BITS,
        levels=levels_of(12, 9, LPAE.last_level, start, input_bits),
        controls=controls or Controls(),
        fault_level=_FAULT_LEVEL,
        disabled=disabled,
        unknown=unknown,
    )


def regimes_from_ttbcr(registers: Mapping[str, int]) -> Pair:
    """The regimes of TTBR0 and TTBR1; None for a TTBR1 that TTBCR does not use.

    Uses TTBCR, and where known SCTLR, PRRR, NMRR (or MAIR0, MAIR1), DACR and ID_MMFR0. Raises
    InputError for big-endian tables, which ttbr does not read.
    """
    known_sctlr = registers.get("SCTLR")
    sctlr = SCTLR.decode(known_sctlr or 0)
    if sctlr["EE"]:
        raise InputError("SCTLR.EE is 1: translation tables are big-endian, not supported")
    # PRRR and MAIR0, NMRR and MAIR1 are one register each, named by what EAE makes of it
    remap = _either(registers, "PRRR", "MAIR0"), _either(registers, "NMRR", "MAIR1")
    unknown: list[str] = []
    if is_long(registers["TTBCR"]):
        return _long_pair(registers, sctlr, remap, known_sctlr is None)
    if known_sctlr is None:
        unknown.append("SCTLR is not known: memory types are unknown; AFE, WXN and EE taken as 0")
    elif sctlr["TRE"] and None in remap:
        unknown.append("PRRR or NMRR is not known: memory types are unknown")
    if "DACR" not in registers:
        unknown.append("DACR is not known: every domain is taken as client")
    vmsa = ID_MMFR0.decode(registers["ID_MMFR0"])["VMSA"] if "ID_MMFR0" in registers else None
    controls = Controls(
        prrr=remap[0],
        nmrr=remap[1],
        tre=None if known_sctlr is None else bool(sctlr["TRE"]),
        afe=bool(sctlr["AFE"]),
        dacr=registers.get("DACR"),
        wxn=bool(sctlr["WXN"]),
        uwxn=bool(sctlr["UWXN"]),
        ha=bool(sctlr["HA"]),
        pxn=vmsa is None or vmsa >= _VMSA_PXN,
        device_outer=vmsa is None or vmsa >= _VMSA_LPAE,
    )
    ttbcr = TTBCR.decode(registers["TTBCR"])

    def half(upper: bool) -> TranslationRegime:
        disabled = bool(ttbcr[f"PD{int(upper)}"])
        return short_regime(
            ttbcr["N"], upper=upper, controls=controls, disabled=disabled, unknown=tuple(unknown)
        )

    return half(False), half(True) if ttbcr["N"] else None


def _long_pair(
    registers: Mapping[str, int],
    sctlr: Mapping[str, int],
    mair: tuple[int | None, int | None],
    no_sctlr: bool,
) -> Pair:
    ttbcr = TTBCR_LPAE.decode(registers["TTBCR"])
    unknown: list[str] = []
    ttbcr2 = TTBCR2.decode(registers.get("TTBCR2", 0) if ttbcr["T2E"] else 0)
    if ttbcr["T2E"] and "TTBCR2" not in registers:
        unknown.append("TTBCR2 is not known: hierarchical permissions are taken as enabled")
    if no_sctlr:
        unknown.append("SCTLR is not known: WXN, UWXN and EE are taken as 0")
    low, high = mair
    if low is None or high is None:
        unknown.append("MAIR0 or MAIR1 is not known: memory types are unknown")
    controls = Controls(
        mair=None if low is None or high is None else mair_bytes(high << 32 | low),
        wxn=bool(sctlr["WXN"]),
        uwxn=bool(sctlr["UWXN"]),
    )
    sizes = ttbcr["T0SZ"], ttbcr["T1SZ"]

    def half(upper: bool) -> TranslationRegime:
        return lpae_regime(
            *sizes,
            upper=upper,
            controls=replace(controls, hpd=bool(ttbcr2[f"HPD{int(upper)}"])),
            disabled=bool(ttbcr[f"EPD{int(upper)}"]),
            unknown=tuple(unknown),
        )

    return half(False), half(True) if any(sizes) else None


def _either(registers: Mapping[str, int], *names: str) -> int | None:
    return next((registers[name] for name in names if name in registers), None)
