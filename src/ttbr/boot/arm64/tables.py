"""What both of arm64's mapping algorithms write with: tables, their roots, leaf runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ttbr.errors import TtbrError
from ttbr.kernel.arm64_geometry import LAST_LEVEL, Geometry
from ttbr.kernel.arm64_prot import TYPE_MASK, TYPE_TABLE, OutputAddress
from ttbr.mmu.writer import TableWriter

DESCRIPTOR_SIZE = 8


@dataclass(frozen=True, slots=True)
class Root:
    """A root table: physical address, level of its entries (−1 … 3) and how many there are."""

    address: int
    level: int
    entries: int


@dataclass(frozen=True, slots=True)
class Span:
    """`size` bytes at the virtual address `virt` that are to map to the physical one `phys`."""

    virt: int
    phys: int
    size: int

    @property
    def end(self) -> int:
        """Virtual address behind the last byte."""
        return self.virt + self.size

    def part(self, start: int, end: int) -> Span:
        """What of the span lies in [start, end), which must be inside it."""
        return Span(start, self.phys + start - self.virt, end - start)

    def rounded(self, page: int) -> Span:
        """The span in whole pages: both starts rounded down, the end up."""
        start = self.virt // page * page
        return Span(start, self.phys // page * page, -(-self.end // page) * page - start)


@dataclass(frozen=True, slots=True)
class Tables:
    """A kernel's way to write tables: the cut, the address packing, and the RAM to write to."""

    writer: TableWriter
    geometry: Geometry
    output: OutputAddress

    def index(self, va: int, level: int, entries: int) -> int:
        """Index of the entry for `va` in a table of `level` that has `entries`."""
        return (va >> self.geometry.shift(level)) & (entries - 1)

    def clear(self, table: int) -> None:
        """Zero a page of tables."""
        self.writer.clear(table, 0, self.geometry.entries)

    def leaves(
        self, table: int, index: int, phys: int, bits: int, *, step: int, count: int
    ) -> None:
        """Write `count` leaves: `bits` with `phys`, `phys + step`, … as their address."""
        limit = self.output.contiguous_limit
        while count > 0:
            # Bits above the plain address field do not count up with it.
            here = min(count, (limit - phys % limit) // step)
            self.writer.fill(table, index, self.output.encode(phys) | bits, step, here)
            index += here
            phys += here * step
            count -= here

    def next_table(
        self, table: int, index: int, level: int, attributes: int, alloc: Callable[[], int] | None
    ) -> int:
        """Address of the table below an entry, made by `alloc` if the entry is empty.

        `attributes`: type and limits of a new table descriptor. `TtbrError` if the entry is a
        leaf, or empty with no `alloc`: the kernel would stop with a BUG there.
        """
        entry = self.writer.read(table, index)
        if entry == 0:
            if alloc is None:
                raise TtbrError(
                    f"no table below level {level} entry {index} of the table at {table:#x}, "
                    "and the kernel cannot allocate one here"
                )
            below = alloc()
            self.writer.write(table, index, self.output.encode(below) | attributes)
            return below
        if entry & TYPE_MASK != TYPE_TABLE or level == LAST_LEVEL:
            raise TtbrError(
                f"cannot map below a block: level {level} entry {index} of the table at "
                f"{table:#x} is {entry:#x}"
            )
        return self.output.decode(entry)
