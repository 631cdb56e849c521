"""Which early console is mapped: by name and address, by stdout-path, later, or none."""

from __future__ import annotations

import pytest

from device_trees import blob, cells
from ttbr.boot.earlycon import Earlycon, find_earlycon
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.params import Params
from ttbr.kernel.config import Config

OPTIONS = {
    "SERIAL_EARLYCON": "y",
    "SERIAL_AMBA_PL011_CONSOLE": "y",
    "SERIAL_8250_CONSOLE": "y",
    "SERIAL_MESON_CONSOLE": "m",
}


def tree(stdout: bytes = b"serial0:115200n8\0", compatible: bytes = b"arm,pl011\0") -> DeviceTree:
    one = {"#address-cells": cells(1), "#size-cells": cells(1)}
    uart = {"compatible": compatible, "reg": cells(0x201000, 0x1000)}
    bus = {**one, "ranges": cells(0x100000, 0x3F10_0000, 0x100000, 0x200000, 0x3F20_0000, 0x10000)}
    nodes = [
        ("chosen", {"stdout-path": stdout}, []),
        ("aliases", {"serial0": b"/soc/serial@201000\0"}, []),
        ("soc", bus, [("serial@201000", uart, [])]),
    ]
    return DeviceTree.parse(blob(("", one, nodes)))


def found(line: str, device_tree: DeviceTree | None = None, **options: str) -> Earlycon | None:
    return find_earlycon(Params(line), Config(OPTIONS | options), device_tree or tree())


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("earlycon=pl011,0x9000000", 0x9000000),
        ("earlycon=pl011,mmio32,0x9000000,115200", 0x9000000),
        ("console=ttyAMA0 console=uart8250,mmio,0x1c0,9600", 0x1C0),
        ("earlycon=pl011,0x9000000 earlycon=uart,0xa000000", 0x9000000),
        ("earlycon=pl011,io,0x3f8", None),
        ("earlycon=pl011,115200", None),
        ("earlycon=meson,0x9000000", None),
        ("earlycon=nobody,0x9000000", None),
        ("earlycon=", None),
        ("console=ttyAMA0", None),
    ],
)
def test_named(line: str, address: int | None) -> None:
    assert found(line) == (None if address is None else Earlycon(address, deferred=False))


def test_stdout_path_through_alias_and_bus() -> None:
    assert found("earlycon") == Earlycon(0x3F20_1000, deferred=False)
    assert found("earlycon", tree(b"/soc/serial@201000\0")) == Earlycon(0x3F20_1000, deferred=False)
    assert found("earlycon", ACPI_SPCR_TABLE="y") == Earlycon(0x3F20_1000, deferred=True)
    assert found("earlycon", tree(compatible=b"acme,uart\0")) is None
    assert found("earlycon", tree(b"nowhere\0")) is None
    assert found("earlycon", SERIAL_EARLYCON="n") is None
