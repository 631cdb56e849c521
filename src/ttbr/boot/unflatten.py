"""The device tree as nodes in memory: what unflatten_device_tree allocates for them.

Source: drivers/of/fdt.c (unflatten_device_tree, unflatten_dt_nodes, populate_node,
populate_properties), drivers/of/base.c (of_alias_scan, of_find_node_opts_by_path).
"""

from __future__ import annotations

from ttbr.boot.fdt import Node
from ttbr.boot.machine import Machine
from ttbr.boot.regions import BootPanic
from ttbr.boot.reserved_mem_late import fdt_scan_reserved_mem_reg_nodes
from ttbr.kernel.structs import struct_size

MAX_DEPTH = 62
"""Nodes further below the root than this are left out (FDT_MAX_DEPTH)."""
END_MARK = 4
"""Bytes of the mark that is put behind the tree."""
NO_ALIASES = ("name", "phandle", "linux,phandle")
MAX_HOPS = 64
INT_MAX = (1 << 31) - 1
FUNCTION = "early_init_dt_alloc_memory_arch"


def unflatten_device_tree(machine: Machine) -> None:
    """``unflatten_device_tree``: the reserved regions, the nodes, then the aliases."""
    if machine.kernel.release.has("reserved_mem_two_pass"):
        fdt_scan_reserved_mem_reg_nodes(machine)
    size = -(-unflattened_size(machine) // 4) * 4
    _alloc(machine, size + END_MARK)
    of_alias_scan(machine)


def unflattened_size(machine: Machine) -> int:
    """Bytes that the nodes, their properties and the names made up for them take."""
    kernel, blob = machine.kernel, machine.tree.blob
    word = 8 if kernel.arch == "arm64" else 4
    node_size, property_size = (struct_size(kernel, name) for name in ("device_node", "property"))
    kobjects = kernel.config.enabled("OF_KOBJ")
    at = 0
    pending = [(machine.tree.root, 0)]
    while pending:
        node, depth = pending.pop()
        pending += [(child, depth + 1) for child in reversed(node.children)]
        if depth > MAX_DEPTH or not (kobjects or node.available):
            continue
        name = blob[node.offset + 4 : node.body].partition(b"\0")[0]
        at = _up(at, word) + node_size + len(name) + 1
        for _ in range(len(node.properties) + node.repeated_properties):
            at = _up(at, word) + property_size
        if node.prop("name") is None:
            at = _up(at, word) + property_size + len(_base_name(name)) + 1
    return at


def _base_name(name: bytes) -> bytes:
    """The name without what follows the last @."""
    return name.rpartition(b"@")[0] if b"@" in name else name


def of_alias_scan(machine: Machine) -> None:
    """``of_alias_scan``: a record for every alias that names a node and ends in a number."""
    aliases = _child(machine, machine.tree.root, "aliases")
    if aliases is None:
        return
    size = struct_size(machine.kernel, "alias_prop")
    for alias, found in aliases.properties.items():
        if alias in NO_ALIASES or _by_path(machine, _path(found.data), aliases) is None:
            continue
        stem = alias.rstrip("0123456789")
        number = alias[len(stem) :]
        if number and int(number) <= INT_MAX:
            _alloc(machine, size + len(stem.encode()) + 1)


def _by_path(machine: Machine, path: str, aliases: Node, hops: int = MAX_HOPS) -> Node | None:
    """``of_find_node_by_path``: a full path, or one that begins with an alias; options ignored.

    ``hops``: how often one alias may lead to another; the kernel has no limit but its stack.
    """
    path = path.partition(":")[0]
    node: Node | None = machine.tree.root
    if not path.startswith("/"):
        alias, slash, rest = path.partition("/")
        target = aliases.prop(alias) if hops else None
        node = _by_path(machine, _path(target.data), aliases, hops - 1) if target else None
        path = slash + rest
    for name in path.split("/")[1:] if path != "/" else ():
        node = _child(machine, node, name) if node is not None and name else None
    return node


def _child(machine: Machine, node: Node, name: str) -> Node | None:
    """A child by its whole name, among those that were unflattened."""
    kobjects = machine.kernel.config.enabled("OF_KOBJ")
    for child in node.children:
        if child.name == name and (kobjects or child.available):
            return child
    return None


def _path(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _alloc(machine: Machine, size: int) -> int:
    """``early_init_dt_alloc_memory_arch``."""
    align = 8 if machine.kernel.arch == "arm64" else 4
    found = machine.memblock.alloc(size, align, FUNCTION)
    if not found:
        raise BootPanic(
            f"the kernel panics: '{FUNCTION}: Failed to allocate {size} bytes align={align:#x}'"
        )
    return found


def _up(value: int, align: int) -> int:
    return -(-value // align) * align
