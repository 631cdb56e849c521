"""Flattened device trees (DTB), read with the offset of everything for diagnostics.

Layout and limits: Devicetree Specification v0.4, chapter 5 (header, memory reservation block,
structure block, strings block). Nothing in a blob is trusted; `InputError` names the offset.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path

from ttbr.boot.fdt_node import Node, Property, printable
from ttbr.errors import InputError

__all__ = ["DeviceTree", "Node", "Property", "read_blob"]

MAGIC = 0xD00DFEED
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9
LARGEST = 64 << 20  # bytes of a file; Linux itself takes 2 MiB at most
READABLE = 17  # the newest version of the format that this reader knows
OLDEST = 16  # the oldest whose structure block looks the same
MAX_DEPTH = 64  # as drivers/of/fdt.c:FDT_MAX_DEPTH
MAX_NAME = 256

HEADER_FIELDS = (
    "magic",
    "totalsize",
    "off_dt_struct",
    "off_dt_strings",
    "off_mem_rsvmap",
    "version",
    "last_comp_version",
    "boot_cpuid_phys",
    "size_dt_strings",
    "size_dt_struct",  # since version 17
)
HEADER_SIZE = 4 * len(HEADER_FIELDS)


def read_blob(path: Path) -> bytes:
    """The bytes of a device tree's file; refuses what cannot be one by its size."""
    with path.open("rb") as file:
        blob = file.read(LARGEST + 1)
    if len(blob) > LARGEST:
        raise InputError(f"{path}: more than {LARGEST >> 20} MiB, so not a device tree")
    return blob


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTree:
    """A device tree blob and the nodes in it."""

    blob: bytes = field(repr=False)
    header: dict[str, int]
    reserve_map: list[tuple[int, int]]
    root: Node
    structure_end: int  # offset behind the FDT_END token

    @classmethod
    def parse(cls, blob: bytes) -> "DeviceTree":
        """Read a blob; bytes behind its ``totalsize`` are ignored. `InputError` if it is none."""
        header = _header(blob)
        structure = _Structure(blob, header)
        root = structure.root()
        return cls(blob, header, _reserve_map(blob, header), root, structure.at)

    @classmethod
    def from_file(cls, path: str | Path) -> "DeviceTree":
        """Read the blob in a file. `InputError`, naming the file, if that cannot be done."""
        try:
            return cls.parse(Path(path).read_bytes())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @property
    def totalsize(self) -> int:
        """Bytes of the blob as its header has them, which is what Linux reserves."""
        return self.header["totalsize"]

    def find(self, path: str) -> Node | None:
        """The node at a path; a component without ``@`` finds one with any unit address."""
        node: Node | None = self.root
        for name in path.split("/"):
            if name and node is not None:
                node = node.child(name)
        return node

    def by_phandle(self, phandle: int) -> Node | None:
        """The node that other nodes know by this number, or None."""
        return next((node for node in self.root.walk() if node.phandle == phandle), None)

    def memory_nodes(self) -> list[Node]:
        """The nodes that Linux takes memory from: below the root, with device_type ``memory``."""
        return [node for node in self.root.children if _is_memory(node)]


def _is_memory(node: Node) -> bool:
    device_type = node.prop("device_type")
    return device_type is not None and device_type.data.partition(b"\0")[0] == b"memory"


def _header(blob: bytes) -> dict[str, int]:
    if len(blob) < HEADER_SIZE:
        raise InputError(
            f"device tree: {len(blob)} bytes end inside the header of {HEADER_SIZE} at offset 0x0"
        )
    values = struct.unpack_from(f">{len(HEADER_FIELDS)}I", blob)
    header = dict(zip(HEADER_FIELDS, values, strict=True))
    if header["magic"] != MAGIC:
        raise InputError(
            f"not a device tree blob: {header['magic']:#010x} at offset 0x0, not {MAGIC:#010x}"
        )
    if header["totalsize"] > len(blob):
        raise _error("totalsize", f"{header['totalsize']:#x} is more than the {len(blob):#x} read")
    if header["version"] < OLDEST:
        raise _error("version", f"{header['version']} is older than {OLDEST}")
    if header["last_comp_version"] > READABLE:
        raise _error("last_comp_version", f"{header['last_comp_version']} is newer than {READABLE}")
    if header["version"] < READABLE:
        header["size_dt_struct"] = max(0, header["totalsize"] - header["off_dt_struct"])
    smallest = HEADER_SIZE if header["version"] >= READABLE else HEADER_SIZE - 4
    for start, size, align in (
        ("off_mem_rsvmap", None, 8),
        ("off_dt_struct", "size_dt_struct", 4),
        ("off_dt_strings", "size_dt_strings", 1),
    ):
        at = header[start]
        if at < smallest or at > header["totalsize"] or at % align:
            raise _error(start, f"{at:#x} is no place for the block")
        if size is not None and at + header[size] > header["totalsize"]:
            raise _error(size, f"{header[size]:#x} bytes from {at:#x} on end behind totalsize")
    return header


def _error(name: str, what: str) -> InputError:
    offset = 4 * HEADER_FIELDS.index(name)
    return InputError(f"device tree: {name} at offset {offset:#x}: {what}")


def _reserve_map(blob: bytes, header: dict[str, int]) -> list[tuple[int, int]]:
    """The (address, size) entries up to the one without a size."""
    entries: list[tuple[int, int]] = []
    offset = header["off_mem_rsvmap"]
    while offset + 16 <= header["totalsize"]:
        address, size = struct.unpack_from(">QQ", blob, offset)
        if not size:
            return entries
        entries.append((address, size))
        offset += 16
    raise InputError(
        f"device tree: the memory reservation block at offset {header['off_mem_rsvmap']:#x} "
        "does not end inside the blob"
    )


class _Structure:
    """One pass over the structure block."""

    def __init__(self, blob: bytes, header: dict[str, int]) -> None:
        self.blob = blob
        self.at = header["off_dt_struct"]
        self.end = self.at + header["size_dt_struct"]
        self.strings = header["off_dt_strings"]
        self.strings_end = self.strings + header["size_dt_strings"]
        self.names: dict[int, str] = {}

    def root(self) -> Node:
        """The tree; `InputError` if the tokens do not make exactly one."""
        root: Node | None = None
        node: Node | None = None
        depth = 0
        while True:
            start = self.at
            token = self._u32()
            if token == BEGIN_NODE:
                if node is None and root is not None:
                    raise self._wrong(start, "a second root node")
                depth += 1
                if depth > MAX_DEPTH:
                    raise self._wrong(start, f"nodes are nested more than {MAX_DEPTH} deep")
                node = self._begin(start, node)
                root = root or node
            elif token == NOP:
                continue
            elif token == END and node is None:
                break
            elif node is None:
                raise self._wrong(start, f"token {token:#x} outside the root node")
            elif token == PROP:
                self._property(node)
            elif token == END_NODE:
                node.end = self.at
                node.behind_properties = node.behind_properties or start
                node = node.parent
                depth -= 1
            elif token == END:
                raise self._wrong(start, f"the tree ends inside {node.path}")
            else:
                raise self._wrong(start, f"unknown token {token:#x}")
        if root is None:
            raise self._wrong(start, "there is no root node")
        return root

    def _u32(self) -> int:
        if self.at + 4 > self.end:
            raise self._wrong(self.at, "the structure block ends without FDT_END")
        value: int = struct.unpack_from(">I", self.blob, self.at)[0]
        self.at += 4
        return value

    def _begin(self, start: int, parent: Node | None) -> Node:
        stop = self.blob.find(b"\0", self.at, self.end)
        if stop < 0:
            raise self._wrong(start, "the node's name does not end")
        node = Node(printable(self.blob[self.at : stop]), start, parent)
        self.at = node.body = aligned(stop + 1)
        if parent is not None:
            parent.behind_properties = parent.behind_properties or start
            parent.children.append(node)
        return node

    def _property(self, node: Node) -> None:
        start = self.at - 4
        size, name = self._u32(), self._u32()
        if size > self.end - self.at:
            raise self._wrong(start, f"a property of {node.path} has {size:#x} bytes, too many")
        # The first of two properties of one name counts, as it does for fdt_getprop.
        found = Property(
            self._name(start, name), self.blob[self.at : self.at + size], self.at, node
        )
        if node.properties.setdefault(found.name, found) is not found:
            node.repeated_properties += 1
        self.at = aligned(self.at + size)

    def _name(self, start: int, offset: int) -> str:
        if offset not in self.names:
            first = self.strings + offset
            limit = min(self.strings_end, first + MAX_NAME)
            stop = self.blob.find(b"\0", first, limit)
            if stop < 0:
                raise self._wrong(start, f"the property's name at {first:#x} does not end")
            self.names[offset] = printable(self.blob[first:stop])
        return self.names[offset]

    def _wrong(self, offset: int, what: str) -> InputError:
        return InputError(f"device tree: structure block, offset {offset:#x}: {what}")


def aligned(offset: int) -> int:
    """The next multiple of four, to which everything in the structure block is aligned."""
    return (offset + 3) & ~3
