"""Addresses of the device tree in the CPU's terms: drivers/of/address.c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttbr.boot.fdt import Node

BAD = U64 = (1 << 64) - 1
"""OF_BAD_ADDR."""
MAX_ADDR_CELLS = 4
ROOT_CELLS = 1
PHYS_ADDR_MAX = U64
PCI_TYPES = (b"pci", b"pciex", b"vci", b"ht")


@dataclass(frozen=True, slots=True)
class Bus:
    """How a bus counts cells: ``cells`` (address, size) where it is fixed; ``flags`` in front."""

    name: str
    cells: tuple[int, int] | None = None
    flags: int = 0


PCI = Bus("pci", (3, 2), 1)
ISA = Bus("isa", (2, 1), 1)
DEFAULT_FLAGS = Bus("default-flags", None, 1)
DEFAULT = Bus("default")


def match_bus(node: Node) -> Bus:
    """``of_match_bus``: the kind of bus that a node is."""
    kind = _string(node, "device_type")
    if kind in PCI_TYPES or node.base_name == "pcie":
        return PCI
    if node.base_name == "isa":
        return ISA
    return DEFAULT_FLAGS if _bus_cells(node)[0] == 3 else DEFAULT


def address_to_resource(node: Node, index: int) -> tuple[int, int] | None:
    """``of_address_to_resource`` of memory: (address, bytes) of an entry of ``reg``, or None."""
    found, parent = node.prop("reg"), node.parent
    if found is None or parent is None:
        return None
    na, ns = _count_cells(match_bus(parent), node)
    if not _countable(na, ns):
        return None
    cells = _cells(found.data)
    entry = cells[index * (na + ns) : (index + 1) * (na + ns)]
    if len(entry) < na + ns:
        return None
    start = translate(node, entry[:na], "ranges")
    return None if start == BAD else (start, _number(entry[na:]))


def of_dma_get_max_cpu_address(node: Node) -> int:
    """``of_dma_get_max_cpu_address``: the last address that all DMA below a node can reach.

    Every node with ``dma-ranges`` reaches to the end of its highest; the lowest of these counts.
    """
    lowest = PHYS_ADDR_MAX
    found = node.prop("dma-ranges")
    if found is not None and found.data:
        lowest = min(lowest, _dma_end(node, _cells(found.data)))
    for child in node.children:
        if child.available:
            lowest = min(lowest, of_dma_get_max_cpu_address(child))
    return lowest


def _dma_end(node: Node, cells: Sequence[int]) -> int:
    pna, (na, ns) = _bus_cells(node.parent or node)[0], _bus_cells(node)
    step, end = na + pna + ns, 0
    for at in range(0, len(cells) - step + 1, step) if step else ():
        start = translate(node, cells[at + na : at + na + pna], "dma-ranges")
        size = _number(cells[at + na + pna : at + step])
        if (start + size) & U64 > end:
            end = (start + size - 1) & U64
    return end


def translate(node: Node, address: Sequence[int], ranges: str) -> int:
    """``__of_translate_address``: an address of a node's bus, up to the root; `BAD` if it fails.

    ``ranges``: the property that translates, ``ranges`` or ``dma-ranges``.
    """
    device, parent = node, node.parent
    if parent is None:
        return BAD
    bus = match_bus(parent)
    na, ns = _count_cells(bus, device)
    if not _countable(na, ns):
        return BAD
    cells = list(address[:na])
    while True:
        device, parent = parent, parent.parent
        if parent is None:
            return _number(cells)
        above = match_bus(parent)
        pna, pns = _count_cells(above, device)
        if not _countable(pna, pns):
            return BAD
        translated = _translate_one(device, bus, cells, (na, ns, pna), ranges)
        if translated is None:
            return BAD
        cells, na, ns, bus = translated, pna, pns, above


def _translate_one(
    device: Node, bus: Bus, cells: list[int], counts: tuple[int, int, int], name: str
) -> list[int] | None:
    """``of_translate_one``: the same address on the bus above, or None if it is not reached."""
    na, ns, pna = counts
    found = device.prop(name)
    if found is None and name != "dma-ranges":
        return None
    if found is None or not found.data:
        return _split(_number(cells), pna)
    ranges, step = _cells(found.data), na + pna + ns
    for at in range(0, len(ranges) - step + 1, step):
        entry = ranges[at : at + step]
        if bus is DEFAULT_FLAGS and entry[0] != cells[0]:
            continue
        base, size = _number(entry[bus.flags : na]), _number(entry[na + pna :])
        wanted = _number(cells[bus.flags :])
        if base <= wanted < base + size:
            return _split((_number(entry[na : na + pna]) + wanted - base) & U64, pna)
    return None


def _count_cells(bus: Bus, device: Node) -> tuple[int, int]:
    if bus.cells is not None:
        return bus.cells
    return _bus_cells(device.parent or device)


def _bus_cells(node: Node) -> tuple[int, int]:
    """``of_bus_n_addr_cells``, ``of_bus_n_size_cells``: as given here or further up."""
    counts = []
    for name in ("#address-cells", "#size-cells"):
        at: Node | None = node
        while at is not None and at.prop(name) is None:
            at = at.parent
        found = at.prop(name) if at is not None else None
        counts.append(ROOT_CELLS if found is None else int.from_bytes(found.data[:4], "big"))
    return counts[0], counts[1]


def _countable(na: int, ns: int) -> bool:
    return 0 < na <= MAX_ADDR_CELLS and ns > 0


def _split(value: int, cells: int) -> list[int]:
    low = [value >> 32 & 0xFFFF_FFFF, value & 0xFFFF_FFFF][-cells:]
    return [0] * (cells - len(low)) + low


def _cells(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data) // 4 * 4, 4)]


def _number(cells: Sequence[int]) -> int:
    """``of_read_number``: of which 64 bits are kept."""
    value = 0
    for cell in cells:
        value = value << 32 | cell
    return value & U64


def _string(node: Node, name: str) -> bytes | None:
    found = node.prop(name)
    return None if found is None else found.data.partition(b"\0")[0]
