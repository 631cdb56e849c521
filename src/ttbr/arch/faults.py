"""Faults of a translation, and the check of an access against attributes."""

from dataclasses import dataclass
from enum import StrEnum

from ttbr.arch.attributes import Attributes, Controls


class FaultKind(StrEnum):
    """Why a translation ends (Arm ARM DDI 0487, D8, MMU faults; DDI 0406C, B3.12)."""

    TRANSLATION = "translation"
    ACCESS_FLAG = "access flag"
    PERMISSION = "permission"
    ADDRESS_SIZE = "address size"
    DOMAIN = "domain"
    EXTERNAL = "external abort on table walk"
    """A table lies where there is no memory."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A translation that failed.

    ``level`` is the level that the fault is reported with, ``va`` the input address, ``address``
    the physical address of the descriptor or table at fault where there is one, ``text`` the
    reason in words.
    """

    kind: FaultKind
    level: int | None
    va: int
    address: int | None = None
    text: str = ""

    def __str__(self) -> str:
        level = "" if self.level is None else f", level {self.level}"
        reason = f" ({self.text})" if self.text else ""
        return f"{self.kind} fault{level}, at {self.va:#x}{reason}"


class Access(StrEnum):
    """An access by exception level and kind.

    EL1 stands for the privileged level of the tables: EL2 or EL3 in theirs.
    """

    EL0_READ = "el0-read"
    EL0_WRITE = "el0-write"
    EL0_EXECUTE = "el0-execute"
    EL1_READ = "el1-read"
    EL1_WRITE = "el1-write"
    EL1_EXECUTE = "el1-execute"

    @property
    def unprivileged(self) -> bool:
        """From EL0 (PL0)."""
        return self.value.startswith("el0")

    @property
    def executes(self) -> bool:
        """Fetches an instruction."""
        return self.value.endswith("execute")

    def allowed(self, attributes: Attributes) -> bool:
        """Whether the permissions of ``attributes`` allow it."""
        return bool(getattr(attributes, self.value.replace("-", "_")))


_NO_ACCESS_DOMAINS = (0b00, 0b10)
"""DACR fields whose domain refuses every access (0b10 is reserved; DDI 0406C, B3.7.3)."""


def check_access(
    controls: Controls,
    attributes: Attributes,
    access: Access,
    level: int,
    va: int,
    *,
    pan: bool = False,
) -> Fault | None:
    """The fault that ``access`` to ``va`` takes on a leaf found at ``level``, or None.

    In the architecture's order: access flag (unless the hardware sets it), domain, permission.
    E0PD comes first, because it ends the translation before the tables are read. ``pan`` is
    PSTATE.PAN: privileged data accesses to what EL0 can reach fault (DDI 0487, D8.4).
    """
    if controls.e0pd and access.unprivileged:
        text = "E0PD keeps EL0 out of this half of the address space"
        return Fault(FaultKind.TRANSLATION, 0, va, text=text)
    if not attributes.access_flag and not controls.ha:
        return Fault(FaultKind.ACCESS_FLAG, level, va, text="AF is 0 and hardware does not set it")
    domain = attributes.domain
    if (
        domain is not None
        and controls.dacr is not None
        and (controls.dacr >> 2 * domain) & 3 in _NO_ACCESS_DOMAINS
    ):
        return Fault(FaultKind.DOMAIN, level, va, text=f"DACR gives no access to domain {domain}")
    if not access.allowed(attributes):
        return Fault(FaultKind.PERMISSION, level, va, text=f"{access} is not allowed")
    if pan and not (access.unprivileged or access.executes) and _of_el0(controls, attributes):
        text = f"PSTATE.PAN keeps {access} out of what EL0 can access"
        return Fault(FaultKind.PERMISSION, level, va, text=text)
    return None


def _of_el0(controls: Controls, attributes: Attributes) -> bool:
    """Whether PAN applies: stage 1 gives EL0 data access, or with EPAN also execution."""
    data = attributes.el0_read or attributes.el0_write
    return controls.stage == 1 and (data or (controls.epan and attributes.el0_execute))
