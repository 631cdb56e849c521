"""Short descriptors against the architecture's tables and what Linux writes."""

from itertools import product

import numpy as np
import pytest

from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.format import Kind
from ttbr.arch.short import short

# kernel-rules 15: what Linux programs on ARMv7
PRRR, NMRR, DACR = 0xFF0A81A8, 0x40E040E0, 0x51
LINUX = Controls(prrr=PRRR, nmrr=NMRR, tre=True, dacr=DACR)
NO_REMAP = Controls(tre=False)


def words(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(values, dtype=np.uint64)


def attributes(bits: int, level: int, limits: int = 0, controls: Controls = LINUX) -> Attributes:
    return short().attributes(bits, level, limits, controls)


def test_kinds() -> None:
    first = short().kinds(words(0, 0xFFFFFFFC, 1, 2, 3, 0x40002), 1)
    assert [Kind(k).name for k in first] == ["INVALID"] * 2 + ["TABLE"] + ["BLOCK"] * 3
    second = short().kinds(words(0, 1, 2, 3), 2)
    assert [Kind(k).name for k in second] == ["INVALID", "PAGE", "PAGE", "PAGE"]


def test_forms_have_their_field_tables() -> None:
    names = [short().layout(desc, 1).name for desc in (0, 1, 2, 0x40002)]
    assert names == ["Short fault", "Short coarse table", "Short section", "Short supersection"]
    assert [short().layout(desc, 2).name for desc in (1, 2)] == [
        "Short large page",
        "Short small page",
    ]


def test_addresses_of_each_form() -> None:
    def output(desc: int, level: int, va: int) -> int:
        return int(short().output_address(words(desc), level, words(va))[0])

    assert output(0x6004041E & ~(1 << 18), 1, 0xC00ABCDE) == 0x600ABCDE
    assert output(0x8FFFE67E, 2, 0xFFFF0123) == 0x8FFFE123
    assert output(0x8FFF0001, 2, 0xFFFFABCD) == 0x8FFFABCD
    assert short().table_address(words(0x6FFFD861), 1).tolist() == [0x6FFFD800]


def test_supersections_reach_40_bits() -> None:
    # PA[35:32] in bits 23:20, PA[39:36] in bits 8:5
    desc = 0x12000000 | 0xA << 20 | 0xB << 5 | 1 << 18 | 0b10
    va = words(0xF0000000, 0xF0300000, 0xF0FFFFFF)
    pa = short().output_address(words(desc), 1, va).tolist()
    assert pa == [0xBA12000000, 0xBA12300000, 0xBA12FFFFFF]
    assert short().layout(desc, 1).address(desc) == 0xBA12000000
    assert short().layout(desc, 1).place(0xBA12000000) | 1 << 18 | 0b10 == desc
    assert short().span(desc, 1) == 1 << 24
    found = attributes(desc | 0xC00, 1, controls=Controls(dacr=1))
    assert found.domain == 0
    assert found.contiguous


def test_spans() -> None:
    assert short().span(0x2, 1) == 1 << 20
    assert short().span(0x1, 2) == 1 << 16
    assert short().span(0x2, 2) == 1 << 12
    with pytest.raises(ValueError, match="not a leaf"):
        short().span(0x1, 1)
    with pytest.raises(ValueError, match="no tables"):
        short().table_address(words(1), 2)


def test_attribute_bits_of_each_form() -> None:
    assert short().attribute_bits(words(0x4021140E, 0x12A52CEE), 1).tolist() == [0x1140E, 0x52C0E]
    assert short().attribute_bits(words(0x6FFFD861), 1).tolist() == [0x61]
    assert short().attribute_bits(words(0x8FFF067E, 0x8FFFF67D), 2).tolist() == [0x67E, 0xF67D]


@pytest.mark.parametrize(
    ("level", "bits", "limits", "summary"),
    [
        # kernel-rules 15, SMP and UP sections
        (1, 0x1140E, 0, "el1:rwx el0:--- Normal WB inner domain 0"),
        (1, 0x1141E, 0, "el1:rw- el0:--- Normal WB inner domain 0"),
        (1, 0x1941E, 0, "el1:r-- el0:--- Normal WB inner domain 0"),
        (1, 0x0041E, 0, "el1:rw- el0:--- Normal WB non-shareable domain 0"),
        (1, 0x10406, 0, "el1:rwx el0:--- Normal NC inner domain 0"),
        (1, 0x10412, 0, "el1:rw- el0:--- Strongly-ordered outer domain 0"),
        (1, 0x11452, 0, "el1:rw- el0:--- Device outer domain 2"),
        # pages under tables of domain 0 and 3
        (2, 0x45F, 0, "el1:rw- el0:--- Normal WB inner domain 0"),
        (2, 0x65F, 0, "el1:r-- el0:--- Normal WB inner domain 0"),
        (2, 0x453, 2, "el1:rw- el0:--- Device outer domain 2"),
        (2, 0x67E, 3, "el1:r-x el0:r-x Normal WB inner domain 3"),
        (2, 0x65E, 3, "el1:r-x el0:--- Normal WB inner domain 3"),
        (2, 0xC7E, 1, "el1:--- el0:--- Normal WB inner nG domain 1"),
    ],
)
def test_linux_entries(level: int, bits: int, limits: int, summary: str) -> None:
    # domain 1 is no client when the kernel runs (DACR 51): user memory is out of its reach
    assert attributes(bits, level, limits).summary() == summary


# AP[2:0] → PL1, PL0 (Arm ARM DDI 0406C, B3.7.1, full permissions model)
FULL = {
    0b000: ("--", "--"),
    0b001: ("rw", "--"),
    0b010: ("rw", "r-"),
    0b011: ("rw", "rw"),
    0b100: ("--", "--"),
    0b101: ("r-", "--"),
    0b110: ("r-", "r-"),
    0b111: ("r-", "r-"),
}
# AP[2:1] (B3.7.1, simplified model)
SIMPLE = {0b00: ("rw", "--"), 0b01: ("rw", "rw"), 0b10: ("r-", "--"), 0b11: ("r-", "r-")}
FORMS = [(1, 15, 10, 4, 0b10), (2, 9, 4, 0, 0b10), (2, 9, 4, 15, 0b01)]
"""Level, place of AP[2], AP[0] and XN, type: section, small page, large page."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ap", range(8))
@pytest.mark.parametrize("bits_of_sctlr", list(product((0, 1), (0, 1), (0, 1))))
@pytest.mark.parametrize("xn", (0, 1))
def test_permissions(
    form: tuple[int, int, int, int, int], ap: int, bits_of_sctlr: tuple[int, int, int], xn: int
) -> None:
    level, ap2_at, ap_at, xn_at, kind = form
    wxn, uwxn, afe = bits_of_sctlr
    bits = (ap >> 2) << ap2_at | (ap & 3) << ap_at | xn << xn_at | kind
    el1, el0 = SIMPLE[ap >> 1] if afe else FULL[ap]
    el1_x = el1[0] == "r" and not (xn or (wxn and el1 == "rw") or (uwxn and el0 == "rw"))
    el0_x = el0[0] == "r" and not (xn or (wxn and el0 == "rw"))
    found = attributes(
        bits, level, controls=Controls(dacr=1, afe=bool(afe), wxn=bool(wxn), uwxn=bool(uwxn))
    )
    assert found.permissions(1) == el1 + "-x"[el1_x]
    assert found.permissions(0) == el0 + "-x"[el0_x]
    assert found.access_flag is (bool(ap & 1) if afe else True)


@pytest.mark.parametrize(
    ("access", "el1", "el0"),
    [(0, "---", "---"), (1, "r--", "---"), (2, "---", "---"), (3, "rwx", "rwx")],
)
def test_domains(access: int, el1: str, el0: str) -> None:
    read_only = 0x1941E | 5 << 5
    found = attributes(read_only, 1, controls=Controls(dacr=access << 10))
    assert found.domain == 5
    assert (found.permissions(1), found.permissions(0)) == (el1, el0)
    page = attributes(0x65F, 2, 5, controls=Controls(dacr=access << 10))
    assert (page.domain, page.permissions(1)) == (5, el1)


def test_limits_of_tables() -> None:
    assert short().limits(words(0x61, 0x1E1, 0x5, 0x9), 1).tolist() == [3, 15, 16, 32]
    assert short(pxn=False).limits(words(0x5), 1).tolist() == [0]
    assert attributes(0x45E, 2, 0).permissions(1) == "rwx"
    assert attributes(0x45E, 2, 16).permissions(1) == "rw-"
    assert attributes(0x45E, 2, 32).non_secure


def test_pxn_of_sections() -> None:
    assert attributes(0x1140F, 1).permissions(1) == "rw-"
    assert attributes(0x11C0F, 1).permissions(0) == "rwx"


# TEX C B without remap (Arm ARM DDI 0406C, B3.8.2)
@pytest.mark.parametrize(
    ("tex", "c", "b", "memory"),
    [
        (0, 0, 0, ("Strongly-ordered", "-", "-")),
        (0, 0, 1, ("Device", "-", "-")),
        (0, 1, 0, ("Normal", "WT RA", "WT RA")),
        (0, 1, 1, ("Normal", "WB RA", "WB RA")),
        (1, 0, 0, ("Normal", "NC", "NC")),
        (1, 0, 1, ("Reserved", "-", "-")),
        (1, 1, 0, ("Implementation-defined", "-", "-")),
        (1, 1, 1, ("Normal", "WB RA WA", "WB RA WA")),
        (2, 0, 0, ("Device", "-", "-")),
        (2, 0, 1, ("Reserved", "-", "-")),
        (2, 1, 1, ("Reserved", "-", "-")),
        (3, 0, 0, ("Reserved", "-", "-")),
        (4, 0, 0, ("Normal", "NC", "NC")),
        (5, 1, 0, ("Normal", "WT RA", "WB RA WA")),
        (6, 0, 1, ("Normal", "WB RA WA", "WT RA")),
        (7, 1, 1, ("Normal", "WB RA", "WB RA")),
    ],
)
def test_without_remap(tex: int, c: int, b: int, memory: tuple[str, str, str]) -> None:
    found = attributes(tex << 6 | c << 3 | b << 2 | 0x12, 2, controls=NO_REMAP)
    assert (found.memory, found.inner, found.outer) == memory
    assert (found.attr_index, found.software) == (tex << 2 | c << 1 | b, 0)


def test_shareability_without_remap() -> None:
    normal, device, private = 0x1E, 0x16, 0x92
    older = Controls(tre=False, device_outer=False)
    for bits, plain, shared in (
        (normal, "non-shareable", "outer"),
        (device, "outer", "outer"),
        (private, "non-shareable", "outer"),
    ):
        assert attributes(bits, 2, controls=older).shareability == plain
        assert attributes(bits | 0x400, 2, controls=older).shareability == shared
    assert attributes(private, 2, controls=NO_REMAP).shareability == "outer"


# TEX[0] C B with Linux's PRRR and NMRR (kernel-rules 15, last line)
@pytest.mark.parametrize(
    ("index", "memory", "inner"),
    [
        (0, "Strongly-ordered", "-"),
        (1, "Normal", "NC"),
        (2, "Normal", "WT RA"),
        (3, "Normal", "WB RA"),
        (4, "Device", "-"),
        (7, "Normal", "WB RA WA"),
    ],
)
def test_with_remap(index: int, memory: str, inner: str) -> None:
    bits = (index >> 2) << 6 | (index & 3) << 2 | 0b11 << 7 | 0x12
    found = attributes(bits, 2)
    assert (found.memory, found.inner, found.outer, found.attr_index) == (
        memory,
        inner,
        inner,
        index,
    )
    assert found.software == 0b11  # TEX[2:1]


def test_shareability_with_remap() -> None:
    older = Controls(prrr=PRRR, nmrr=NMRR, tre=True, device_outer=False)
    assert attributes(0x1E, 2).shareability == "non-shareable"  # NS0 = 0
    assert attributes(0x41E, 2).shareability == "inner"  # NS1 = 1, NOS3 = 1
    assert attributes(0x52, 2, controls=older).shareability == "non-shareable"  # DS0 = 0
    assert attributes(0x452, 2, controls=older).shareability == "inner"  # DS1 = 1, NOS4 = 1
    assert attributes(0x52, 2).shareability == "outer"
    only_inner = Controls(prrr=PRRR & 0xFFFFFF, nmrr=NMRR, tre=True)
    assert attributes(0x41E, 2, controls=only_inner).shareability == "outer"  # NOS3 = 0


@pytest.mark.parametrize(
    "controls", [Controls(), Controls(tre=True), Controls(tre=True, prrr=PRRR)]
)
def test_memory_type_is_unknown_without_its_registers(controls: Controls) -> None:
    found = attributes(0x45E, 2, controls=controls)
    assert (found.memory, found.shareability) == ("unknown", "unknown")
    assert found.permissions(1) == "rwx"
