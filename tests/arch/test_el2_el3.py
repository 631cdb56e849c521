"""EL2 and EL3: single exception levels, and the host of VHE with two halves."""

import pytest

from ttbr.arch.explain import explain_register
from ttbr.arch.regime import MissingRegister, RegimePair, make_regime
from ttbr.arch.registers import register_layout
from ttbr.arch.registers_aarch64 import TCR_EL1
from ttbr.arch.registers_el2_el3 import HCR_EL2, TCR_EL2, TCR_EL3
from ttbr.arch.tcr_el2_el3 import el2_pair, el3_regime
from ttbr.arch.vmsav8_64 import Output
from ttbr.errors import InputError

MAIR = 0x0000_0000_44FF_0400  # 0 Device-nGnRnE, 1 Device-nGnRE, 2 Normal WB, 3 Normal NC
NORMAL, AF = 2 << 2, 1 << 10
READ_ONLY, XN, DBM = 1 << 7, 1 << 54, 1 << 51
E2H_TGE = HCR_EL2.encode({"E2H": 1, "TGE": 1})
VHE = {
    "HCR_EL2": E2H_TGE,
    "TCR_EL2": 0x34B5503510,  # as Linux sets TCR_EL1: 4K, 48 bits, both halves
    "MAIR_EL2": MAIR,
    "SCTLR_EL2": 0,
}


def tcr(bits: int, **fields: int) -> int:
    return TCR_EL2.encode({"T0SZ": 64 - bits, "PS": 2} | fields)


def test_el2() -> None:
    (regime,) = el2_pair({"TCR_EL2": tcr(48), "MAIR_EL2": MAIR, "SCTLR_EL2": 0, "HCR_EL2": 0})
    assert regime is not None
    assert (regime.base, regime.last, regime.output_bits) == (0, (1 << 48) - 1, 40)
    assert regime.root_register == "TTBR0_EL2"
    assert regime.unknown == ()
    page = regime.attributes(NORMAL | AF | 0x343, 3)
    assert page.summary() == "el2:rwx Normal WB inner"
    assert page.exception_levels == (2,)
    assert page.as_dict()["el2_write"] is True
    assert not {name for name in page.as_dict() if name.startswith(("el0", "el1"))}


@pytest.mark.parametrize(
    ("bits", "limits", "text"),
    [
        (0, 0, "rwx"),
        (READ_ONLY, 0, "r-x"),
        (XN, 0, "rw-"),
        (1 << 53, 0, "rwx"),  # PXN has no meaning
        (0, 1 << 1, "rw-"),  # XNTable
        (0, 1 << 3, "r-x"),  # APTable[1]
        (READ_ONLY | DBM, 0, "r-x"),
    ],
)
def test_permissions_of_a_single_level(bits: int, limits: int, text: str) -> None:
    regime = make_regime("arm64-4k-el2", mair=MAIR)
    assert regime.attributes(NORMAL | AF | 0x343 | bits, 3, limits).permissions(2) == text


def test_control_bits() -> None:
    word = NORMAL | AF | 0x343
    wxn = el3_regime({"TCR_EL3": tcr(40), "SCTLR_EL3": 1 << 19, "MAIR_EL3": MAIR})
    assert wxn.attributes(word, 3).summary() == "el3:rw- Normal WB inner"
    hpd = el3_regime({"TCR_EL3": tcr(40, HPD=1), "SCTLR_EL3": 0, "MAIR_EL3": MAIR})
    assert hpd.attributes(word, 3, 1 << 1 | 1 << 3).permissions(3) == "rwx"
    dirty = el3_regime({"TCR_EL3": tcr(40, HA=1, HD=1), "SCTLR_EL3": 0})
    assert dirty.attributes(word | READ_ONLY | DBM, 3).permissions(3) == "rwx"
    assert dirty.attributes(word, 3).memory == "unknown"
    assert dirty.unknown == ("MAIR_EL3 is not known: memory types are unknown",)


@pytest.mark.parametrize(
    ("fields", "granule", "output", "levels"),
    [
        ({"TG0": 0}, 0x1000, Output.BITS_48, 4),
        ({"TG0": 1}, 0x10000, Output.BITS_48, 3),
        ({"TG0": 2}, 0x4000, Output.BITS_48, 4),
        ({"TG0": 0, "DS": 1, "PS": 6}, 0x1000, Output.LPA2, 4),
        ({"TG0": 1, "PS": 6}, 0x10000, Output.LPA, 3),
    ],
)
def test_geometry(fields: dict[str, int], granule: int, output: Output, levels: int) -> None:
    regime = el3_regime({"TCR_EL3": tcr(48, **fields)})
    fmt = regime.format
    assert (getattr(fmt, "granule", 0), getattr(fmt, "output", None)) == (granule, output)
    assert len(regime.levels) == levels


def test_tags() -> None:
    regime = el3_regime({"TCR_EL3": tcr(40, TBI=1, TBID=1)})
    assert regime.canonical(0xAB00_0000_1234_5678) == 0x1234_5678
    assert regime.canonical(0xAB00_0000_1234_5678, fetch=True) == 0xAB00_0000_1234_5678


def test_vhe_has_two_halves() -> None:
    lower, upper = el2_pair(VHE)
    assert lower is not None
    assert upper is not None
    assert (lower.root_register, upper.root_register) == ("TTBR0_EL2", "TTBR1_EL2")
    assert upper.base == 0xFFFF << 48
    page = upper.attributes(NORMAL | AF | 0x743 | 0b01 << 6, 3)
    assert page.summary() == "el2:rw- el0:rwx Normal WB inner"


def test_a_vhe_host_is_what_the_registers_describe() -> None:
    """The registers of EL1 are a guest's, or nobody's."""
    pair = RegimePair.from_registers({**VHE, "TCR_EL1": TCR_EL1.encode({"T1SZ": 39})})
    assert pair.upper is not None
    assert (pair.upper.root_register, pair.upper.input_bits) == ("TTBR1_EL2", 48)
    guest = {**VHE, "HCR_EL2": HCR_EL2.encode({"E2H": 1}), "TCR_EL1": 0x34B5503510}
    running = RegimePair.from_registers(guest)
    assert running.upper is not None
    assert running.upper.root_register == "TTBR1_EL1"


def test_missing_and_reserved() -> None:
    with pytest.raises(MissingRegister, match="TCR_EL2"):
        el2_pair({})
    with pytest.raises(MissingRegister, match="TCR_EL2"):
        RegimePair.from_registers({"HCR_EL2": E2H_TGE, "TCR_EL1": 0})
    with pytest.raises(MissingRegister, match="TCR_EL3"):
        el3_regime({})
    with pytest.raises(InputError, match="TG0 is reserved"):
        el3_regime({"TCR_EL3": tcr(48, TG0=3)})
    with pytest.raises(InputError, match="big-endian"):
        el3_regime({"TCR_EL3": tcr(48), "SCTLR_EL3": 1 << 25})
    (regime,) = el2_pair({"TCR_EL2": tcr(48)})
    assert regime is not None
    assert "HCR_EL2 is not known: E2H is taken as 0" in regime.unknown


@pytest.mark.parametrize(
    ("name", "value", "title"),
    [
        ("TCR_EL2", tcr(48) | 1 << 31 | 1 << 23, "TCR_EL2"),
        ("TCR_EL2", 0x34B5503510, "TCR_EL2 (VHE)"),
        ("SCTLR_EL2", 0x30C5_183D, "SCTLR_EL2"),
        ("SCTLR_EL2", 0x0000_0000_34F4_D91D, "SCTLR_EL2 (VHE)"),
    ],
)
def test_the_value_tells_the_form(name: str, value: int, title: str) -> None:
    assert register_layout(name, value).name == title


def test_explained() -> None:
    rows = {row.name: row.text for row in explain_register("HCR_EL2", E2H_TGE | 1 << 46).rows}
    assert rows["E2H"] == "EL2 hosts an operating system (VHE): yes"
    assert rows["FWB"] == "stage 2 memory types win over those of stage 1: yes"
    assert explain_register("TCR_EL3", TCR_EL3.encode({"PS": 5})).title == "TCR_EL3"
    assert explain_register("TTBR0_EL2", 0x4321_0001).address == 0x4321_0000
    assert explain_register("VTTBR_EL2", 0x7_0000_4321_0000, "arm64-4k-stage2").address == (
        0x4321_0000
    )
