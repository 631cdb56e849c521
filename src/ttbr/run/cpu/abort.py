"""What the CPU tells the kernel of a fault: syndrome and address registers.

AArch64: ESR_EL1 and FAR_EL1 (Arm ARM DDI 0487, D19.2, ESR_EL1: ISS for Data and Instruction
Aborts). AArch32: DFSR and DFAR, or IFSR and IFAR (DDI 0406C, B3.13; B3.13.3 for the codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ttbr.arch.faults import Access, Fault, FaultKind
from ttbr.errors import TtbrError

EC_SHIFT = 26
IL = 1 << 25
EC_INSTRUCTION, EC_DATA = 0x20, 0x24
SAME_LEVEL = 1
"""Added to the class where the exception level does not change."""
WNR_ESR = 1 << 6

LONG_STATUS: Mapping[FaultKind, int] = {
    FaultKind.ADDRESS_SIZE: 0b000000,
    FaultKind.TRANSLATION: 0b000100,
    FaultKind.ACCESS_FLAG: 0b001000,
    FaultKind.PERMISSION: 0b001100,
    FaultKind.EXTERNAL: 0b010100,
}
"""Fault status codes of level 0; the level is added (DFSC, IFSC, and LPAE's STATUS)."""

LEVEL_MINUS_1_STATUS: Mapping[FaultKind, int] = {
    FaultKind.ADDRESS_SIZE: 0b101001,
    FaultKind.TRANSLATION: 0b101011,
    FaultKind.EXTERNAL: 0b010011,
}
"""The codes of level −1, which 52-bit addresses of 4K pages have."""

SHORT_STATUS: Mapping[FaultKind, tuple[int, int]] = {
    FaultKind.TRANSLATION: (0b00101, 0b00111),
    FaultKind.ACCESS_FLAG: (0b00011, 0b00110),
    FaultKind.DOMAIN: (0b01001, 0b01011),
    FaultKind.PERMISSION: (0b01101, 0b01111),
    FaultKind.EXTERNAL: (0b01100, 0b01110),
}
"""FS[4:0] of short descriptors, by level 1 and 2."""

LPAE = 1 << 9
WNR_FSR = 1 << 11
FS4 = 1 << 10
DOMAIN_LOW = 4


@dataclass(frozen=True, slots=True)
class Abort:
    """An exception that an access took: the fault, and the registers that describe it.

    ``el``: the exception level that it came from, 0 or 1. ``registers``: ESR_EL1 and FAR_EL1, or
    DFSR and DFAR, or IFSR and IFAR.
    """

    fault: Fault
    access: Access
    registers: Mapping[str, int]

    @property
    def va(self) -> int:
        """The address that was accessed."""
        return self.fault.va

    @property
    def el(self) -> int:
        """The exception level that the access came from."""
        return 0 if self.access.unprivileged else 1

    @property
    def writes(self) -> bool:
        """Whether it was a write."""
        return self.access in (Access.EL0_WRITE, Access.EL1_WRITE)

    @property
    def executes(self) -> bool:
        """Whether an instruction was fetched."""
        return self.access.executes

    def __str__(self) -> str:
        registers = ", ".join(f"{name} {value:#x}" for name, value in self.registers.items())
        return f"{self.access}: {self.fault} [{registers}]"


class NotHandled(TtbrError):
    """An abort that nobody handled: the process or the kernel dies of it; ``abort`` says which."""

    def __init__(self, abort: Abort, why: str = "nobody handles it") -> None:
        super().__init__(f"{abort}: {why}")
        self.abort = abort


def abort_of(fault: Fault, access: Access, format_name: str, domain: int | None) -> Abort:
    """The abort that a fault raises in a regime of ``format_name``.

    ``domain``: that of the descriptor at fault, where there is one.
    """
    if format_name == "vmsav8-64":
        registers = {"ESR_EL1": _esr(fault, access), "FAR_EL1": fault.va}
    else:
        status = _long_fsr(fault) if format_name == "lpae" else _short_fsr(fault)
        if access.executes:
            registers = {"IFSR": status, "IFAR": fault.va}
        else:
            if access in (Access.EL0_WRITE, Access.EL1_WRITE):
                status |= WNR_FSR
            if domain is not None and (fault.level, fault.kind) != (1, FaultKind.TRANSLATION):
                status |= domain << DOMAIN_LOW
            registers = {"DFSR": status, "DFAR": fault.va}
    return Abort(fault, access, registers)


def _status(fault: Fault) -> int:
    level = fault.level or 0
    return LEVEL_MINUS_1_STATUS[fault.kind] if level < 0 else LONG_STATUS[fault.kind] + level


def _esr(fault: Fault, access: Access) -> int:
    kind = EC_INSTRUCTION if access.executes else EC_DATA
    if not access.unprivileged:
        kind += SAME_LEVEL
    write = WNR_ESR if access in (Access.EL0_WRITE, Access.EL1_WRITE) else 0
    return kind << EC_SHIFT | IL | write | _status(fault)


def _long_fsr(fault: Fault) -> int:
    return LPAE | _status(fault)


def _short_fsr(fault: Fault) -> int:
    status = SHORT_STATUS[fault.kind][(fault.level or 1) - 1]
    return status & 0xF | (FS4 if status & 0x10 else 0)
