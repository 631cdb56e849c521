"""Translation for an access: the mapping, and whether the hardware would allow it."""

from dataclasses import replace

import numpy as np
import pytest

from ttbr.arch.faults import Access, FaultKind
from ttbr.arch.regime import make_regime
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.writer import TableWriter

BASE = 0x4000_0000
PAGE = 0x1000
AP_TABLE_READ_ONLY = 1 << 62
USER, AF, UXN = 1 << 6, 1 << 10, 1 << 54


def space_with(leaf: int, table: int = 0) -> AddressSpace:
    """One page at address 0, ``table`` bits in the last table descriptor above it."""
    ram = Ram([Bank(BASE, 1 << 20)])
    writer = TableWriter(ram, 8)
    writer.write(BASE, 0, BASE + PAGE | 3)
    writer.write(BASE + PAGE, 0, BASE + 2 * PAGE | 3 | table)
    writer.write(BASE + 2 * PAGE, 0, BASE | 3 | leaf)
    return AddressSpace(make_regime("arm64-4k", va_bits=39), BASE, ram)


@pytest.mark.parametrize(
    ("leaf", "table", "access", "kind"),
    [
        (AF | USER, 0, Access.EL0_WRITE, None),
        (AF | USER, AP_TABLE_READ_ONLY, Access.EL0_WRITE, FaultKind.PERMISSION),
        (AF, 0, Access.EL0_READ, FaultKind.PERMISSION),
        (AF | USER | UXN, 0, Access.EL0_EXECUTE, FaultKind.PERMISSION),
        (USER, 0, Access.EL0_READ, FaultKind.ACCESS_FLAG),
    ],
)
def test_what_the_hardware_allows(
    leaf: int, table: int, access: Access, kind: FaultKind | None
) -> None:
    space = space_with(leaf, table)
    assert space.translate(0x123).fault is None
    answer = space.translate(0x123, access)
    assert answer.pa == BASE + 0x123
    assert (answer.fault.kind if answer.fault else None) is kind
    if answer.fault:
        assert answer.fault.level == 3


def test_every_step_is_told() -> None:
    answer = space_with(AF | USER, AP_TABLE_READ_ONLY).translate(0x123)
    assert [(step.level, step.table, step.index) for step in answer.steps] == [
        (1, BASE, 0),
        (2, BASE + PAGE, 0),
        (3, BASE + 2 * PAGE, 0),
    ]
    assert [step.limits for step in answer.steps] == [0, 8, 8]
    assert answer.steps[1].descriptor == BASE + 2 * PAGE | 3 | AP_TABLE_READ_ONLY
    assert {text.name: text.value for text in answer.steps[1].fields}["APTable"] == 2
    assert answer.attributes is not None
    assert not answer.attributes.el1_write


def test_a_tag_in_the_top_byte_does_not_matter_where_it_is_ignored() -> None:
    space = space_with(AF)
    tagged = 0xAB << 56 | 0x123
    assert space.translate(tagged).fault is not None
    ignoring = AddressSpace(replace(space.regime, tbi=True), space.root, space.memory)
    assert ignoring.translate(tagged).pa == BASE + 0x123
    many = ignoring.translate_many(np.array([tagged, 0x123, 1 << 55], np.uint64))
    assert many.pa.tolist() == [BASE + 0x123, BASE + 0x123, 0]
    assert many.fault.astype(bool).tolist() == [False, False, True]
