"""Arm's processor cores as the boot sees them: ID registers by device-tree ``compatible``.

Values are of the cores' technical reference manuals (the revision that the manual describes); the
fields' meaning is in DDI 0487 (D19.2, ID_AA64MMFR0_EL1 …) and DDI 0406C (B4.1.89, ID_MMFR0 …).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ttbr.errors import InputError

PARANGE_BITS = {0: 32, 1: 36, 2: 40, 3: 42, 4: 44, 5: 48, 6: 52}
"""Physical address bits by ID_AA64MMFR0_EL1.PARange."""

TGRAN_SHIFTS = {12: 28, 14: 20, 16: 24}
"""Lowest bit of ID_AA64MMFR0_EL1.TGran4, 16 and 64, by log2 of the page size."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """A core: its name, device-tree ``compatible``, and ID registers by architectural name.

    A core has the ``ID_AA64…`` ones if it can run a 64-bit kernel, and ID_MMFR0 and ID_MMFR3 if it
    can run a 32-bit one. ``multiprocessing``: its MPIDR says that it takes part in SMP even as
    the only one (bits 31:30 are 2). ``scu``: it finds out by its snoop control unit instead how
    many cores there are (Cortex-A9 and A5). ``proc`` names the kernel's support of a 32-bit core
    (arch/arm/mm/proc-*.S); ``architecture`` is what the kernel then takes the core for
    (cpu_architecture(), which goes by the memory system: an ARM1176 counts as ARMv7).
    """

    name: str
    compatible: str
    registers: Mapping[str, int]
    multiprocessing: bool = True
    scu: bool = False
    proc: str = "v7"
    architecture: int = 7

    def runs(self, arch: str) -> bool:
        """Whether the core can run a kernel of ``arm64`` or ``arm``."""
        return ("ID_AA64MMFR0_EL1" if arch == "arm64" else "ID_MMFR0") in self.registers

    def field(self, register: str, low: int) -> int:
        """The four-bit field of an ID register whose lowest bit is ``low``; 0 without register."""
        return self.registers.get(register, 0) >> low & 15

    @property
    def pa_bits(self) -> int:
        """Physical address bits of the core in AArch64 (ID_AA64MMFR0_EL1.PARange)."""
        return PARANGE_BITS.get(self.field("ID_AA64MMFR0_EL1", 0), 48)

    @property
    def access_flag(self) -> bool:
        """Whether the hardware can set the access flag (ID_AA64MMFR1_EL1.HAFDBS ≥ 1)."""
        return self.field("ID_AA64MMFR1_EL1", 0) >= 1

    @property
    def pan(self) -> bool:
        """Whether PAN is there (ID_AA64MMFR1_EL1.PAN)."""
        return self.field("ID_AA64MMFR1_EL1", 20) >= 1

    @property
    def large_va(self) -> bool:
        """52-bit virtual addresses with 64K pages (FEAT_LVA: ID_AA64MMFR2_EL1.VARange ≥ 1)."""
        return self.field("ID_AA64MMFR2_EL1", 16) >= 1

    @property
    def e0pd(self) -> bool:
        """Whether TCR_EL1.E0PDn is there (FEAT_E0PD: ID_AA64MMFR2_EL1.E0PD)."""
        return self.field("ID_AA64MMFR2_EL1", 60) >= 1

    def granule(self, page_shift: int) -> bool:
        """Whether there are pages of that size (TGran4, TGran64: 0–7; TGran16: 1–15)."""
        found = self.field("ID_AA64MMFR0_EL1", TGRAN_SHIFTS[page_shift])
        return found != 0 if page_shift == 14 else found < 8

    def lpa2(self, page_shift: int) -> bool:
        """52-bit addresses with 4K or 16K pages (FEAT_LPA2: TGran4 = 1, TGran16 = 2)."""
        granule = self.field("ID_AA64MMFR0_EL1", TGRAN_SHIFTS[page_shift])
        return {12: granule == 1, 14: granule == 2}.get(page_shift, False)

    @property
    def vmsa(self) -> int:
        """Version of the AArch32 virtual memory system (ID_MMFR0.VMSA; 4: PXN, 5: LPAE)."""
        return self.field("ID_MMFR0", 0)


def _both(mmfr0: int, mmfr1: int, mmfr2: int, a32: tuple[int, int]) -> dict[str, int]:
    """Registers of a core that runs AArch64 and AArch32 kernels."""
    return _aarch64(mmfr0, mmfr1, mmfr2) | _aarch32(*a32)


def _aarch64(mmfr0: int, mmfr1: int, mmfr2: int) -> dict[str, int]:
    return {"ID_AA64MMFR0_EL1": mmfr0, "ID_AA64MMFR1_EL1": mmfr1, "ID_AA64MMFR2_EL1": mmfr2}


def _aarch32(mmfr0: int, mmfr3: int) -> dict[str, int]:
    return {"ID_MMFR0": mmfr0, "ID_MMFR3": mmfr3}


_V8_1_MMFR1 = 0x1021_2122  # HAFDBS 2, VMIDBits 2, VH 1, HPDS 2, LO 1, PAN 2, XNX 1
_V8_2_MMFR2 = 0x1011  # CnP, UAO, IESB
_A64FX = {"MIDR_EL1": 0x461F_0010} | _aarch64(0x1122, 0x1121_2100, 0x1011)

_ARM11 = _aarch32(0x0113_0003, 0)

_CORES = (
    Cpu("ARM1136", "arm,arm1136", _ARM11, multiprocessing=False, proc="v6", architecture=6),
    Cpu("ARM1136", "arm,arm1136j-s", _ARM11, multiprocessing=False, proc="v6", architecture=6),
    Cpu("ARM1136", "arm,arm1136jf-s", _ARM11, multiprocessing=False, proc="v6", architecture=6),
    Cpu("ARM1176", "arm,arm1176", _ARM11, multiprocessing=False, proc="v6"),
    Cpu("ARM1176", "arm,arm1176jz-s", _ARM11, multiprocessing=False, proc="v6"),
    Cpu("ARM1176", "arm,arm1176jzf-s", _ARM11, multiprocessing=False, proc="v6"),
    Cpu("ARM11 MPCore", "arm,arm11mpcore", _aarch32(0x0110_0103, 0), proc="v6"),
    Cpu("Cortex-A5", "arm,cortex-a5", _aarch32(0x0010_0103, 0x0210_2111), scu=True),
    Cpu("Cortex-A7", "arm,cortex-a7", _aarch32(0x1010_1105, 0x0210_2211)),
    Cpu("Cortex-A8", "arm,cortex-a8", _aarch32(0x3110_0003, 0x0000_0011), multiprocessing=False),
    Cpu("Cortex-A9", "arm,cortex-a9", _aarch32(0x0010_0103, 0x0000_2111), scu=True),
    Cpu("Cortex-A12", "arm,cortex-a12", _aarch32(0x1020_1105, 0x0210_2211)),
    Cpu("Cortex-A15", "arm,cortex-a15", _aarch32(0x1020_1105, 0x0210_2211)),
    Cpu("Cortex-A17", "arm,cortex-a17", _aarch32(0x1020_1105, 0x0210_2211)),
    Cpu("Cortex-A32", "arm,cortex-a32", _aarch32(0x1010_1105, 0x0210_2211)),
    Cpu("Cortex-A35", "arm,cortex-a35", _both(0x0010_1122, 0, 0, (0x1010_1105, 0x0210_2211))),
    Cpu("Cortex-A53", "arm,cortex-a53", _both(0x0000_1122, 0, 0, (0x1010_1105, 0x0210_2211))),
    Cpu("Cortex-A57", "arm,cortex-a57", _both(0x0000_1124, 0, 0, (0x1010_1105, 0x0210_2211))),
    Cpu("Cortex-A72", "arm,cortex-a72", _both(0x0000_1124, 0, 0, (0x1020_1105, 0x0210_2211))),
    Cpu("Cortex-A73", "arm,cortex-a73", _both(0x0000_1122, 0, 0, (0x1020_1105, 0x0210_2211))),
    Cpu("Cortex-A55", "arm,cortex-a55", _aarch64(0x0010_1122, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu("Cortex-A75", "arm,cortex-a75", _aarch64(0x0010_1124, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu("Cortex-A76", "arm,cortex-a76", _aarch64(0x0010_1122, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu("Cortex-A77", "arm,cortex-a77", _aarch64(0x0010_1122, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu("Cortex-A78", "arm,cortex-a78", _aarch64(0x0010_1122, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu("Cortex-X1", "arm,cortex-x1", _aarch64(0x0010_1122, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu(
        "Cortex-A710",
        "arm,cortex-a710",
        _aarch64(0x0222_0010_1122, _V8_1_MMFR1, 0x1221_0111_1010_1011),
    ),
    Cpu("Neoverse-N1", "arm,neoverse-n1", _aarch64(0x0010_1125, _V8_1_MMFR1, _V8_2_MMFR2)),
    Cpu(
        "Neoverse-V1",
        "arm,neoverse-v1",
        _aarch64(0x0010_1125, _V8_1_MMFR1, 0x0220_0111_0210_1011),
    ),
    Cpu(
        "Neoverse-N2",
        "arm,neoverse-n2",
        _aarch64(0x0222_0010_1125, _V8_1_MMFR1, 0x1221_0111_1210_1011),
    ),
    # As the kernel's trees call it, and as QEMU's do.
    Cpu("A64FX", "fujitsu,a64fx", _A64FX),
    Cpu("A64FX", "arm,a64fx", _A64FX),
)

CORES: Mapping[str, Cpu] = {core.compatible: core for core in _CORES}
"""The cores that are known, by ``compatible``."""

QEMU_MAX = Cpu(
    "QEMU's max",
    "qemu,max",
    _aarch64(0x0323_1020_1126, 0x0110_1021_1122, 0x1021_0110_1001_1011),
)
"""``-cpu max`` of QEMU 7.2, as its gdbstub shows it (target/arm/cpu64.c: aarch64_max_initfn)."""

DEFAULT_CORES = {"arm64": CORES["arm,cortex-a72"], "arm": CORES["arm,cortex-a15"]}
"""What an unknown core is taken for, by the kernel's architecture."""


def find_cpu(compatible: Sequence[str], arch: str) -> tuple[Cpu, str | None]:
    """The core of a device tree's cpu node, and the assumption made if it is not known.

    Args:
        compatible: the node's ``compatible`` strings; none if there is no such node.
        arch: ``arm64`` or ``arm``, what the kernel is for.
    """
    for name in compatible:
        if name in CORES:
            return CORES[name], None
    core = DEFAULT_CORES[arch]
    called = (
        f"the CPU '{compatible[0]}'" if compatible else "the CPU, which the tree does not name,"
    )
    return core, f"{called} is not known: its ID registers are taken to be those of {core.name}"


IDENTIFICATION = ("ID_", "MIDR")
"""How the registers begin that tell what a core is."""


def with_registers(cpu: Cpu, registers: Mapping[str, int]) -> Cpu:
    """The core with those ID registers that were read from it; other registers don't matter.

    Raises InputError if there are no ID registers among them.
    """
    read = {name: value for name, value in registers.items() if name.startswith(IDENTIFICATION)}
    if not read:
        raise InputError(
            f"registers: {', '.join(registers) or 'nothing'} tells nothing of the CPU: give ID "
            "registers, such as ID_AA64MMFR0_EL1"
        )
    return replace(cpu, registers={**cpu.registers, **read})


_ARCHITECTURES = (
    # ``arm,armv8`` and the like stand for a core of that architecture.
    ("arm64", ("arm,armv8", "arm,armv9", "arm,cortex-a34", "arm,cortex-a65", "arm,cortex-a5")),
    ("arm64", ("arm,cortex-a7", "arm,cortex-x", "arm,neoverse-", "arm,kryo", "apple,", "apm,")),
    ("arm64", ("ampere,", "brcm,brahma-b53", "brcm,vulcan", "cavium,thunder", "hisilicon,")),
    ("arm64", ("nvidia,tegra132-denver", "nvidia,tegra186-denver", "nvidia,tegra194-carmel")),
    ("arm64", ("phytium,", "qcom,falkor", "qcom,kryo", "qcom,oryon")),
    ("arm", ("arm,armv7", "arm,arm11", "brcm,brahma-b15", "marvell,pj4", "marvell,sheeva-v7")),
    ("arm", ("qcom,krait", "qcom,scorpion")),
)
"""What cores run whose registers are not known, by how their ``compatible`` begins.

Cortex-A5 and A7 themselves are known: ``arm,cortex-a5`` and ``-a7`` stand for A510, A715 and
their like. Sources: Documentation/devicetree/bindings/arm/cpus.yaml, and the trees beside it.
"""


_OLDER = (
    ("ARMv4", ("arm,arm7", "arm,arm920", "arm,arm922", "arm,arm940", "faraday,fa526", "intel,sa")),
    ("ARMv5", ("arm,arm9", "arm,arm10", "marvell,feroceon", "marvell,mohawk", "marvell,sheeva-v5")),
)
"""Cores before ARMv6, by how their ``compatible`` begins; same source."""


_WITHOUT_MMU = {
    "arm,armv6m-nvic": "ARMv6-M",
    "arm,armv7m-nvic": "ARMv7-M",
    "arm,armv8m-nvic": "ARMv8-M",
}
"""Interrupt controllers that are part of Cortex-M cores, whose trees need not name the core.

Source: Documentation/devicetree/bindings/interrupt-controller/arm,nvic.txt.
"""


def microcontroller(controllers: Iterable[str]) -> str | None:
    """``ARMv7-M`` and the like, by the ``compatible`` of interrupt controllers; else None.

    Such cores have no MMU.
    """
    return next((_WITHOUT_MMU[name] for name in controllers if name in _WITHOUT_MMU), None)


def older_architecture(compatible: Sequence[str]) -> str | None:
    """``ARMv4`` or ``ARMv5`` for cores that no kernel for ARMv6 or later runs on, else None."""
    for name in compatible:
        for arch, beginnings in _OLDER:
            if name.startswith(beginnings):
                return arch
    return None


def architecture(compatible: Sequence[str]) -> str | None:
    """``arm64`` or ``arm``: the widest kernel that a core runs; None if the core is not known."""
    for name in compatible:
        if name in CORES:
            return "arm64" if CORES[name].runs("arm64") else "arm"
        for arch, beginnings in _ARCHITECTURES:
            if name.startswith(beginnings):
                return arch
    return None
