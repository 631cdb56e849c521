"""The edits that a boot loader makes to a device tree before it starts the kernel.

The structure block is edited as bytes, as libfdt does, so that everything that is not asked for
stays as it is. An edit that changes nothing returns the blob itself.
"""

import struct
from collections.abc import Sequence

from ttbr.boot.fdt import (
    BEGIN_NODE,
    END_NODE,
    HEADER_SIZE,
    MAGIC,
    PROP,
    DeviceTree,
    Node,
    aligned,
)
from ttbr.errors import InputError
from ttbr.memory.extents import Extents
from ttbr.memory.physical import Bank

VERSION = 17
LAST_COMPATIBLE = 16


def with_chosen(
    tree: DeviceTree,
    *,
    bootargs: str | None = None,
    initrd: tuple[int, int] | None = None,
    kaslr_seed: int | None = None,
) -> bytes:
    """The blob with command line, initrd's (address, size) and ``kaslr-seed`` in /chosen.

    What is None stays as the tree has it. A new ``linux,initrd-*`` has as many cells as an address
    of the root, one that exists keeps its width unless the address does not fit.
    """
    edit = _Edit(tree)
    chosen = tree.find("/chosen")
    wanted: dict[str, bytes] = {}
    if initrd is not None:
        start, size = initrd
        wanted["linux,initrd-start"] = _initrd_cells(tree, chosen, "linux,initrd-start", start)
        wanted["linux,initrd-end"] = _initrd_cells(tree, chosen, "linux,initrd-end", start + size)
    if bootargs is not None:
        if "\0" in bootargs:
            raise InputError("bootargs: a command line cannot contain NUL")
        wanted["bootargs"] = bootargs.encode() + b"\0"
    if kaslr_seed is not None:
        wanted["kaslr-seed"] = _cells("the KASLR seed", kaslr_seed, 2)
    if chosen is None:
        if wanted:
            edit.add_node(tree.root, "chosen", wanted)
    else:
        for name, data in wanted.items():
            edit.set_property(chosen, name, data)
    return edit.blob()


def with_memory(tree: DeviceTree, banks: Sequence[tuple[int, int]]) -> bytes:
    """The blob with the (base, size) ``banks``, in this order, as the machine's only memory.

    They become the ``reg`` of the first memory node that Linux uses, or of a new one; the other
    memory nodes go, and so does a ``linux,usable-memory``, which would count more than ``reg``.
    `InputError` if a bank is empty, overlaps another or does not fit the root's cells.
    """
    if not banks:
        raise InputError("memory: at least one bank is needed")
    Extents(Bank(base, size) for base, size in banks)
    address_cells, size_cells = tree.root.address_cells, tree.root.size_cells
    reg = b"".join(
        _cells("memory address", base, address_cells) + _cells("memory size", size, size_cells)
        for base, size in banks
    )
    nodes = tree.memory_nodes()
    used = next((node for node in nodes if node.available), None)
    if used is not None and _memory(tree) == list(banks):
        return tree.blob
    edit = _Edit(tree)
    if used is None:
        edit.add_node(
            tree.root, f"memory@{banks[0][0]:x}", {"reg": reg, "device_type": b"memory\0"}
        )
    else:
        edit.set_property(used, "reg", reg)
        edit.drop_property(used, "linux,usable-memory")
    for node in nodes:
        if node is not used and node.available:
            edit.drop_node(node)
    return edit.blob()


def with_limited_memory(tree: DeviceTree, limit: int) -> bytes:
    """The blob with at most ``limit`` entries in the ``reg`` of /memory (of_fdt_limit_memory).

    That is the root's first child of the name, with or without an address behind it.
    """
    node = next((n for n in tree.root.children if n.name.partition("@")[0] == "memory"), None)
    reg = node.prop("reg") if node is not None else None
    size = limit * 4 * (tree.root.address_cells + tree.root.size_cells)
    if node is None or reg is None or len(reg.data) <= size:
        return tree.blob
    edit = _Edit(tree)
    edit.set_property(node, "reg", reg.data[:size])
    return edit.blob()


def as_by_stub(tree: DeviceTree, chosen: dict[str, bytes]) -> bytes:
    """The blob as Linux's EFI stub leaves it: properties in /chosen, no reservations, no slack.

    Each new property becomes the node's first, so that the last of ``chosen`` is in front.
    """
    edit = _Edit(tree, reserve_map=[], packed=True)
    node = tree.find("/chosen")
    if node is None:
        edit.add_node(tree.root, "chosen", dict(reversed(chosen.items())))
    else:
        for name, data in reversed(chosen.items()):
            edit.set_property(node, name, data)
    return edit.blob()


def _memory(tree: DeviceTree) -> list[tuple[int, int]]:
    """The (base, size) pairs that Linux reads (early_init_dt_scan_memory), without empty ones."""
    cells = tree.root.address_cells, tree.root.size_cells
    found = [
        node.prop("linux,usable-memory") or node.prop("reg")
        for node in tree.memory_nodes()
        if node.available
    ]
    return [pair for prop in found if prop for pair in prop.pairs(*cells) if pair[1]]


def _initrd_cells(tree: DeviceTree, chosen: Node | None, name: str, address: int) -> bytes:
    old = chosen.prop(name) if chosen is not None else None
    cells = tree.root.address_cells
    if old is not None and len(old.data) in (4, 8) and address < 1 << (8 * len(old.data)):
        cells = len(old.data) // 4
    return _cells(name, address, min(cells, 2))


def _cells(what: str, value: int, cells: int) -> bytes:
    if value < 0 or value >= 1 << (32 * cells):
        raise InputError(f"{what} {value:#x} does not fit the {cells} cells of the device tree")
    return value.to_bytes(4 * cells, "big")


class _Edit:
    """Replacements in the structure block, and names to add to the strings block.

    ``reserve_map`` is what the blob shall have (None: what the tree has); ``packed``: without
    slack, as fdt_pack leaves it.
    """

    def __init__(
        self,
        tree: DeviceTree,
        *,
        reserve_map: list[tuple[int, int]] | None = None,
        packed: bool = False,
    ) -> None:
        self.tree = tree
        self.reserve_map = tree.reserve_map if reserve_map is None else reserve_map
        self.packed = packed
        start = tree.header["off_dt_strings"]
        self.strings = tree.blob[start : start + tree.header["size_dt_strings"]]
        self.changes: list[tuple[int, int, bytes]] = []  # from, to, what stands there instead

    def set_property(self, node: Node, name: str, data: bytes) -> None:
        """Give a property its data; a new one becomes the node's first, as with libfdt."""
        old = node.prop(name)
        if old is None:
            self.changes.append((node.body, node.body, self._property(name, data)))
        elif old.data != data:
            name_offset = self.tree.blob[old.offset - 4 : old.offset]
            content = struct.pack(">I", len(data)) + name_offset + _padded(data)
            self.changes.append((old.offset - 8, aligned(old.offset + len(old.data)), content))

    def drop_property(self, node: Node, name: str) -> None:
        """Take a property away, if it is there."""
        old = node.prop(name)
        if old is not None:
            self.changes.append((old.offset - 12, aligned(old.offset + len(old.data)), b""))

    def add_node(self, parent: Node, name: str, properties: dict[str, bytes]) -> None:
        """Give the parent a new first child."""
        content = b"".join(self._property(key, data) for key, data in properties.items())
        begin = struct.pack(">I", BEGIN_NODE) + _padded(name.encode() + b"\0")
        at = parent.behind_properties
        self.changes.append((at, at, begin + content + struct.pack(">I", END_NODE)))

    def drop_node(self, node: Node) -> None:
        """Take a node away with all below it."""
        self.changes.append((node.offset, node.end, b""))

    def _property(self, name: str, data: bytes) -> bytes:
        text = name.encode() + b"\0"
        at = self.strings.find(text)
        if at < 0:
            at = len(self.strings)
            self.strings += text
        return struct.pack(">III", PROP, len(data), at) + _padded(data)

    def blob(self) -> bytes:
        """The edited blob: what slack it had stays in use, without slack it grows as needed."""
        tree = self.tree
        if not self.changes:
            return tree.blob
        done = tree.header["off_dt_struct"]
        structure = b""
        for start, end, content in sorted(self.changes, key=lambda change: change[:2]):
            structure += tree.blob[done:start] + content
            done = end
        structure += tree.blob[done : tree.structure_end]
        reserve = b"".join(struct.pack(">QQ", *entry) for entry in [*self.reserve_map, (0, 0)])
        first = HEADER_SIZE + len(reserve)
        strings = first + len(structure)
        used = strings + len(self.strings)
        totalsize = used if self.packed else max(tree.totalsize, used)
        header = struct.pack(
            ">10I",
            *(MAGIC, totalsize, first, strings, HEADER_SIZE, VERSION, LAST_COMPATIBLE),
            *(tree.header["boot_cpuid_phys"], len(self.strings), len(structure)),
        )
        return (header + reserve + structure + self.strings).ljust(totalsize, b"\0")


def _padded(data: bytes) -> bytes:
    return data.ljust(aligned(len(data)), b"\0")
