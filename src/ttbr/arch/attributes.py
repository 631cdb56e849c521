"""What a leaf descriptor says apart from its address, after everything that modifies it."""

from dataclasses import asdict, dataclass
from typing import Any

UNKNOWN = "unknown"
"""The memory type where a register that defines it is missing."""


@dataclass(frozen=True, slots=True)
class Controls:
    """The control-register bits that attributes depend on; one set per translation regime.

    ``None`` means that the register is not known. Registers: ``mair`` the eight bytes of MAIR_EL1
    or MAIR1:MAIR0; ``prrr``, ``nmrr`` and ``tre`` (SCTLR.TRE) for short descriptors; ``afe``
    SCTLR.AFE; ``dacr``; ``wxn`` and ``uwxn`` of SCTLR; ``hpd`` hierarchical permissions disabled;
    ``ha`` and ``hd`` hardware update of access flag and dirty state; ``e0pd`` no EL0 access to this
    half; ``shareability`` TCR_EL1.SHn, which replaces the descriptor's where LPA2 took its bits;
    ``pxn`` PXN exists; ``device_outer`` Device memory is always Outer Shareable (LPAE exists);
    ``epan`` SCTLR_EL1.EPAN; ``fwb`` HCR_EL2.FWB and ``xnx`` FEAT_XNX, both of stage 2.
    ``stage`` is 1 or 2. ``exception_levels`` are those that permissions are given for, the
    privileged one first.
    """

    mair: tuple[int, ...] | None = None
    prrr: int | None = None
    nmrr: int | None = None
    tre: bool | None = None
    afe: bool = False
    dacr: int | None = None
    wxn: bool = False
    uwxn: bool = False
    hpd: bool = False
    ha: bool = False
    hd: bool = False
    e0pd: bool = False
    shareability: int = 0
    pxn: bool = True
    device_outer: bool = True
    epan: bool = False
    fwb: bool = False
    xnx: bool = True
    stage: int = 1
    exception_levels: tuple[int, ...] = (1, 0)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Effective attributes of a mapping.

    ``memory`` is the memory type, ``inner`` and ``outer`` its cacheability (``WB RA WA``, ``NC``,
    ``-`` for other than Normal memory), ``shareability`` one of ``non-shareable``, ``outer``,
    ``inner``, ``reserved``, ``unknown``. Permissions are those after table limits, WXN and domain.
    ``attr_index`` is the index that selected the memory type, ``software`` the bits that the
    hardware leaves to software, ``domain`` the domain of a short descriptor.

    ``exception_levels`` are those that the permissions are about: EL1 and EL0, or in the tables of
    EL2 and EL3 (2, 0), (2,) and (3,). The first is the privileged one; ``el1_…`` are its.
    """

    memory: str
    inner: str
    outer: str
    shareability: str
    el0_read: bool
    el0_write: bool
    el0_execute: bool
    el1_read: bool
    el1_write: bool
    el1_execute: bool
    access_flag: bool
    dirty_managed: bool
    non_global: bool
    contiguous: bool
    guarded: bool
    non_secure: bool
    domain: int | None
    attr_index: int
    software: int
    exception_levels: tuple[int, ...] = (1, 0)

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, ready for JSON; permissions under the exception level's name."""
        fields = asdict(self)
        levels = fields.pop("exception_levels")
        return {
            name.replace("el1_", f"el{levels[0]}_"): value
            for name, value in fields.items()
            if 0 in levels or not name.startswith("el0_")
        }

    def permissions(self, level: int) -> str:
        """``rwx`` of EL0, or for another level of the privileged one; ``-`` for what is not."""
        if level == 0:
            flags = self.el0_read, self.el0_write, self.el0_execute
        else:
            flags = self.el1_read, self.el1_write, self.el1_execute
        return "".join(letter if flag else "-" for letter, flag in zip("rwx", flags, strict=True))

    def summary(self) -> str:
        """One short line: ``el1:rw- el0:--- Normal WB inner``."""
        words = [f"el{level}:{self.permissions(level)}" for level in self.exception_levels]
        words.append(self.memory)
        if self.inner != "-":
            inner, outer = self.inner.split()[0], self.outer.split()[0]
            words.append(inner if inner == outer else f"{inner}/{outer}")
        words.append(self.shareability)
        words += [
            word
            for word, flag in (
                ("!AF", not self.access_flag),
                ("nG", self.non_global),
                ("DBM", self.dirty_managed),
                ("CONT", self.contiguous),
                ("GP", self.guarded),
            )
            if flag
        ]
        if self.domain is not None:
            words.append(f"domain {self.domain}")
        return " ".join(words)
