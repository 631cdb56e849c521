"""Register field tables against values that Linux programs."""

import pytest

from ttbr.arch.registers import LARGE_FORMS, REGISTERS, register_layout, register_name


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        (
            "TCR_EL1",
            0x400034B5503510,
            {
                "T0SZ": 16,
                "T1SZ": 16,
                "TG0": 0,
                "TG1": 2,
                "IRGN0": 1,
                "ORGN0": 1,
                "SH0": 3,
                "IRGN1": 1,
                "ORGN1": 1,
                "SH1": 3,
                "A1": 1,
                "IPS": 4,
                "AS": 1,
                "TBI0": 1,
                "TBI1": 0,
                "NFD1": 1,
                "DS": 0,
                "HA": 0,
            },
        ),
        (
            "TCR_EL1",
            0x90001B6B54C350C,
            {"DS": 1, "E0PD1": 1, "E0PD0": 0, "HA": 1, "HD": 1, "T0SZ": 12, "T1SZ": 12, "IPS": 6},
        ),
        ("TTBR1_EL1", 0x2000040595001, {"ASID": 2, "BADDR[47:1]": 0x40595000 >> 1, "CnP": 1}),
        ("MAIR_EL1", 0x40044FFFF, {"Attr0": 0xFF, "Attr2": 0x44, "Attr3": 0, "Attr4": 4}),
        ("SCTLR_EL1", 0x20000183474591D, {"M": 1, "C": 1, "I": 1, "WXN": 0, "EE": 0, "SPAN": 0}),
        (
            "ID_AA64MMFR0_EL1",
            0x32310201126,
            {"PARange": 6, "TGran4": 1, "TGran16": 2, "TGran64": 0, "TGran4_2": 3},
        ),
        ("ID_AA64MMFR1_EL1", 0x11010211122, {"HAFDBS": 2, "PAN": 2, "HPDS": 1}),
        ("ID_AA64MMFR2_EL1", 0x1021011010011011, {"E0PD": 1, "VARange": 1, "CnP": 1, "BBM": 2}),
        ("TTBCR", 0x31, {"EAE": 0, "N": 1, "PD0": 1, "PD1": 1}),
        ("TTBCR", 0xB5403587, {"EAE": 1, "T0SZ": 7, "T1SZ": 0, "EPD0": 1, "A1": 1, "SH1": 3}),
        ("TTBR0", 0x4020406A, {"BADDR[31:7]": 0x40204000 >> 7, "RGN": 1, "S": 1, "NOS": 1}),
        ("TTBR0", 0x1000040D2B580, {"ASID": 1, "BADDR[39:4]": 0x40D2B580 >> 4, "CnP": 0}),
        (
            "PRRR",
            0xFF0A81A8,
            {"TR0": 0, "TR1": 2, "TR4": 1, "TR7": 2, "DS0": 0, "DS1": 1, "NS1": 1, "NOS3": 1},
        ),
        ("NMRR", 0x40E040E0, {"IR1": 0, "IR2": 2, "IR3": 3, "IR7": 1, "OR2": 2, "OR7": 1}),
        ("DACR", 0x51, {"D0": 1, "D1": 0, "D2": 1, "D3": 1}),
        ("MAIR1", 0xFF000004, {"Attr4": 4, "Attr7": 0xFF}),
        ("SCTLR", 0x10C5387D, {"M": 1, "TRE": 1, "AFE": 0, "V": 1, "WXN": 0, "EE": 0}),
        ("SCTLR", 0x30C5387D, {"AFE": 1}),
        ("ID_MMFR0", 0x10201105, {"VMSA": 5, "ShareLvl": 1}),
        ("ID_MMFR3", 0x2102211, {"Supersec": 0, "CMemSz": 2, "MaintBcst": 2, "CohWalk": 1}),
    ],
)
def test_recorded_values(name: str, value: int, fields: dict[str, int]) -> None:
    decoded = register_layout(name, value).decode(value)
    assert {field: decoded[field] for field in fields} == fields


def test_every_layout_says_where_it_is_from() -> None:
    for layout in (*REGISTERS.values(), *LARGE_FORMS.values()):
        assert layout.source.startswith("Arm ARM DDI 0")


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("ttbr0_el1", "TTBR0_EL1"),
        ("TTBR0_EL1_S", "TTBR0"),
        ("TTBCR_NS", "TTBCR"),
        ("TCR", "TCR_EL1"),
        ("ID_AA64MMFR2", "ID_AA64MMFR2_EL1"),
        ("pc", "pc"),
        ("VBAR_S", "VBAR_S"),
    ],
)
def test_names_as_debuggers_spell_them(spelled: str, name: str) -> None:
    assert register_name(spelled) == name


def test_the_form_follows_the_value_or_the_asking() -> None:
    assert register_layout("TTBCR", 0).name == "TTBCR"
    assert register_layout("TTBCR", 1 << 31).name == "TTBCR (LPAE)"
    assert register_layout("TTBR1", 0).name == "TTBR"
    assert register_layout("TTBR1", 1 << 32).name == "TTBR (LPAE)"
    assert register_layout("TTBR1_EL1", 0, large=True).name == "TTBR_EL1 (52-bit)"
    assert register_layout("DACR", 0, large=True).name == "DACR"
    with pytest.raises(KeyError):
        register_layout("X0", 0)
