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
    ``pxn`` PXN exists; ``device_outer`` Device memory is always Outer Shareable (LPAE exists).
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


@dataclass(frozen=True, slots=True)
class Attributes:
    """Effective attributes of a mapping.

    ``memory`` is the memory type, ``inner`` and ``outer`` its cacheability (``WB RA WA``, ``NC``,
    ``-`` for other than Normal memory), ``shareability`` one of ``non-shareable``, ``outer``,
    ``inner``, ``reserved``, ``unknown``. Permissions are those after table limits, WXN and domain.
    ``attr_index`` is the index that selected the memory type, ``software`` the bits that the
    hardware leaves to software, ``domain`` the domain of a short descriptor.
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

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, ready for JSON."""
        return asdict(self)

    def permissions(self, level: int) -> str:
        """``rwx`` of exception level 0 or 1, with ``-`` for what is not allowed."""
        if level == 0:
            flags = self.el0_read, self.el0_write, self.el0_execute
        else:
            flags = self.el1_read, self.el1_write, self.el1_execute
        return "".join(letter if flag else "-" for letter, flag in zip("rwx", flags, strict=True))

    def summary(self) -> str:
        """One short line: ``el1:rw- el0:--- Normal WB inner``."""
        words = [f"el1:{self.permissions(1)}", f"el0:{self.permissions(0)}", self.memory]
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
