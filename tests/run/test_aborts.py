"""Syndromes: the codes of every fault and level, in all three forms."""

import pytest

from ttbr.arch.faults import Access, Fault, FaultKind
from ttbr.run.cpu.abort import abort_of

VA = 0x1234_5678
READ, WRITE, FETCH = Access.EL0_READ, Access.EL1_WRITE, Access.EL1_EXECUTE

LONG = [
    # kind, level, DFSC (DDI 0487, ESR_EL1, ISS encoding for an exception from a Data Abort)
    (FaultKind.ADDRESS_SIZE, 0, 0b000000),
    (FaultKind.ADDRESS_SIZE, 3, 0b000011),
    (FaultKind.TRANSLATION, 0, 0b000100),
    (FaultKind.TRANSLATION, 3, 0b000111),
    (FaultKind.ACCESS_FLAG, 1, 0b001001),
    (FaultKind.PERMISSION, 2, 0b001110),
    (FaultKind.EXTERNAL, 3, 0b010111),
    (FaultKind.TRANSLATION, -1, 0b101011),
    (FaultKind.ADDRESS_SIZE, -1, 0b101001),
    (FaultKind.EXTERNAL, -1, 0b010011),
]


@pytest.mark.parametrize(("kind", "level", "code"), LONG)
def test_codes_of_long_descriptors(kind: FaultKind, level: int, code: int) -> None:
    fault = Fault(kind, level, VA)
    for access, syndrome in ((READ, 0x9200_0000), (WRITE, 0x9600_0040), (FETCH, 0x8600_0000)):
        found = abort_of(fault, access, "vmsav8-64", None)
        assert found.registers == {"ESR_EL1": syndrome | code, "FAR_EL1": VA}
    if level > 0:
        found = abort_of(fault, WRITE, "lpae", None)
        assert found.registers == {"DFSR": 1 << 9 | 1 << 11 | code, "DFAR": VA}
        found = abort_of(fault, FETCH, "lpae", None)
        assert found.registers == {"IFSR": 1 << 9 | code, "IFAR": VA}


SHORT = [
    # kind, level, FS[4:0] (DDI 0406C, B3.13.3, Short-descriptor format FSR encodings)
    (FaultKind.TRANSLATION, 1, 0b00101),
    (FaultKind.TRANSLATION, 2, 0b00111),
    (FaultKind.ACCESS_FLAG, 1, 0b00011),
    (FaultKind.ACCESS_FLAG, 2, 0b00110),
    (FaultKind.DOMAIN, 1, 0b01001),
    (FaultKind.DOMAIN, 2, 0b01011),
    (FaultKind.PERMISSION, 1, 0b01101),
    (FaultKind.PERMISSION, 2, 0b01111),
    (FaultKind.EXTERNAL, 1, 0b01100),
    (FaultKind.EXTERNAL, 2, 0b01110),
]


@pytest.mark.parametrize(("kind", "level", "code"), SHORT)
def test_codes_of_short_descriptors(kind: FaultKind, level: int, code: int) -> None:
    fault = Fault(kind, level, VA)
    domain = None if (kind, level) == (FaultKind.TRANSLATION, 1) else 0xA
    shown = 0 if domain is None else domain << 4
    found = abort_of(fault, WRITE, "short", domain)
    assert found.registers == {"DFSR": 1 << 11 | shown | code, "DFAR": VA}
    found = abort_of(fault, FETCH, "short", domain)
    assert found.registers == {"IFSR": code, "IFAR": VA}
    assert (found.el, found.executes, found.writes, found.va) == (1, True, False, VA)
