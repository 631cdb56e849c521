"""Explanations of single words."""

import json

import pytest

from ttbr.arch.explain import explain_descriptor, explain_register
from ttbr.arch.format import Kind
from ttbr.errors import InputError

LINUX_MAIR = 0x4_0044_FFFF


def test_a_page_at_its_level() -> None:
    (page,) = explain_descriptor(0x00E8_0000_4020_0703, "arm64-4k", 3, LINUX_MAIR)
    assert (page.title, page.kind, page.levels) == ("VMSAv8-64 4K level 3 page", Kind.PAGE, (3,))
    assert (page.address, page.size) == (0x4020_0000, 0x1000)
    assert page.attributes is not None
    assert page.attributes.summary() == "el1:rw- el0:--- Normal WB inner DBM"
    assert "D8.3.1" in page.source
    rows = {row.name: (row.bits, row.value, row.text) for row in page.rows}
    assert rows["PA[47:12]"] == ("[47:12]", 0x40200, "output address")
    assert rows["SH"] == ("[9:8]", 3, "shareability: Inner Shareable")
    json.dumps(page.as_dict())


def test_without_a_level_every_reading_is_given_once() -> None:
    table, page = explain_descriptor(0x1800_0000_4FFF_F003, "arm64-4k-lpa2")
    assert (table.kind, table.levels, table.address) == (Kind.TABLE, (-1, 0, 1, 2), 0x4FFF_F000)
    assert (page.kind, page.levels) == (Kind.PAGE, (3,))
    readings = explain_descriptor(0x4020_0701, "arm64-4k")
    assert [(r.kind, r.levels) for r in readings] == [(Kind.BLOCK, (1,)), (Kind.BLOCK, (2,))]
    section, page = explain_descriptor(0x4021_140E, "short")
    assert (section.title, page.title) == ("Short section", "Short small page")
    assert any("domain" in note for note in page.notes)


def test_what_is_valid_nowhere_is_said_once() -> None:
    (nothing,) = explain_descriptor(0, "arm64-16k")
    assert (nothing.kind, nothing.levels) == (Kind.INVALID, (0, 1, 2, 3))
    assert nothing.address is None
    assert nothing.attributes is None
    (reserved,) = explain_descriptor(0x4020_0001, "arm64-4k", 3)
    assert reserved.kind is Kind.RESERVED


def test_unknown_memory_type_asks_for_mair() -> None:
    (page,) = explain_descriptor(0x00E8_0000_4020_0703, "arm64-4k", 3)
    assert any("--mair" in note for note in page.notes)


@pytest.mark.parametrize(
    ("value", "name", "level", "words"),
    [
        (1 << 64, "arm64-4k", None, "64 bits"),
        (1 << 32, "short", None, "32 bits"),
        (-1, "lpae", None, "64 bits"),
        (3, "arm64-4k", 4, "levels 0 to 3"),
        (3, "arm64-4k", -1, "levels 0 to 3"),
        (3, "arm64-64k", 0, "levels 1 to 3"),
        (3, "short", 3, "levels 1 to 2"),
        (3, "mips", None, "no descriptor format"),
    ],
)
def test_bad_input(value: int, name: str, level: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        explain_descriptor(value, name, level)


def test_registers() -> None:
    tcr = explain_register("TCR_EL1", 0x400034B5503510)
    rows = {row.name: row.text for row in tcr.rows}
    assert rows["TG1"] == "granule of TTBR1: 4K"
    assert rows["IPS"] == "physical address size: 44 bits"
    mair = explain_register("mair_el1", LINUX_MAIR)
    assert mair.rows[3].text == "memory type of index 4: Device-nGnRE"
    assert mair.rows[5].text == "memory type of index 2: Normal, inner NC, outer NC"
    assert explain_register("TTBR1_EL1", 0x2000040595001).address == 0x40595000


def test_the_form_of_a_register_follows_the_format() -> None:
    wide = explain_register("TTBR1_EL1", 0x2000040595005, "arm64-4k-lpa2")
    assert wide.address == 0x1000040595000
    assert explain_register("TTBR0", 0x40003000, "lpae").rows[1].name == "ASID"
    assert explain_register("TTBCR", 0xB5403587).rows[-1].name == "T0SZ"


def test_bad_registers() -> None:
    with pytest.raises(InputError, match="no register 'X0'"):
        explain_register("X0", 0)
    with pytest.raises(InputError, match="TCR_EL1 has 64 bits"):
        explain_register("TCR_EL1", 1 << 64)
    with pytest.raises(InputError, match="DACR has 32 bits"):
        explain_register("DACR", -1)
