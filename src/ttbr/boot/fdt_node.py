"""The nodes and properties of a device tree, and what their data means."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ttbr.errors import InputError

MAX_CELLS = 4  # as drivers/of/address.c:OF_MAX_ADDR_CELLS
DEFAULT_CELLS = 1  # of a tree that does not say: OF_ROOT_NODE_{ADDR,SIZE}_CELLS_DEFAULT


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a node; ``offset`` is where its data begins in the blob."""

    name: str
    data: bytes
    offset: int
    node: "Node" = field(repr=False, compare=False)

    @property
    def strings(self) -> tuple[str, ...]:
        """The data as strings, each of which ends with NUL."""
        if not self.data:
            return ()
        if self.data[-1]:
            raise self.error("the string has no terminating NUL")
        return tuple(text(part) for part in self.data[:-1].split(b"\0"))

    @property
    def string(self) -> str:
        """The first string, as C code sees it."""
        end = self.data.find(b"\0")
        if end < 0:
            raise self.error("the string has no terminating NUL")
        return text(self.data[:end])

    @property
    def cells(self) -> tuple[int, ...]:
        """The data as 32-bit big-endian cells."""
        if len(self.data) % 4:
            raise self.error(f"{len(self.data)} bytes are not a whole number of cells")
        return struct.unpack(f">{len(self.data) // 4}I", self.data)

    @property
    def u32(self) -> int:
        """The only cell."""
        if len(self.data) != 4:
            raise self.error(f"{len(self.data)} bytes where one cell is expected")
        return self.cells[0]

    @property
    def u64(self) -> int:
        """The only two cells as one number."""
        if len(self.data) != 8:
            raise self.error(f"{len(self.data)} bytes where two cells are expected")
        return int.from_bytes(self.data, "big")

    @property
    def number(self) -> int:
        """All of the data as one number of at most 64 bits (of_read_number of its length)."""
        if len(self.data) not in (4, 8):
            raise self.error(f"{len(self.data)} bytes where one or two cells are expected")
        return int.from_bytes(self.data, "big")

    def pairs(self, address_cells: int, size_cells: int) -> list[tuple[int, int]]:
        """The data as (address, size) pairs of so many cells; an incomplete last pair is left out.

        Linux steps over memory and reserved-memory entries in the same way.
        """
        split, step = 4 * address_cells, 4 * (address_cells + size_cells)
        if not step:
            return []
        whole = len(self.data) // step * step
        return [
            (
                int.from_bytes(self.data[at : at + split], "big"),
                int.from_bytes(self.data[at + split : at + step], "big"),
            )
            for at in range(0, whole, step)
        ]

    def error(self, what: str) -> InputError:
        """An error that names the node, this property and its place."""
        return InputError(
            f"device tree: {self.node.path}: {self.name} at offset {self.offset:#x}: {what}"
        )


@dataclass(slots=True, eq=False)
class Node:
    """A node; ``offset`` is where its FDT_BEGIN_NODE token stands in the blob."""

    name: str
    offset: int
    parent: "Node | None" = field(repr=False)
    body: int = 0  # offset of the first token behind the name
    behind_properties: int = 0  # offset of the first token that is no property
    end: int = 0  # offset behind the FDT_END_NODE token
    properties: dict[str, Property] = field(default_factory=dict, repr=False)
    children: list["Node"] = field(default_factory=list, repr=False)
    repeated_properties: int = 0  # how many more have the name of one that was there already

    @property
    def path(self) -> str:
        """The full path, ``/`` for the root."""
        names: list[str] = []
        node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/" + "/".join(reversed(names))

    @property
    def base_name(self) -> str:
        """The name without its unit address."""
        return self.name.partition("@")[0]

    @property
    def unit_address(self) -> str | None:
        """What follows the ``@`` in the name, or None."""
        return self.name.partition("@")[2] if "@" in self.name else None

    def prop(self, name: str) -> Property | None:
        """The property of that name, or None."""
        return self.properties.get(name)

    def child(self, name: str) -> "Node | None":
        """The first child of that name; without ``@`` in ``name`` unit addresses are ignored."""
        for node in self.children:
            if name == (node.name if "@" in name else node.base_name):
                return node
        return None

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, in the order of the blob."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))

    @property
    def available(self) -> bool:
        """Whether status allows the use of the node (of_fdt_device_is_available)."""
        status = self.prop("status")
        return status is None or status.data.partition(b"\0")[0] in (b"ok", b"okay")

    @property
    def phandle(self) -> int | None:
        """The number by which other nodes refer to this one, or None."""
        found = self.prop("phandle") or self.prop("linux,phandle")
        return None if found is None else found.u32

    @property
    def address_cells(self) -> int:
        """Cells of an address in the ``reg`` of this node's children."""
        return self._cells("#address-cells")

    @property
    def size_cells(self) -> int:
        """Cells of a size in the ``reg`` of this node's children."""
        return self._cells("#size-cells")

    def _cells(self, name: str) -> int:
        """The count that this node or the nearest one above gives (of_bus_n_addr_cells)."""
        node: Node | None = self
        while node is not None:
            found = node.prop(name)
            if found is not None:
                if found.u32 > MAX_CELLS:
                    raise found.error(f"{found.u32} cells, more than {MAX_CELLS}")
                return found.u32
            node = node.parent
        return DEFAULT_CELLS

    @property
    def reg(self) -> list[tuple[int, int]]:
        """The (address, size) pairs of ``reg`` by the parent's cell counts; [] without ``reg``."""
        found = self.prop("reg")
        if found is None or self.parent is None:
            return []
        return found.pairs(self.parent.address_cells, self.parent.size_cells)


def printable(name: bytes) -> str:
    """A name for comparisons and for errors of one line: what no name may have in it is escaped."""
    decoded = text(name)
    return decoded if decoded.isprintable() else decoded.encode("unicode_escape").decode()


def text(data: bytes) -> str:
    """A string's text; bytes that are no UTF-8 are escaped."""
    return data.decode("utf-8", "backslashreplace")
