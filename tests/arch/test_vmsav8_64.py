"""VMSAv8-64: kinds, addresses, permissions and memory types, against the architecture's tables."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.format import Kind
from ttbr.arch.regime import make_regime
from ttbr.arch.vmsav8_64 import Output, vmsav8_64

LINUX_MAIR = 0x4_0044_FFFF
PXN_TABLE, UXN_TABLE, NO_EL0, READ_ONLY, NS = 1, 2, 4, 8, 16


def one(value: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([value], dtype=np.uint64)


def page(bits: int, limits: int = 0, **controls: Any) -> Attributes:
    regime = make_regime("arm64-4k", mair=LINUX_MAIR, controls=Controls(**controls))
    return regime.attributes(bits, 3, limits)


@pytest.mark.parametrize(
    ("granule", "output", "blocks"),
    [
        (0x1000, Output.BITS_48, {1, 2}),
        (0x1000, Output.LPA2, {0, 1, 2}),
        (0x4000, Output.BITS_48, {2}),
        (0x4000, Output.LPA2, {1, 2}),
        (0x10000, Output.BITS_48, {2}),
        (0x10000, Output.LPA, {1, 2}),
    ],
)
def test_levels_that_hold_blocks(granule: int, output: Output, blocks: set[int]) -> None:
    fmt = vmsav8_64(granule, output)
    found = {level for level in fmt.levels if fmt.kinds(one(0b01), level)[0] == Kind.BLOCK}
    assert found == blocks
    for level in fmt.levels:
        invalid, low, two, table = fmt.kinds(np.arange(4, dtype=np.uint64), level).tolist()
        assert invalid == two == Kind.INVALID
        assert table == (Kind.PAGE if level == 3 else Kind.TABLE)
        assert low == (Kind.BLOCK if level in blocks else Kind.RESERVED)


def test_formats_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="no lpa2"):
        vmsav8_64(0x10000, Output.LPA2)
    with pytest.raises(ValueError, match="no lpa "):
        vmsav8_64(0x1000, Output.LPA)


@pytest.mark.parametrize(
    ("name", "level", "desc", "address"),
    [
        ("arm64-4k", 3, 0xFFFF_FFFF_FFFF_FFFF, 0x0000_FFFF_FFFF_F000),
        ("arm64-4k", 2, 0xFFFF_FFFF_FFFF_FFFD, 0x0000_FFFF_FFE0_0000),
        ("arm64-4k", 1, 0xFFFF_FFFF_FFFF_FFFD, 0x0000_FFFF_C000_0000),
        ("arm64-16k", 3, 0xFFFF_FFFF_FFFF_FFFF, 0x0000_FFFF_FFFF_C000),
        ("arm64-16k", 2, 0xFFFF_FFFF_FFFF_FFFD, 0x0000_FFFF_FE00_0000),
        ("arm64-64k", 3, 0xFFFF_FFFF_FFFF_FFFF, 0x0000_FFFF_FFFF_0000),
        ("arm64-64k", 2, 0xFFFF_FFFF_FFFF_FFFD, 0x0000_FFFF_E000_0000),
        # LPA: PA[51:48] in 15:12, and PA[47] stays where it is
        ("arm64-64k-lpa", 3, 0x0000_8000_0000_F003, 0x000F_8000_0000_0000),
        ("arm64-64k-lpa", 3, 0x0000_0000_0000_1003, 0x0001_0000_0000_0000),
        ("arm64-64k-lpa", 3, 0x0000_0000_0000_8003, 0x0008_0000_0000_0000),
        ("arm64-64k-lpa", 2, 0x0000_0000_2000_A001, 0x000A_0000_2000_0000),
        ("arm64-64k-lpa", 1, 0xFFFF_FFFF_FFFF_FFFD, 0x000F_FC00_0000_0000),
        # LPA2: PA[49:48] in place, PA[51:50] in 9:8
        ("arm64-4k-lpa2", 3, 0x0002_0000_0000_1003, 0x0002_0000_0000_1000),
        ("arm64-4k-lpa2", 3, 0x0000_0000_0000_1103, 0x0004_0000_0000_1000),
        ("arm64-4k-lpa2", 3, 0x0000_0000_0000_1203, 0x0008_0000_0000_1000),
        ("arm64-4k-lpa2", 0, 0xFFFF_FFFF_FFFF_FFFD, 0x000F_FF80_0000_0000),
        ("arm64-16k-lpa2", 1, 0xFFFF_FFFF_FFFF_FFFD, 0x000F_FFF0_0000_0000),
        ("arm64-16k-lpa2", 3, 0xFFFF_FFFF_FFFF_FFFF, 0x000F_FFFF_FFFF_C000),
    ],
)
def test_output_addresses(name: str, level: int, desc: int, address: int) -> None:
    fmt = make_regime(name).format
    assert int(fmt.output_address(one(desc), level, one(0))[0]) == address
    assert fmt.layout(desc, level).place(address) == desc & fmt.layout(desc, level).address_mask


@pytest.mark.parametrize(
    ("name", "desc", "address"),
    [
        ("arm64-4k", 0x1800_0000_4FFF_F003, 0x4FFF_F000),
        ("arm64-4k", 0x1000_0000_407F_8803, 0x407F_8000),  # bit 11 set by KPTI is ignored
        ("arm64-64k", 0x0000_0000_4066_F003, 0x4066_0000),
        ("arm64-64k-lpa", 0x0000_0000_4066_F003, 0x000F_0000_4066_0000),
        ("arm64-4k-lpa2", 0x0001_0000_4066_0303, 0x000D_0000_4066_0000),
        ("arm64-16k-lpa2", 0x0000_0000_4066_7C03, 0x0000_0000_4066_4000),
    ],
)
def test_table_addresses(name: str, desc: int, address: int) -> None:
    regime = make_regime(name)
    top = regime.levels[0].number
    assert int(regime.format.table_address(one(desc), top)[0]) == address


def test_an_address_is_mapped_with_its_offset() -> None:
    fmt = make_regime("arm64-4k").format
    va = one(0xFFFF_8000_0034_5678)
    assert fmt.output_address(one(0x4020_0701), 2, va).tolist() == [0x4034_5678]
    assert fmt.output_address(one(0x4020_0703), 3, va).tolist() == [0x4020_0678]


@pytest.mark.parametrize(
    ("name", "level", "plain", "contiguous"),
    [
        ("arm64-4k", 3, 1 << 12, 1 << 16),
        ("arm64-4k", 2, 1 << 21, 1 << 25),
        ("arm64-4k", 1, 1 << 30, 1 << 34),
        ("arm64-4k-lpa2", 0, 1 << 39, 1 << 39),
        ("arm64-16k", 3, 1 << 14, 1 << 21),
        ("arm64-16k", 2, 1 << 25, 1 << 30),
        ("arm64-16k-lpa2", 1, 1 << 36, 1 << 36),
        ("arm64-64k", 3, 1 << 16, 1 << 21),
        ("arm64-64k", 2, 1 << 29, 1 << 34),
        ("arm64-64k-lpa", 1, 1 << 42, 1 << 42),
    ],
)
def test_spans(name: str, level: int, plain: int, contiguous: int) -> None:
    regime = make_regime(name)
    leaf = 0x703 if level == 3 else 0x701
    assert regime.format.span(leaf, level) == plain
    assert regime.format.span(leaf | 1 << 52, level) == contiguous
    assert regime.attributes(leaf | 1 << 52, level).contiguous is (contiguous > plain)


def rwx(attributes: Attributes) -> tuple[str, str]:
    return attributes.permissions(1), attributes.permissions(0)


# AP[2:1] → EL1 and EL0 without execution (Arm ARM DDI 0487, D8.4, stage 1 data accesses)
DATA = {0b00: ("rw", "--"), 0b01: ("rw", "rw"), 0b10: ("r-", "--"), 0b11: ("r-", "r-")}


@pytest.mark.parametrize(("ap", "uxn", "pxn", "wxn"), list(product(DATA, (0, 1), (0, 1), (0, 1))))
def test_permissions(ap: int, uxn: int, pxn: int, wxn: int) -> None:
    el1, el0 = DATA[ap]
    el1_execute = not pxn and el0 != "rw" and not (wxn and el1 == "rw")
    el0_execute = not uxn and not (wxn and el0 == "rw")
    attributes = page(ap << 6 | uxn << 54 | pxn << 53 | 0x403, wxn=bool(wxn))
    expected = (el1 + "-x"[el1_execute], el0 + "-x"[el0_execute])
    assert rwx(attributes) == expected


@pytest.mark.parametrize(("ap", "limit"), list(product(DATA, range(4))))
def test_ap_table_takes_permissions_away(ap: int, limit: int) -> None:
    # Arm ARM DDI 0487, D8.4: APTable[0] removes EL0 access, APTable[1] write access
    el1, el0 = DATA[ap]
    if limit & 0b10:
        el1, el0 = el1.replace("w", "-"), el0.replace("w", "-")
    if limit & 0b01:
        el0 = "--"
    found = rwx(page(ap << 6 | 3 << 53 | 0x403, limit << 2))
    assert found == (el1 + "-", el0 + "-")


def test_execute_limits_of_tables_and_hpd() -> None:
    text = 0x403  # everything allowed but EL0 data
    assert rwx(page(text)) == ("rwx", "--x")
    assert rwx(page(text, PXN_TABLE)) == ("rw-", "--x")
    assert rwx(page(text, UXN_TABLE)) == ("rwx", "---")
    assert rwx(page(text, PXN_TABLE | UXN_TABLE | READ_ONLY)) == ("r--", "---")
    assert rwx(page(text, PXN_TABLE | UXN_TABLE | READ_ONLY, hpd=True)) == ("rwx", "--x")
    assert page(text, NS, hpd=True).non_secure
    # what a table above makes unwritable for EL0 may be executable at EL1 again
    assert rwx(page(text | 1 << 6)) == ("rw-", "rwx")
    assert rwx(page(text | 1 << 6, NO_EL0)) == ("rwx", "--x")


def test_a_clean_page_is_writable_where_hardware_manages_dirty_state() -> None:
    clean = 1 << 51 | 1 << 7 | 3 << 53 | 0x403
    assert rwx(page(clean)) == ("r--", "---")
    assert rwx(page(clean, hd=True)) == ("rw-", "---")
    assert rwx(page(clean, READ_ONLY, hd=True)) == ("r--", "---")
    assert page(clean).dirty_managed


@pytest.mark.parametrize(
    ("bits", "summary"),
    [
        # kernel-rules 6: what Linux maps its own memory with
        (0x00E8000000000703, "el1:rw- el0:--- Normal WB inner DBM"),
        (0x00E8000000000707, "el1:rw- el0:--- Normal WB inner DBM"),
        (0x00E0000000000783, "el1:r-- el0:--- Normal WB inner"),
        (0x00C0000000000783, "el1:r-x el0:--- Normal WB inner"),
        (0x00C8000000000703, "el1:rwx el0:--- Normal WB inner DBM"),
        (0x00D0000000000783, "el1:r-x el0:--- Normal WB inner CONT"),
        (0x00F8000000000703, "el1:rw- el0:--- Normal WB inner DBM CONT"),
        (0x00E8000000000F03, "el1:rw- el0:--- Normal WB inner nG DBM"),
        (0x00C4000000000783, "el1:r-x el0:--- Normal WB inner GP"),
        (0x0068000000000713, "el1:rw- el0:--- Device-nGnRE outer DBM"),
        (0x006800000000070F, "el1:rw- el0:--- Device-nGnRnE outer DBM"),
        (0x006800000000070B, "el1:rw- el0:--- Normal NC outer DBM"),
        (0x00E8000000000303, "el1:rw- el0:--- Normal WB inner !AF DBM"),
        (0x0020000000000F43, "el1:rw- el0:rwx Normal WB inner nG"),
    ],
)
def test_linux_pages(bits: int, summary: str) -> None:
    assert page(bits).summary() == summary


def test_software_bits_and_index() -> None:
    attributes = page(0x00E800000000070B)
    assert (attributes.software, attributes.attr_index, attributes.domain) == (1, 2, None)


@pytest.mark.parametrize(
    ("byte", "memory", "inner", "outer", "shareability"),
    [
        (0x00, "Device-nGnRnE", "-", "-", "outer"),
        (0x04, "Device-nGnRE", "-", "-", "outer"),
        (0x08, "Device-nGRE", "-", "-", "outer"),
        (0x0C, "Device-GRE", "-", "-", "outer"),
        (0x44, "Normal", "NC", "NC", "outer"),
        (0x4F, "Normal", "WB RA WA", "NC", "non-shareable"),
        (0xF4, "Normal", "NC", "WB RA WA", "non-shareable"),
        (0xBB, "Normal", "WT RA WA", "WT RA WA", "non-shareable"),
        (0xEE, "Normal", "WB RA", "WB RA", "non-shareable"),
        (0x33, "Normal", "WT RA WA transient", "WT RA WA transient", "non-shareable"),
        (0x77, "Normal", "WB RA WA transient", "WB RA WA transient", "non-shareable"),
        (0xF0, "Normal-Tagged", "WB RA WA", "WB RA WA", "non-shareable"),
        (0x02, "Reserved", "-", "-", "non-shareable"),
        (0x60, "Reserved", "-", "-", "non-shareable"),
    ],
)
def test_memory_types(byte: int, memory: str, inner: str, outer: str, shareability: str) -> None:
    found = make_regime("arm64-4k", mair=byte << 40).attributes(0x403 | 5 << 2, 3)
    assert (found.memory, found.inner, found.outer) == (memory, inner, outer)
    assert found.shareability == shareability


def test_without_mair_the_memory_type_is_unknown() -> None:
    found = make_regime("arm64-4k").attributes(0x00E8000000000703, 3)
    assert (found.memory, found.shareability) == ("unknown", "unknown")


@pytest.mark.parametrize("sh", range(4))
def test_lpa2_takes_shareability_from_tcr(sh: int) -> None:
    controls = Controls(shareability=sh)
    regime = make_regime("arm64-4k-lpa2", mair=LINUX_MAIR, controls=controls)
    names = ("non-shareable", "reserved", "outer", "inner")
    # bits 9:8 are address bits here
    assert regime.attributes(0x00E8000000000403, 3).shareability == names[sh]
    assert regime.attributes(0x00E8000000000703, 3).shareability == names[sh]
