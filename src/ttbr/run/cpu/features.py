"""What of the CPU an arm64 kernel uses once it knows all its CPUs (setup_cpu_features).

Source: arch/arm64/kernel/cpufeature.c; 6.1 and 6.12 alike: cpu_enable_hw_dbm, cpu_enable_e0pd,
has_useable_cnp, cpu_enable_pan, unmap_kernel_at_el0, and mm/context.c: get_cpu_asid_bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ttbr.boot.params import kstrtobool

if TYPE_CHECKING:
    from ttbr.boot.arm64.state import Arm64
    from ttbr.kernel.cpu import Cpu

HD: Final = 1 << 40
E0PD1: Final = 1 << 56
"""Bits of TCR_EL1: hardware dirty state; no EL0 access to TTBR1's half."""
CNP: Final = 1
"""TTBR_CNP_BIT."""

KPTI_SAFE: Final = (
    *("Cortex-A35", "Cortex-A53", "Cortex-A55", "Cortex-A57", "Cortex-A72", "Cortex-A73"),
)
"""Cores that Meltdown does not reach (kpti_safe_list), of those that are known here."""
BROKEN_DBM: Final = {"Cortex-A55": "ARM64_ERRATUM_1024718"}
"""Cores whose dirty state the kernel leaves alone, by the option of the erratum."""

_ASID_BITS: Final = {0: 8, 2: 16}


@dataclass(frozen=True, slots=True)
class Features:
    """What a kernel uses.

    ``pan``: PSTATE.PAN; ``sw_pan``: TTBR0 is taken away instead (ARM64_SW_TTBR0_PAN). ``kpti``:
    user space runs without the kernel's tables. ``cnp``: TTBRs say that CPUs share translations.
    ``dirty``: TCR_EL1.HD. ``e0pd``: TCR_EL1.E0PD1. ``tlb_range``: TLBI by range (FEAT_TLBIRANGE).
    ``asid_bits``: width of an ASID. ``bbm``: level of support for changing sizes. ``assumption``:
    what had to be taken for granted, or None.
    """

    pan: bool
    sw_pan: bool
    kpti: bool
    cnp: bool
    dirty: bool
    e0pd: bool
    tlb_range: bool
    asid_bits: int
    bbm: int
    assumption: str | None = None


def features(boot: Arm64) -> Features:
    """What the kernel of a boot that is over uses of its CPU."""
    config, cpu = boot.machine.kernel.config, boot.cpu
    pan = config.enabled("ARM64_PAN") and cpu.pan
    kpti, assumption = _kpti(boot)
    dirty = config.enabled("ARM64_HW_AFDBM") and cpu.field("ID_AA64MMFR1_EL1", 0) >= 2
    broken = BROKEN_DBM.get(cpu.name)
    return Features(
        pan=pan,
        sw_pan=config.enabled("ARM64_SW_TTBR0_PAN") and not pan,
        kpti=kpti,
        cnp=config.enabled("ARM64_CNP") and cpu.field("ID_AA64MMFR2_EL1", 0) >= 1,
        dirty=dirty and not (broken is not None and config.enabled(broken)),
        e0pd=config.enabled("ARM64_E0PD") and cpu.e0pd,
        tlb_range=config.enabled("ARM64_TLB_RANGE") and cpu.field("ID_AA64ISAR0_EL1", 56) >= 2,
        asid_bits=asid_bits(cpu),
        bbm=cpu.field("ID_AA64MMFR2_EL1", 52),
        assumption=assumption,
    )


def asid_bits(cpu: Cpu) -> int:
    """The width of ASIDs that ID_AA64MMFR0_EL1.ASIDBits gives; 8 for values without a meaning."""
    return _ASID_BITS.get(cpu.field("ID_AA64MMFR0_EL1", 4), 8)


def _kpti(boot: Arm64) -> tuple[bool, str | None]:
    """Whether user space runs without the kernel's tables, and what was assumed for that."""
    machine = boot.machine
    if not machine.kernel.config.enabled("UNMAP_KERNEL_AT_EL0"):
        return False, None
    asked = machine.params.last("kpti")
    forced = kstrtobool(asked) if asked is not None else None
    if forced is not None:
        return forced, None
    if boot.non_global:  # KASLR asks for it
        return True, None
    if machine.params.last("mitigations") == "off":
        return False, None
    if boot.cpu.name in KPTI_SAFE or boot.cpu.field("ID_AA64PFR0_EL1", 60) >= 1:
        return False, None
    if "ID_AA64PFR0_EL1" in boot.cpu.registers:
        return True, None
    return False, f"{boot.cpu.name} is taken to be safe from Meltdown (ID_AA64PFR0_EL1.CSV3)"
