"""Regimes from registers: geometry, roots, and which TTBR an address goes to."""

from collections.abc import Mapping

import pytest

from ttbr.arch.faults import Fault, FaultKind
from ttbr.arch.regime import (
    FORMATS,
    MissingRegister,
    RegimePair,
    TranslationRegime,
    make_regime,
)
from ttbr.arch.registers import REGISTERS
from ttbr.arch.vmsav8_64 import Output, VmsaV8Format
from ttbr.errors import InputError

MAIR = {"MAIR_EL1": 0x4_0044_FFFF}


def pair(**registers: int) -> RegimePair:
    return RegimePair.from_registers(registers)


def halves(**registers: int) -> tuple[TranslationRegime, TranslationRegime]:
    found = pair(**registers)
    assert found.lower is not None
    assert found.upper is not None
    return found.lower, found.upper


def form(regime: TranslationRegime) -> tuple[int, Output]:
    assert isinstance(regime.format, VmsaV8Format)
    return regime.format.granule, regime.format.output


def selected(found: RegimePair, va: int) -> int:
    regime = found.select(va)
    assert isinstance(regime, TranslationRegime), regime
    return regime.ttbr


def refused(found: RegimePair, va: int) -> Fault:
    fault = found.select(va)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TRANSLATION
    assert fault.va == va
    return fault


# Granule and VA bits → start level and entries of the root (kernel-rules 3, field-notes traps 1, 2)
@pytest.mark.parametrize(
    ("name", "va_bits", "start", "entries"),
    [
        ("arm64-4k", 39, 1, 512),
        ("arm64-4k", 48, 0, 512),
        ("arm64-4k", 36, 1, 64),
        ("arm64-4k", 42, 0, 8),
        ("arm64-4k", 25, 2, 16),
        ("arm64-4k", 16, 3, 16),
        ("arm64-4k-lpa2", 52, -1, 16),
        ("arm64-4k-lpa2", 48, 0, 512),
        ("arm64-16k", 36, 2, 2048),
        ("arm64-16k", 47, 1, 2048),
        ("arm64-16k", 48, 0, 2),
        ("arm64-16k-lpa2", 52, 0, 32),
        ("arm64-64k", 42, 2, 8192),
        ("arm64-64k", 48, 1, 64),
        ("arm64-64k-lpa", 52, 1, 1024),
        ("lpae", 32, 1, 4),
        ("lpae", 31, 1, 2),
        ("lpae", 30, 2, 512),
        ("lpae", 25, 2, 16),
        ("short", 32, 1, 4096),
        ("short", 31, 1, 2048),
        ("short", 25, 1, 32),
    ],
)
def test_start_level_and_root(name: str, va_bits: int, start: int, entries: int) -> None:
    regime = make_regime(name, va_bits=va_bits)
    root = regime.levels[0]
    assert (root.number, root.entries) == (start, entries)
    assert regime.root_size == entries * regime.format.entry_size
    assert regime.levels[-1].number == regime.format.last_level
    assert root.shift + root.bits == va_bits
    for above, below in zip(regime.levels, regime.levels[1:], strict=False):
        assert above.shift == below.shift + below.bits
        assert below.number == above.number + 1
    assert root.index((1 << va_bits) - 1) == entries - 1


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("arm64-4k", 49),
        ("arm64-4k", 15),
        ("arm64-64k", 16),
        ("arm64-64k-lpa", 53),
        ("lpae", 33),
        ("short", 24),
    ],
)
def test_sizes_that_a_format_cannot_have(name: str, bits: int) -> None:
    with pytest.raises(InputError, match=f"address bits, not {bits}"):
        make_regime(name, va_bits=bits)


def test_format_names() -> None:
    assert len(FORMATS) == 20
    with pytest.raises(InputError, match="no descriptor format 'x86'"):
        make_regime("x86")
    with pytest.raises(InputError, match="64 bits"):
        make_regime("arm64-4k", mair=1 << 64)


# TCR_EL1 of the recordings (kernel-rules 21.1) → TTBR0's and TTBR1's input bits, TTBR1's start
# level, output bits
@pytest.mark.parametrize(
    ("tcr", "granule", "output", "sizes"),
    [
        (0x34B5593519, 0x1000, Output.BITS_48, (39, 39, 1, 44)),
        (0x34B5593510, 0x1000, Output.BITS_48, (48, 39, 1, 44)),
        (0x400034B5503510, 0x1000, Output.BITS_48, (48, 48, 0, 44)),
        (0x80000B6B54C350C, 0x1000, Output.LPA2, (52, 52, -1, 52)),
        (0x80000B6B54C3510, 0x1000, Output.LPA2, (48, 52, -1, 52)),
        (0xB27551B511, 0x4000, Output.BITS_48, (47, 47, 1, 40)),
        (0x34F5567516, 0x10000, Output.BITS_48, (42, 42, 2, 44)),
        (0x500074B5503510, 0x1000, Output.BITS_48, (48, 48, 0, 44)),
    ],
)
def test_recorded_tcr(
    tcr: int, granule: int, output: Output, sizes: tuple[int, int, int, int]
) -> None:
    low, high = halves(TCR_EL1=tcr, **MAIR)
    assert form(low) == form(high) == (granule, output)
    assert (low.input_bits, high.input_bits, high.levels[0].number, high.output_bits) == sizes
    assert (low.first, low.last) == (0, (1 << sizes[0]) - 1)
    assert high.base == high.first == (1 << 64) - (1 << sizes[1])
    assert high.last == (1 << 64) - 1
    assert low.output_bits == high.output_bits


def tcr(**fields: int) -> int:
    """A TCR_EL1 of 48 bits, 4K, 48-bit output, with some fields set otherwise."""
    plain = {"T0SZ": 16, "T1SZ": 16, "TG0": 0, "TG1": 2, "IPS": 5}
    return REGISTERS["TCR_EL1"].encode(plain | fields)


def test_granules_have_different_codes_in_each_half() -> None:
    for tg0, tg1, granule in ((0, 2, 0x1000), (2, 1, 0x4000), (1, 3, 0x10000)):
        low, high = halves(TCR_EL1=tcr(TG0=tg0, TG1=tg1))
        assert form(low)[0] == form(high)[0] == granule
    low, high = halves(TCR_EL1=tcr(TG0=1, TG1=1, T0SZ=22, T1SZ=17))
    assert (form(low)[0], form(high)[0]) == (0x10000, 0x4000)
    assert (low.input_bits, high.input_bits) == (42, 47)


def test_ds_alone_makes_lpa2() -> None:
    # PARange says 52 bits, but the kernel runs with 48 (field-notes trap 3)
    low, high = halves(TCR_EL1=tcr(IPS=6), ID_AA64MMFR0_EL1=0x32310201126)
    assert form(low)[1] is form(high)[1] is Output.BITS_48
    assert low.output_bits == 48
    low, high = halves(TCR_EL1=tcr(IPS=6, DS=1))
    assert form(low)[1] is Output.LPA2
    assert low.output_bits == 52
    assert halves(TCR_EL1=tcr(DS=1, IPS=5))[0].output_bits == 48


def test_64k_is_lpa_with_52_bits_of_either_kind() -> None:
    wide = {"TG0": 1, "TG1": 3}
    assert form(halves(TCR_EL1=tcr(**wide))[0])[1] is Output.BITS_48
    assert form(halves(TCR_EL1=tcr(**wide, IPS=6))[0])[1] is Output.LPA
    assert form(halves(TCR_EL1=tcr(**wide, DS=1))[0])[1] is Output.BITS_48
    low, high = halves(TCR_EL1=tcr(**wide, T1SZ=12))
    assert (form(low)[1], form(high)[1]) == (Output.BITS_48, Output.LPA)
    assert (high.input_bits, high.levels[0].entries) == (52, 1024)


def test_sizes_out_of_range_are_forced_into_it() -> None:
    low, high = halves(TCR_EL1=tcr(T0SZ=0, T1SZ=63))
    assert (low.input_bits, high.input_bits) == (48, 16)
    low, high = halves(TCR_EL1=tcr(T0SZ=0, T1SZ=63, TG0=1, TG1=3))
    assert (low.input_bits, high.input_bits) == (52, 17)
    assert halves(TCR_EL1=tcr(T0SZ=3, DS=1))[0].input_bits == 52


def test_id_register_limits_the_output_size() -> None:
    low, _ = halves(TCR_EL1=tcr(IPS=5), ID_AA64MMFR0_EL1=2)
    assert low.output_bits == 40
    low, _ = halves(TCR_EL1=tcr(IPS=1), ID_AA64MMFR0_EL1=5)
    assert low.output_bits == 36


@pytest.mark.parametrize(
    ("name", "va_bits", "ttbr", "root"),
    [
        ("arm64-4k", 48, 0x0002_0000_4059_6001, 0x4059_6000),  # ASID and CnP
        ("arm64-4k", 48, 0x0002_0000_4059_6FFE, 0x4059_6000),
        ("arm64-4k", 48, 0xFFFF_8000_4059_6000, 0x8000_4059_6000),
        ("arm64-64k", 48, 0x0000_0000_4066_1E00, 0x4066_1E00),  # 512 bytes, inside swapper
        ("arm64-16k", 48, 0x0000_0000_4066_1011, 0x4066_1010),  # two entries
        ("arm64-4k-lpa2", 52, 0x0002_0000_4059_5001, 0x4059_5000),
        ("arm64-4k-lpa2", 52, 0x0002_8000_4059_50BD, 0x000F_8000_4059_5080),
        ("arm64-64k-lpa", 52, 0x0000_0000_4066_0004, 0x0001_0000_4066_0000),
        ("arm64-64k-lpa", 48, 0x0000_0000_4066_0220, 0x0008_0000_4066_0200),
        ("arm64-4k-lpa2", 40, 0x0000_0000_4066_007D, 0x000F_0000_4066_0040),  # at least 64 bytes
        ("lpae", 32, 0x0001_0000_40D2_B580, 0x40D2_B580),
        ("lpae", 25, 0x0001_0000_40D2_B5FF, 0x40D2_B580),
        ("lpae", 32, 0x00FF_00FF_4000_3001, 0xFF_4000_3000),
        ("short", 32, 0x4020_406A, 0x4020_4000),
        ("short", 32, 0x6000_4059, 0x6000_4000),
        ("short", 31, 0x6000_6059, 0x6000_6000),
        ("short", 25, 0x6000_60FF, 0x6000_6080),
    ],
)
def test_root_address(name: str, va_bits: int, ttbr: int, root: int) -> None:
    regime = make_regime(name, va_bits=va_bits)
    assert regime.root_address(ttbr) == root
    assert regime.root_address(regime.ttbr_value(root)) == root


def test_a_root_that_a_ttbr_cannot_hold() -> None:
    with pytest.raises(ValueError, match="cannot be at 0x40201000"):
        make_regime("short").ttbr_value(0x40201000)
    with pytest.raises(ValueError, match="cannot hold"):
        make_regime("arm64-4k").ttbr_value(1 << 48)


def test_halves_of_48_bits_and_the_hole_between() -> None:
    found = pair(TCR_EL1=tcr())
    assert selected(found, 0) == selected(found, (1 << 48) - 1) == 0
    assert selected(found, 0xFFFF_0000_0000_0000) == selected(found, (1 << 64) - 1) == 1
    for va in (1 << 48, 0xFFFE_FFFF_FFFF_FFFF, 1 << 55, 0x00FF_0000_0000_0000, 0xAB << 56):
        assert refused(found, va).level == 0


def test_tags_are_ignored_by_half() -> None:
    found = pair(TCR_EL1=tcr(TBI0=1))
    assert selected(found, 0xAB00_0000_0000_1000) == 0
    assert found.lower is not None
    assert found.lower.canonical(0xAB00_0000_0000_1000) == 0x1000
    assert refused(found, 0xAB01_0000_0000_1000).level == 0
    assert refused(found, 0xABFF_0000_0000_0000).level == 0
    found = pair(TCR_EL1=tcr(TBI1=1))
    assert selected(found, 0x00FF_0000_0000_0000) == 1
    assert found.upper is not None
    assert found.upper.canonical(0x00FF_0000_0000_0000) == 0xFFFF_0000_0000_0000
    assert refused(found, 0xAB00_0000_0000_1000).level == 0


def test_disabled_walks_fault_at_level_0() -> None:
    found = pair(TCR_EL1=tcr(EPD1=1))
    assert refused(found, (1 << 64) - 1).level == 0
    assert "TTBR1_EL1 are disabled" in refused(found, (1 << 64) - 1).text
    assert selected(found, 0) == 0


def test_a_reserved_granule_leaves_the_half_without_a_regime() -> None:
    found = pair(TCR_EL1=tcr(TG1=0))
    assert found.upper is None
    assert "TG1 is reserved" in refused(found, (1 << 64) - 1).text
    assert pair(TCR_EL1=tcr(TG0=3)).lower is None


def test_addresses_that_are_none() -> None:
    with pytest.raises(InputError, match="64 bits"):
        pair(TCR_EL1=tcr()).select(1 << 64)
    with pytest.raises(InputError, match="32 bits"):
        pair(TTBCR=0).select(1 << 32)
    with pytest.raises(InputError, match="64 bits"):
        pair(TCR_EL1=tcr()).select(-1)


def test_controls_of_each_half() -> None:
    low, high = halves(
        TCR_EL1=tcr(HA=1, HD=1, HPD0=1, E0PD1=1, SH0=2, SH1=3),
        SCTLR_EL1=1 << 19,
        MAIR_EL1=0x0706050403020100,
    )
    assert (low.controls.hpd, high.controls.hpd) == (True, False)
    assert (low.controls.e0pd, high.controls.e0pd) == (False, True)
    assert (low.controls.shareability, high.controls.shareability) == (2, 3)
    assert low.controls.ha
    assert low.controls.hd
    assert low.controls.wxn
    assert low.controls.mair == (0, 1, 2, 3, 4, 5, 6, 7)
    assert low.unknown == ()
    assert not halves(TCR_EL1=tcr(HD=1))[0].controls.hd  # HD does nothing without HA


def test_what_is_missing_is_said() -> None:
    low, _ = halves(TCR_EL1=tcr())
    assert [text.split()[0] for text in low.unknown] == ["MAIR_EL1", "SCTLR_EL1"]
    assert low.attributes(0x703, 3).memory == "unknown"
    with pytest.raises(MissingRegister, match="TCR_EL1") as caught:
        RegimePair.from_registers(MAIR)
    assert "TTBCR" in caught.value.register


def test_big_endian_tables_are_refused() -> None:
    with pytest.raises(InputError, match=r"SCTLR_EL1\.EE"):
        pair(TCR_EL1=tcr(), SCTLR_EL1=1 << 25)
    with pytest.raises(InputError, match=r"SCTLR\.EE"):
        pair(TTBCR=0, SCTLR=1 << 25)


def test_a_value_too_large_for_its_register_is_refused() -> None:
    for registers in ({"TCR_EL1": 1 << 64}, {"TTBCR": 1 << 32}, {"TTBCR": 0, "DACR": -1}):
        with pytest.raises(InputError, match="cannot hold"):
            RegimePair.from_registers(registers)


SHORT = {"SCTLR": 0x10C5387D, "PRRR": 0xFF0A81A8, "NMRR": 0x40E040E0, "DACR": 0x51}


def test_short_without_split_is_all_ttbr0() -> None:
    found = pair(TTBCR=0, **SHORT)
    assert found.upper is None
    assert found.lower is not None
    assert (found.lower.root_size, found.lower.first, found.lower.last) == (0x4000, 0, 0xFFFFFFFF)
    assert selected(found, 0xFFFFFFFF) == 0
    assert found.lower.unknown == ()
    assert found.lower.attributes(0x1141E, 1).summary().startswith("el1:rw- el0:--- Normal WB")


@pytest.mark.parametrize("n", range(1, 8))
def test_short_split(n: int) -> None:
    found = pair(TTBCR=n, **SHORT)
    split = 1 << 32 - n
    assert (selected(found, 0), selected(found, split - 1)) == (0, 0)
    assert (selected(found, split), selected(found, 0xFFFFFFFF)) == (1, 1)
    low, high = halves(TTBCR=n, **SHORT)
    assert low.root_size == 1 << 14 - n
    assert high.root_size == 1 << 14
    assert high.base == 0  # TTBR1's root is indexed as if it mapped everything
    assert high.first == split
    assert low.levels[1].entries == high.levels[1].entries == 256


def test_short_disabled_walks_fault_at_level_1() -> None:
    assert refused(pair(TTBCR=0x10, **SHORT), 0x1000).level == 1
    found = pair(TTBCR=0x21, **SHORT)
    assert refused(found, 0xC0000000).level == 1
    assert selected(found, 0x1000) == 0


def test_short_with_registers_missing() -> None:
    low = pair(TTBCR=0).lower
    assert low is not None
    assert [text.split()[0] for text in low.unknown] == ["SCTLR", "DACR"]
    assert low.attributes(0x1141E, 1).memory == "unknown"
    low = pair(TTBCR=0, SCTLR=1 << 28, DACR=1).lower
    assert low is not None
    assert [text.split()[0] for text in low.unknown] == ["PRRR"]
    # PRRR and NMRR are MAIR0 and MAIR1 by another name
    low = pair(TTBCR=0, SCTLR=1 << 28, DACR=1, MAIR0=0xFF0A81A8, MAIR1=0x40E040E0).lower
    assert low is not None
    assert low.attributes(0x1141E, 1).memory == "Normal"


def test_short_pxn_and_device_follow_the_implementation() -> None:
    for vmsa, pxn, outer in ((3, False, False), (4, True, False), (5, True, True)):
        low = pair(TTBCR=0, ID_MMFR0=vmsa).lower
        assert low is not None
        assert (low.controls.pxn, low.controls.device_outer) == (pxn, outer)


EAE = 1 << 31


@pytest.mark.parametrize(
    ("t0sz", "t1sz", "expected"),
    [
        (0, 0, {0: 0, 0x80000000: 0, 0xFFFFFFFF: 0}),
        (1, 0, {0x7FFFFFFF: 0, 0x80000000: 1, 0xFFFFFFFF: 1}),
        (7, 0, {0x01FFFFFF: 0, 0x02000000: 1, 0xC0000000: 1}),
        (0, 2, {0xBFFFFFFF: 0, 0xC0000000: 1}),
        (2, 2, {0x3FFFFFFF: 0, 0x40000000: None, 0xBFFFFFFF: None, 0xC0000000: 1}),
        (1, 1, {0x7FFFFFFF: 0, 0x80000000: 1}),
    ],
)
def test_lpae_split(t0sz: int, t1sz: int, expected: Mapping[int, int | None]) -> None:
    found = pair(TTBCR=EAE | t1sz << 16 | t0sz)
    for va, ttbr in expected.items():
        if ttbr is None:
            assert refused(found, va).level == 1
        else:
            assert selected(found, va) == ttbr


@pytest.mark.parametrize(
    ("t0sz", "t1sz", "base", "start", "entries"),
    [
        (2, 0, 0, 1, 4),
        (0, 1, 0x80000000, 1, 2),
        (0, 2, 0xC0000000, 2, 512),
        (0, 7, 0xFE000000, 2, 16),
    ],
)
def test_lpae_upper_root(t0sz: int, t1sz: int, base: int, start: int, entries: int) -> None:
    _, high = halves(TTBCR=EAE | t1sz << 16 | t0sz)
    assert (high.base, high.levels[0].number, high.levels[0].entries) == (base, start, entries)


def test_lpae_of_the_recording() -> None:
    registers = {
        "TTBCR": 0xB5403587,
        "MAIR0": 0xEEAA4400,
        "MAIR1": 0xFF000004,
        "SCTLR": 0x30C5387D,
    }
    found = RegimePair.from_registers(registers)
    low, high = halves(**registers)
    assert low.disabled  # EPD0: the kernel keeps itself out of user memory
    assert refused(found, 0x1000).level == 1
    assert selected(found, 0xC0000000) == 1
    assert (high.levels[0].number, high.root_address(0x40003000)) == (1, 0x40003000)
    assert high.attributes(0x71D, 2).memory == "Normal"
    assert high.unknown == ()


def test_lpae_with_registers_missing() -> None:
    low = pair(TTBCR=EAE, MAIR0=0).lower
    assert low is not None
    assert [text.split()[0] for text in low.unknown] == ["SCTLR", "MAIR0"]
    assert low.attributes(0x71D, 2).memory == "unknown"


def test_banked_names() -> None:
    found = RegimePair.from_registers({"TTBCR_S": 0, "SCTLR_S": 0, "DACR_S": 1})
    assert found.lower is not None
    assert found.lower.unknown == ()


def test_make_regime_for_upper_halves() -> None:
    assert make_regime("arm64-4k", va_bits=39, upper=True).base == 0xFFFFFF8000000000
    assert make_regime("arm64-64k-lpa", upper=True).base == 0xFFF0000000000000
    assert make_regime("lpae", upper=True).first == 0x80000000
    assert make_regime("short", upper=True, va_bits=30).first == 0x40000000
    with pytest.raises(InputError, match="25 to 31"):
        make_regime("short", upper=True, va_bits=32)


def test_make_regime_takes_memory_types() -> None:
    assert make_regime("short", mair=0x40E040E0_FF0A81A8).attributes(0x1141E, 1).inner == "WB RA WA"
    assert make_regime("lpae", mair=0xFF000004_EEAA4400).attributes(0x713, 3).memory == "Device"
