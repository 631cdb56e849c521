"""What the machine descriptors of 32-bit ARM do to memory before the zones exist.

Only the machines that do something have a row: static device mappings (`map_io`), early
reservations (`reserve`), a DMA zone (`dma_zone_size`), a repaired device tree (`dt_fixup`). A board
that matches none of them boots as the kernel's generic device-tree machine does.

Source: the DT_MACHINE_START blocks of arch/arm/mach-*/ for ARMv7, 6.1 and 6.12 (the same in both);
`compatible` holds .dt_compat in its order, `config` the option that builds the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttbr.kernel.config import Config

K = 1 << 10
M = 1 << 20
G = 1 << 30
SECTION = 0
"""As a length: whatever a section maps in the kernel's descriptor format."""


@dataclass(frozen=True, slots=True)
class Static:
    """One entry of a map_desc table: virtual and physical address, bytes, memory type.

    `length` is `SECTION` where the table says SECTION_SIZE, which is larger with LPAE.
    """

    virtual: int
    physical: int
    length: int
    type: str = "DEVICE"


@dataclass(frozen=True, slots=True)
class IoTable:
    """One call of iotable_init()."""

    entries: tuple[Static, ...]


@dataclass(frozen=True, slots=True)
class FromTree:
    """An iotable_init() of one mapping whose place the device tree gives.

    The first node with this `compatible` and a `reg` of two cells: its address, and its size less
    one as the length.
    """

    compatible: str
    virtual: int


@dataclass(frozen=True, slots=True)
class PrivatePeripherals:
    """A Cortex-A9's private peripherals, at the address that the core itself names (CBAR).

    `physical` is that of the SoC. A core without them names 0, which is then mapped.
    """

    virtual: int
    physical: int
    length: int


@dataclass(frozen=True, slots=True)
class DebugLl:
    """debug_ll_io_init(): a page for the low-level debug UART, with CONFIG_DEBUG_LL only."""


@dataclass(frozen=True, slots=True)
class DramBarrier:
    """omap_barriers_init(): the megabyte that omap_reserve stole, strongly ordered."""

    virtual: int


MapIo = IoTable | FromTree | PrivatePeripherals | DebugLl | DramBarrier


@dataclass(frozen=True, slots=True)
class MachineDesc:
    """The memory side of one machine descriptor.

    `dma_zone_size` counts with all of `dma_zone_needs` configured; 0 is no limit. `reserve` and
    `dt_fixup` name the kernel functions. `pv_fixup` says that the machine moves physical memory
    under the running kernel (LPAE only).
    """

    name: str
    compatible: tuple[str, ...]
    config: tuple[str, ...]
    map_io: tuple[MapIo, ...] = (DebugLl(),)
    dma_zone_size: int = 0
    dma_zone_needs: tuple[str, ...] = ("ZONE_DMA",)
    reserve: str | None = None
    dt_fixup: str | None = None
    pv_fixup: bool = False

    def zone_size(self, config: Config) -> int:
        """dma_zone_size in this configuration, in bytes; 0 is no limit."""
        built = all(config.enabled(option) for option in self.dma_zone_needs)
        return self.dma_zone_size if built else 0


GENERIC_DT = MachineDesc("Generic DT based system", (), ())

# arch/arm/mach-tegra/iomap.h, io.c:tegra_io_desc
TEGRA = IoTable(
    (
        Static(0xFE20_0000, 0x6000_0000, SECTION),
        Static(0xFE00_0000, 0x7000_0000, SECTION),
        Static(0xFE44_0000, 0x5004_0000, 16 * K),
        Static(0xFE40_0000, 0x4000_0000, 256 * K),
    )
)
# arch/arm/mach-omap2/{io.c,iomap.h,omap34xx.h,omap44xx.h,omap54xx.h}
OMAP34XX = IoTable(
    (
        Static(0xF800_0000, 0x6800_0000, M),
        Static(0xFA00_0000, 0x4800_0000, 4 * M),
        Static(0xFE00_0000, 0x6E00_0000, M),
        Static(0xFC00_0000, 0x6C00_0000, M),
        Static(0xFD00_0000, 0x6D00_0000, M),
        Static(0xFB00_0000, 0x4900_0000, M),
        Static(0xFE80_0000, 0x5400_0000, 8 * M),
    )
)
TI81XX = IoTable((Static(0xFA00_0000, 0x4800_0000, 4 * M),))
AM33XX = IoTable((Static(0xFA00_0000, 0x4800_0000, 4 * M), Static(0xF9C0_0000, 0x44C0_0000, 4 * M)))
OMAP44XX = IoTable(
    (
        Static(0xF800_0000, 0x4400_0000, M),
        Static(0xFC00_0000, 0x4A00_0000, 4 * M),
        Static(0xFA00_0000, 0x4800_0000, 4 * M),
    )
)
OMAP54XX = IoTable(
    (
        Static(0xF800_0000, 0x4400_0000, M),
        Static(0xFC00_0000, 0x4A00_0000, 4 * M),
        Static(0xFCE0_0000, 0x4AE0_0000, 2 * M),
        Static(0xFA00_0000, 0x4800_0000, 4 * M),
    )
)
DRA7XX = IoTable(
    (
        Static(0xFA21_0000, 0x4821_0000, M),
        Static(0xF800_0000, 0x4400_0000, M),
        Static(0xFA00_0000, 0x4800_0000, M),
        Static(0xFA40_0000, 0x4840_0000, M),
        Static(0xFA80_0000, 0x4880_0000, 2 * M),
        Static(0xFC00_0000, 0x4A00_0000, 3 * M),
        Static(0xFCE0_0000, 0x4AE0_0000, M),
    )
)
OMAP_BARRIER = DramBarrier(0xFE60_0000)
# arch/arm/mach-spear/{spear.h,spear13xx.c,spear1310.c}
SPEAR13XX = IoTable(
    (
        Static(0xF900_0000, 0xB300_0000, 16 * M),
        Static(0xFD00_0000, 0xE000_0000, 16 * M),
        Static(0xFC00_0000, 0xEC00_0000, 16 * M),
        Static(0xFB00_0000, 0xED00_0000, 4 * K),
    )
)
SPEAR1310 = IoTable((Static(0xFA00_0000, 0xD800_0000, 16 * M),))
# arch/arm/mach-mmp/{addr-map.h,common.c}
MMP = IoTable((Static(0xFE00_0000, 0xD400_0000, 2 * M), Static(0xFE20_0000, 0xD420_0000, 2 * M)))
MMP2 = IoTable((Static(0xFE40_0000, 0xE000_0000, M),))

_LPAE_DMA = ("ZONE_DMA", "ARM_LPAE")

MACHINES: tuple[MachineDesc, ...] = (
    MachineDesc(
        "BCM2711",
        ("brcm,bcm2711",),
        ("ARCH_BCM2835", "ARCH_MULTI_V7"),
        dma_zone_size=G,
    ),
    MachineDesc(
        "Samsung Exynos (Flattened Device Tree)",
        (
            "samsung,exynos3",
            "samsung,exynos3250",
            "samsung,exynos4",
            "samsung,exynos4210",
            "samsung,exynos4212",
            "samsung,exynos4412",
            "samsung,exynos5",
            "samsung,exynos5250",
            "samsung,exynos5260",
            "samsung,exynos5420",
        ),
        ("ARCH_EXYNOS",),
        map_io=(DebugLl(), FromTree("samsung,exynos4210-chipid", 0xF800_0000)),
        dt_fixup="exynos_dt_fixup",
    ),
    MachineDesc(
        "Highbank",
        ("calxeda,highbank", "calxeda,ecx-2000"),
        ("ARCH_HIGHBANK",),
        dma_zone_size=4 * G,
        dma_zone_needs=_LPAE_DMA,
    ),
    MachineDesc(
        "Hisilicon Hi3620 (Flattened Device Tree)",
        ("hisilicon,hi3620-hi4511",),
        ("ARCH_HISI",),
        map_io=(DebugLl(), IoTable((Static(0xFE80_2000, 0xFC80_2000, 4 * K),))),
    ),
    MachineDesc(
        "Freescale i.MX6 Quad/DualLite (Device Tree)",
        ("fsl,imx6dl", "fsl,imx6q", "fsl,imx6qp"),
        ("SOC_IMX6Q",),
        # imx_scu_map_io; 0x00a00000 on every i.MX6 (hardware.h, mx6q).
        map_io=(DebugLl(), PrivatePeripherals(0xF400_0000, 0x00A0_0000, 4 * K)),
    ),
    MachineDesc(
        "Keystone",
        ("ti,k2hk", "ti,k2e", "ti,k2l", "ti,k2g", "ti,keystone"),
        ("ARCH_KEYSTONE",),
        dma_zone_size=2 * G,
        dma_zone_needs=_LPAE_DMA,
        pv_fixup=True,
    ),
    MachineDesc(
        "Marvell MMP2 (Device Tree Support)", ("mrvl,mmp2",), ("MACH_MMP2_DT",), map_io=(MMP, MMP2)
    ),
    MachineDesc(
        "Marvell MMP3 (Device Tree Support)",
        ("marvell,mmp3",),
        ("MACH_MMP3_DT",),
        map_io=(MMP, MMP2),
    ),
    MachineDesc(
        "Marvell Armada 370/XP (Device Tree)",
        ("marvell,armada-370-xp",),
        ("MACH_MVEBU_V7",),
        reserve="mvebu_memblock_reserve",
    ),
    MachineDesc(
        "Nokia RX-51 board",
        ("nokia,omap3-n900",),
        ("ARCH_OMAP3",),
        map_io=(OMAP34XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic OMAP3 (Flattened Device Tree)",
        ("ti,omap3430", "ti,omap3"),
        ("ARCH_OMAP3",),
        map_io=(OMAP34XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic OMAP36xx (Flattened Device Tree)",
        ("ti,omap3630", "ti,omap36xx"),
        ("ARCH_OMAP3",),
        map_io=(OMAP34XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic OMAP3-GP (Flattened Device Tree)",
        ("ti,omap3-beagle", "timll,omap3-devkit8000"),
        ("ARCH_OMAP3",),
        map_io=(OMAP34XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic AM3517 (Flattened Device Tree)",
        ("ti,am3517",),
        ("ARCH_OMAP3",),
        map_io=(OMAP34XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic ti814x (Flattened Device Tree)",
        ("ti,dm8148", "ti,dm814"),
        ("SOC_TI81XX",),
        map_io=(TI81XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic ti816x (Flattened Device Tree)",
        ("ti,dm8168", "ti,dm816"),
        ("SOC_TI81XX",),
        map_io=(TI81XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic AM33XX (Flattened Device Tree)",
        ("ti,am33xx",),
        ("SOC_AM33XX",),
        map_io=(AM33XX,),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic OMAP4 (Flattened Device Tree)",
        ("ti,omap4460", "ti,omap4430", "ti,omap4"),
        ("ARCH_OMAP4",),
        map_io=(OMAP44XX, OMAP_BARRIER),
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic OMAP5 (Flattened Device Tree)",
        ("ti,omap5432", "ti,omap5430", "ti,omap5"),
        ("SOC_OMAP5",),
        map_io=(OMAP54XX, OMAP_BARRIER),
        dma_zone_size=2 * G,
        dma_zone_needs=_LPAE_DMA,
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic AM43 (Flattened Device Tree)",
        ("ti,am4372", "ti,am43"),
        ("SOC_AM43XX",),
        map_io=(AM33XX,),
    ),
    MachineDesc(
        "Generic DRA74X (Flattened Device Tree)",
        ("ti,dra762", "ti,am5728", "ti,am5726", "ti,dra742", "ti,dra7"),
        ("SOC_DRA7XX",),
        map_io=(DRA7XX, OMAP_BARRIER),
        dma_zone_size=2 * G,
        dma_zone_needs=_LPAE_DMA,
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Generic DRA72X (Flattened Device Tree)",
        ("ti,am5718", "ti,am5716", "ti,dra722", "ti,dra718"),
        ("SOC_DRA7XX",),
        map_io=(DRA7XX, OMAP_BARRIER),
        dma_zone_size=2 * G,
        dma_zone_needs=_LPAE_DMA,
        reserve="omap_reserve",
    ),
    MachineDesc(
        "Realtek RTD1195", ("realtek,rtd1195",), ("ARCH_REALTEK",), reserve="rtd1195_reserve"
    ),
    MachineDesc(
        "Samsung S5PC110/S5PV210-based board",
        ("samsung,s5pc110", "samsung,s5pv210"),
        ("ARCH_S5PV210",),
        map_io=(DebugLl(), FromTree("samsung,s5pv210-clock", 0xF610_0000)),
    ),
    MachineDesc(
        "Generic R-Car Gen2 (Flattened Device Tree)",
        (
            "renesas,r8a7790",
            "renesas,r8a7791",
            "renesas,r8a7792",
            "renesas,r8a7793",
            "renesas,r8a7794",
        ),
        ("ARCH_RCAR_GEN2",),
        reserve="rcar_gen2_reserve",
    ),
    MachineDesc(
        "Generic RZ/G1 (Flattened Device Tree)",
        (
            "renesas,r8a7742",
            "renesas,r8a7743",
            "renesas,r8a7744",
            "renesas,r8a7745",
            "renesas,r8a77470",
        ),
        ("ARCH_RCAR_GEN2",),
        reserve="rcar_gen2_reserve",
    ),
    MachineDesc(
        "ST SPEAr1310 SoC with Flattened Device Tree",
        ("st,spear1310", "st,spear1310-evb"),
        ("MACH_SPEAR1310",),
        map_io=(SPEAR1310, SPEAR13XX),
    ),
    MachineDesc(
        "ST SPEAr1340 SoC with Flattened Device Tree",
        ("st,spear1340", "st,spear1340-evb"),
        ("MACH_SPEAR1340",),
        map_io=(SPEAR13XX,),
    ),
    MachineDesc(
        "NVIDIA Tegra SoC (Flattened Device Tree)",
        ("nvidia,tegra124", "nvidia,tegra114", "nvidia,tegra30", "nvidia,tegra20"),
        ("ARCH_TEGRA",),
        map_io=(DebugLl(), TEGRA),
    ),
    MachineDesc(
        "ARM RealView Machine (Device Tree Support)",
        ("arm,realview-eb", "arm,realview-pb1176", "arm,realview-pba8", "arm,realview-pbx"),
        ("ARCH_REALVIEW",),
        dma_zone_size=256 * M,
    ),
    MachineDesc(
        "Xilinx Zynq Platform",
        ("xlnx,zynq-7000",),
        ("ARCH_ZYNQ",),
        # The Cortex-A9's private peripherals, mapped where they are (zynq_scu_map_io).
        map_io=(DebugLl(), IoTable((Static(0xF8F0_0000, 0xF8F0_0000, 256),))),
        reserve="zynq_memory_init",
    ),
)

WITHOUT_ROW = frozenset(
    {"fsl,imx31", "fsl,imx35", "ti,omap2420", "ti,omap2430", "cavium,cns3410", "cavium,cns3420"}
    | {"samsung,s3c6400", "samsung,s3c6410", "wm,wm8750", "arm,integrator-ap", "arm,integrator-cp"}
)
"""Names of ARMv6 machines that map devices early, and whose maps are no rows of `MACHINES`."""


def machine_desc(compatible: Sequence[str], config: Config) -> MachineDesc:
    """The machine that a kernel of this configuration picks for a root `compatible`.

    Each machine's score is how far back in the root's list its best name stands; the lowest score
    wins, the earlier machine on a tie (of_flat_dt_match_machine).
    """
    best, best_score = GENERIC_DT, len(compatible)
    for machine in MACHINES:
        if not all(config.enabled(option) for option in machine.config):
            continue
        scores = [compatible.index(name) for name in machine.compatible if name in compatible]
        if scores and min(scores) < best_score:
            best, best_score = machine, min(scores)
    return best
