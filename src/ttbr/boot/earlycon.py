"""The early console: which device registers the kernel maps in the fixmap, and when.

Source: drivers/tty/serial/earlycon.c (setup_earlycon, param_setup_earlycon), drivers/of/fdt.c
(early_init_dt_scan_chosen_stdout), drivers/of/fdt_address.c; the drivers' EARLYCON_DECLARE lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ttbr.boot.fdt import DeviceTree, Node
from ttbr.boot.params import Params
from ttbr.kernel.config import Config

WHOLE_CELL = 4


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's early consoles: the names that it declares and the devices that it is for."""

    option: str
    names: tuple[str, ...]
    compatible: tuple[str, ...]


DRIVERS = (
    Driver("SERIAL_AMBA_PL011_CONSOLE", ("pl011",), ("arm,pl011", "arm,sbsa-uart")),
    Driver(
        "SERIAL_8250_CONSOLE",
        ("uart8250", "uart", "ns16550", "ns16550a"),
        (
            "ns16550",
            "ns16550a",
            "nvidia,tegra20-uart",
            "snps,dw-apb-uart",
            "intel,xscale-uart",
            "mrvl,mmp-uart",
            "mrvl,pxa-uart",
        ),
    ),
    Driver("SERIAL_8250_BCM2835AUX", ("bcm2835aux",), ("brcm,bcm2835-aux-uart",)),
    Driver(
        "SERIAL_8250_OMAP",
        ("omap8250",),
        ("ti,omap2-uart", "ti,omap3-uart", "ti,omap4-uart", "ti,am654-uart"),
    ),
    Driver("SERIAL_8250_MT6577", ("mtk8250",), ("mediatek,mt6577-uart",)),
    Driver("SERIAL_8250_UNIPHIER", ("uniphier",), ("socionext,uniphier-uart",)),
    Driver(
        "SERIAL_XILINX_PS_UART_CONSOLE",
        ("cdns",),
        ("xlnx,xuartps", "cdns,uart-r1p8", "cdns,uart-r1p12", "xlnx,zynqmp-uart"),
    ),
    Driver("SERIAL_MESON_CONSOLE", ("meson",), ("amlogic,meson-ao-uart", "amlogic,meson-s4-uart")),
    Driver("SERIAL_MVEBU_CONSOLE", ("ar3700_uart",), ("marvell,armada-3700-uart",)),
    Driver("SERIAL_IMX_EARLYCON", ("ec_imx6q", "ec_imx21"), ("fsl,imx6q-uart", "fsl,imx21-uart")),
    Driver(
        "SERIAL_FSL_LPUART_CONSOLE",
        ("lpuart", "lpuart32"),
        (
            "fsl,vf610-lpuart",
            "fsl,ls1021a-lpuart",
            "fsl,ls1028a-lpuart",
            "fsl,imx7ulp-lpuart",
            "fsl,imx8ulp-lpuart",
            "fsl,imx8qxp-lpuart",
        ),
    ),
    Driver(
        "SERIAL_SAMSUNG_CONSOLE",
        ("s3c6400", "s5pv210", "exynos4210", "artpec8", "gs101", "s5l"),
        (
            "samsung,s3c6400-uart",
            "samsung,s5pv210-uart",
            "samsung,exynos4210-uart",
            "axis,artpec8-uart",
            "google,gs101-uart",
            "apple,s5l-uart",
        ),
    ),
    Driver("SERIAL_QCOM_GENI_CONSOLE", ("qcom_geni",), ("qcom,geni-debug-uart",)),
    Driver(
        "SERIAL_MSM_CONSOLE", ("msm_serial", "msm_serial_dm"), ("qcom,msm-uart", "qcom,msm-uartdm")
    ),
    Driver(
        "SERIAL_SH_SCI_EARLYCON",
        ("sci", "scif", "scifa", "scifb", "hscif"),
        (
            "renesas,sci",
            "renesas,scif",
            "renesas,scif-r7s9210",
            "renesas,scif-r9a07g044",
            "renesas,scif-r9a09g057",
            "renesas,scifa",
            "renesas,scifb",
            "renesas,hscif",
        ),
    ),
    Driver("SERIAL_OWL_CONSOLE", ("owl",), ("actions,owl-uart",)),
    Driver("SERIAL_SPRD_CONSOLE", ("sprd_serial",), ("sprd,sc9836-uart",)),
    Driver(
        "SERIAL_STM32_CONSOLE", ("stm32",), ("st,stm32h7-uart", "st,stm32f7-uart", "st,stm32-uart")
    ),
)

# The forms that an address has behind the name (uart_parse_earlycon); I/O ports map nothing.
ADDRESS = re.compile(r"(?:(?:mmio|mmio16|mmio32|mmio32be|mmio32native),|(?=0x))(\w+)")


@dataclass(frozen=True, slots=True)
class Earlycon:
    """An early console: physical address of its registers, and whether it waits for ACPI's tables.

    With ACPI in the kernel, a bare `earlycon` is set up only once it is known that there are none.
    """

    address: int
    deferred: bool


def find_earlycon(params: Params, config: Config, tree: DeviceTree) -> Earlycon | None:
    """The console that the command line asks for, if the kernel has a driver that maps it."""
    if not config.enabled("SERIAL_EARLYCON"):
        return None
    for name, value in params.arguments:
        if name == "earlycon" and not value:
            if config.enabled("ACPI_SPCR_TABLE"):
                address, deferred = stdout_address(config, tree), True
            else:
                # An empty value (`earlycon=`) names no device and is not looked up in the tree.
                address = stdout_address(config, tree) if value is None else None
                deferred = False
        elif name == "earlycon" or (name == "console" and value):
            address, deferred = named_address(config, value or ""), False
        else:
            continue
        if address is not None:
            return Earlycon(address, deferred)
    return None


def named_address(config: Config, value: str) -> int | None:
    """The address in `NAME,[mmio,]ADDRESS[,OPTIONS]`, if a driver of that name is built in."""
    name, _, rest = value.partition(",")
    known = any(name in driver.names and config.built_in(driver.option) for driver in DRIVERS)
    found = ADDRESS.match(rest)
    if not known or found is None:
        return None
    try:
        return int(found[1], 0) or None
    except ValueError:
        return None


def stdout_address(config: Config, tree: DeviceTree) -> int | None:
    """Address of the device that /chosen/stdout-path names, if a driver is built in for it."""
    chosen = tree.find("/chosen")
    path = chosen and (chosen.prop("stdout-path") or chosen.prop("linux,stdout-path"))
    if not path:
        return None
    node = _resolve(tree, path.data.partition(b"\0")[0].decode("latin-1").partition(":")[0])
    compatible = node.prop("compatible") if node else None
    if node is None or compatible is None:
        return None
    names = compatible.data.decode("latin-1").split("\0")
    for driver in DRIVERS:
        if config.built_in(driver.option) and any(name in driver.compatible for name in names):
            address = translate_address(node)
            offset = node.prop("reg-offset")
            return None if address is None else address + (offset.u32 if offset else 0)
    return None


def _resolve(tree: DeviceTree, path: str) -> Node | None:
    """The node at a path, whose first component may be an alias."""
    if path.startswith("/"):
        return tree.find(path)
    alias, _, rest = path.partition("/")
    aliases = tree.find("/aliases")
    full = aliases.prop(alias) if aliases else None
    return tree.find(f"{full.string}/{rest}") if full else None


def translate_address(node: Node) -> int | None:
    """The first `reg` address of a node as the CPU sees it; None if some bus does not pass it."""
    reg = node.reg
    if not reg or node.parent is None:
        return None
    address, bus = reg[0][0], node.parent
    while bus.parent is not None:
        ranges = bus.prop("ranges")
        if ranges is None:
            return None
        if ranges.data:
            child, parent = WHOLE_CELL * bus.address_cells, WHOLE_CELL * bus.parent.address_cells
            entry = child + parent + WHOLE_CELL * bus.size_cells
            for at in range(0, len(ranges.data) // entry * entry, entry):
                row = ranges.data[at : at + entry]
                first = int.from_bytes(row[:child], "big")
                size = int.from_bytes(row[child + parent :], "big")
                if first <= address < first + size:
                    address += int.from_bytes(row[child : child + parent], "big") - first
                    break
            else:
                return None
        bus = bus.parent
    return address
