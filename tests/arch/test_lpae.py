"""LPAE descriptors against the architecture's tables and what Linux writes."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.format import Kind
from ttbr.arch.lpae import LPAE
from ttbr.arch.regime import RegimePair, make_regime

# kernel-rules 15: MAIR1 ff000004, MAIR0 eeaa4400
LINUX_MAIR = 0xFF000004_EEAA4400


def leaf(bits: int, level: int, limits: int = 0, **controls: Any) -> Attributes:
    regime = make_regime("lpae", mair=LINUX_MAIR, controls=Controls(**controls))
    return regime.attributes(bits, level, limits)


def test_kinds() -> None:
    types = np.arange(4, dtype=np.uint64)
    block, table, page = Kind.BLOCK, Kind.TABLE, Kind.PAGE
    assert LPAE.kinds(types, 1).tolist() == [Kind.INVALID, block, Kind.INVALID, table]
    assert LPAE.kinds(types, 2).tolist() == [Kind.INVALID, block, Kind.INVALID, table]
    assert LPAE.kinds(types, 3).tolist() == [Kind.INVALID, Kind.RESERVED, Kind.INVALID, page]


@pytest.mark.parametrize(
    ("level", "desc", "address"),
    [
        (1, 0xFFFF_FFFF_FFFF_FFFD, 0xFF_C000_0000),
        (2, 0xFFFF_FFFF_FFFF_FFFD, 0xFF_FFE0_0000),
        (3, 0xFFFF_FFFF_FFFF_FFFF, 0xFF_FFFF_F000),
    ],
)
def test_addresses_have_40_bits(level: int, desc: int, address: int) -> None:
    word = np.array([desc], dtype=np.uint64)
    assert LPAE.output_address(word, level, word & np.uint64(0)).tolist() == [address]


def test_table_address_of_linux_root_entry() -> None:
    # kernel-rules 13: bit 55 is Linux's own
    entry = np.array([0x0080_0000_4000_4003], dtype=np.uint64)
    assert LPAE.table_address(entry, 1).tolist() == [0x40004000]
    assert LPAE.limits(entry, 1).tolist() == [0]


@pytest.mark.parametrize(
    ("level", "bits", "summary"),
    [
        (2, 0x71D, "el1:rwx el0:--- Normal WB inner"),
        (2, 0x0040_0000_0000_071D, "el1:rw- el0:--- Normal WB inner"),
        (2, 0x0440_0000_0000_079D, "el1:r-- el0:--- Normal WB inner"),
        (2, 0x0040_0000_0000_0701, "el1:rw- el0:--- Strongly-ordered outer"),
        (3, 0x00C0_0000_0000_0713, "el1:rw- el0:--- Device outer"),
        (3, 0x0480_0000_0000_07DF, "el1:r-x el0:r-x Normal WB inner"),
        (3, 0x0480_0000_0000_079F, "el1:r-x el0:--- Normal WB inner"),
    ],
)
def test_linux_entries(level: int, bits: int, summary: str) -> None:
    assert leaf(bits, level).summary() == summary


DATA = {0b00: ("rw", "--"), 0b01: ("rw", "rw"), 0b10: ("r-", "--"), 0b11: ("r-", "r-")}


@pytest.mark.parametrize(
    ("ap", "xn", "pxn", "wxn", "uwxn"), list(product(DATA, (0, 1), (0, 1), (0, 1), (0, 1)))
)
def test_permissions(ap: int, xn: int, pxn: int, wxn: int, uwxn: int) -> None:
    # Arm ARM DDI 0406C, B3.7.1 and B3.7.2
    el1, el0 = DATA[ap]
    el1_x = not (xn or pxn or (wxn and el1 == "rw") or (uwxn and el0 == "rw"))
    el0_x = el0[0] == "r" and not (xn or (wxn and el0 == "rw"))
    found = leaf(ap << 6 | xn << 54 | pxn << 53 | 0x403, 3, wxn=bool(wxn), uwxn=bool(uwxn))
    assert found.permissions(1) == el1 + "-x"[el1_x]
    assert found.permissions(0) == el0 + "-x"[el0_x]


def test_limits_of_tables() -> None:
    table = np.array([1 << 59, 1 << 60, 1 << 61, 1 << 62, 1 << 63], dtype=np.uint64)
    assert LPAE.limits(table, 1).tolist() == [1, 2, 4, 8, 16]
    user = 0x403 | 1 << 6
    assert leaf(user, 3).summary().startswith("el1:rwx el0:rwx")
    assert leaf(user, 3, 1).summary().startswith("el1:rw- el0:rwx")
    assert leaf(user, 3, 2).summary().startswith("el1:rw- el0:rw-")
    assert leaf(user, 3, 4).summary().startswith("el1:rwx el0:---")
    assert leaf(user, 3, 8).summary().startswith("el1:r-x el0:r-x")
    assert leaf(user, 3, 16).non_secure


def test_no_contiguous_range_at_level_1() -> None:
    assert LPAE.span(0x701 | 1 << 52, 1) == 1 << 30
    assert LPAE.span(0x701 | 1 << 52, 2) == 1 << 25
    assert LPAE.span(0x703 | 1 << 52, 3) == 1 << 16


def test_hierarchical_permissions_off_with_ttbcr2() -> None:
    ttbcr = 1 << 31 | 1 << 6  # EAE, T2E
    table_limits = 0b1110  # XNTable, APTable
    page = 0x743
    on = RegimePair.from_registers({"TTBCR": ttbcr, "TTBCR2": 0, "SCTLR": 0}).lower
    off = RegimePair.from_registers({"TTBCR": ttbcr, "TTBCR2": 1 << 9, "SCTLR": 0}).lower
    assert on is not None
    assert off is not None
    assert on.attributes(page, 3, table_limits).permissions(0) == "---"
    assert off.attributes(page, 3, table_limits).permissions(0) == "rwx"
    assumed = RegimePair.from_registers({"TTBCR": ttbcr, "SCTLR": 0}).lower
    assert assumed is not None
    assert any("TTBCR2" in text for text in assumed.unknown)
    # Without T2E the register does not count
    unused = RegimePair.from_registers({"TTBCR": 1 << 31, "TTBCR2": 1 << 9, "SCTLR": 0}).lower
    assert unused is not None
    assert not unused.controls.hpd
