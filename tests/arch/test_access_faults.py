"""Accesses against attributes: which fault, in which order."""

from typing import Any

import pytest

from ttbr.arch.attributes import Controls
from ttbr.arch.faults import Access, Fault, FaultKind, check_access
from ttbr.arch.regime import make_regime

READ_ONLY_KERNEL = 0x0060_0000_0000_0783
VA = 0xFFFF_8000_0000_0000


def check(bits: int, access: Access, **controls: Any) -> Fault | None:
    regime = make_regime("arm64-4k", controls=Controls(**controls))
    return check_access(regime.controls, regime.attributes(bits, 3), access, 3, VA)


@pytest.mark.parametrize("access", Access)
def test_permission(access: Access) -> None:
    fault = check(READ_ONLY_KERNEL, access)
    if access is Access.EL1_READ:
        assert fault is None
    else:
        assert fault is not None
        assert (fault.kind, fault.level, fault.va) == (FaultKind.PERMISSION, 3, VA)
        assert access in fault.text


def test_every_access_follows_its_attribute() -> None:
    everything = 0x443  # AP 01, AF: EL1 may not execute what EL0 can write
    allowed = [access for access in Access if check(everything, access) is None]
    assert allowed == [access for access in Access if access is not Access.EL1_EXECUTE]


def test_access_flag_comes_before_permission_unless_hardware_sets_it() -> None:
    old = READ_ONLY_KERNEL & ~0x400
    fault = check(old, Access.EL1_WRITE)
    assert fault is not None
    assert fault.kind is FaultKind.ACCESS_FLAG
    assert check(old, Access.EL1_READ, ha=True) is None
    fault = check(old, Access.EL1_WRITE, ha=True)
    assert fault is not None
    assert fault.kind is FaultKind.PERMISSION


def test_e0pd_ends_the_translation_of_el0() -> None:
    fault = check(0x443, Access.EL0_READ, e0pd=True)
    assert fault is not None
    assert (fault.kind, fault.level) == (FaultKind.TRANSLATION, 0)
    assert check(0x443, Access.EL1_READ, e0pd=True) is None


@pytest.mark.parametrize(
    ("dacr", "access", "kind"),
    [
        (0b00, Access.EL1_READ, FaultKind.DOMAIN),
        (0b10, Access.EL1_READ, FaultKind.DOMAIN),
        (0b01, Access.EL1_READ, None),
        (0b01, Access.EL1_WRITE, FaultKind.PERMISSION),
        (0b11, Access.EL0_WRITE, None),
        (None, Access.EL1_READ, None),
    ],
)
def test_domains(dacr: int | None, access: Access, kind: FaultKind | None) -> None:
    regime = make_regime("short", controls=Controls(dacr=None if dacr is None else dacr << 4))
    attributes = regime.attributes(0x1941E | 2 << 5, 1)
    fault = check_access(regime.controls, attributes, access, 1, 0xC0000000)
    assert (fault.kind if fault else None) is kind


def test_a_fault_says_everything_in_one_line() -> None:
    fault = Fault(FaultKind.TRANSLATION, 2, 0x1000, text="the descriptor is 0")
    assert str(fault) == "translation fault, level 2, at 0x1000 (the descriptor is 0)"
    assert str(Fault(FaultKind.EXTERNAL, None, 0)) == "external abort on table walk fault, at 0x0"


@pytest.mark.parametrize(
    ("bits", "epan", "refused"),
    [
        (0x0060_0000_0000_0743, False, True),  # EL0 reads and writes
        (0x0060_0000_0000_07C3, False, True),  # EL0 reads
        (0x0060_0000_0000_0703, False, False),  # the kernel's own
        (0x0020_0000_0000_0783, False, False),  # EL0 executes only
        (0x0020_0000_0000_0783, True, True),
        (0x0060_0000_0000_0783, True, False),
    ],
)
def test_pan_keeps_the_kernel_out_of_what_el0_can_access(
    bits: int, epan: bool, refused: bool
) -> None:
    regime = make_regime("arm64-4k", controls=Controls(epan=epan))
    attributes = regime.attributes(bits, 3)

    def fault(access: Access) -> Fault | None:
        return check_access(regime.controls, attributes, access, 3, VA, pan=True)

    found = fault(Access.EL1_READ)
    assert (found is not None) == refused
    if found is not None:
        assert found.kind is FaultKind.PERMISSION
        assert "PSTATE.PAN" in found.text
    # Neither fetching nor what EL0 does is PAN's business
    for access in (Access.EL1_EXECUTE, Access.EL0_READ, Access.EL0_EXECUTE):
        without = check_access(regime.controls, attributes, access, 3, VA)
        assert fault(access) == without
