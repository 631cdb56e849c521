"""Addresses translated through buses, and how far DMA reaches."""

from device_trees import blob, cells
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.of_address import (
    BAD,
    PHYS_ADDR_MAX,
    address_to_resource,
    of_dma_get_max_cpu_address,
    translate,
)

G = 1 << 30
WIDE = {"#address-cells": cells(2), "#size-cells": cells(2)}
NARROW = {"#address-cells": cells(1), "#size-cells": cells(1)}


def tree(*children) -> DeviceTree:
    return DeviceTree.parse(blob(("", dict(WIDE), list(children))))


def reach(*children) -> int:
    return of_dma_get_max_cpu_address(tree(*children).root)


def soc(ranges: bytes | None, *children, **properties: bytes):
    own = {} if ranges is None else {"dma-ranges": ranges}
    return ("soc", NARROW | own | properties, list(children))


def test_nothing_limits_dma_without_ranges() -> None:
    assert reach(("a", {}, [])) == PHYS_ADDR_MAX
    assert reach(soc(None)) == PHYS_ADDR_MAX
    assert reach(soc(b"")) == PHYS_ADDR_MAX  # one to one


def test_the_end_of_the_highest_range_of_the_lowest_node() -> None:
    # As on a Raspberry Pi 4: bus c0000000 is 0, 1 GiB.
    assert reach(soc(cells(0xC000_0000, 0, 0, G))) == G - 1
    assert reach(soc(cells(0, 0, 0, G, 0x4000_0000, 0, 0x8000_0000, G))) == 3 * G - 1
    wide = ("scb", WIDE | {"dma-ranges": cells(0, 0, 0, 0, 4, 0)}, [])
    assert reach(wide) == 4 * (1 << 32) - 1
    assert reach(wide, soc(cells(0xC000_0000, 0, 0, G))) == G - 1


def test_a_disabled_node_limits_nothing() -> None:
    ranges = cells(0xC000_0000, 0, 0, G)
    assert reach(soc(ranges, status=b"disabled\0")) == PHYS_ADDR_MAX
    assert reach(("bus", {"status": b"disabled\0"}, [soc(ranges)])) == PHYS_ADDR_MAX


def test_ranges_of_a_bus_below_another() -> None:
    # The inner bus reaches 256 MiB of the outer one, which begins at 2 GiB.
    inner = ("bus", NARROW | {"dma-ranges": cells(0, 0, 0x1000_0000)}, [])
    assert reach(soc(cells(0, 0, 0x8000_0000, G), inner)) == 0x9000_0000 - 1
    beyond = ("bus", NARROW | {"dma-ranges": cells(0, 0x6000_0000, 0x1000_0000)}, [])
    # Where the outer bus does not reach, the address is bad, and wraps: almost nothing is left.
    assert reach(soc(cells(0, 0, 0x8000_0000, G), beyond)) == 0x1000_0000 - 2


def test_pci_addresses_have_flags_in_front() -> None:
    properties = {"device_type": b"pci\0", "#address-cells": cells(3), "#size-cells": cells(2)}
    ranges = cells(0x0200_0000, 0, 0, 0, 0, 0, 0xC000_0000)
    assert reach(("pcie", properties | {"dma-ranges": ranges}, [])) == 3 * G - 1


def test_registers_of_a_device_behind_a_bus() -> None:
    device = ("uart", {"reg": cells(0x1000, 0x100, 0x5000, 0x10)}, [])
    made = tree(("soc", NARROW | {"ranges": cells(0x1000, 2, 0x40, 0x1000)}, [device]))
    uart = made.root.children[0].children[0]
    assert address_to_resource(uart, 0) == (0x2_0000_0040, 0x100)
    assert address_to_resource(uart, 1) is None  # outside the bus's range
    assert address_to_resource(uart, 2) is None
    assert address_to_resource(made.root, 0) is None
    without = tree(("soc", dict(NARROW), [device]))
    assert address_to_resource(without.root.children[0].children[0], 0) is None
    assert translate(without.root, [0], "ranges") == BAD


def test_too_many_cells_are_no_address() -> None:
    wide = {"#address-cells": cells(5), "#size-cells": cells(1), "ranges": b""}
    made = tree(("soc", wide, [("uart", {"reg": cells(*range(6))}, [])]))
    assert address_to_resource(made.root.children[0].children[0], 0) is None
