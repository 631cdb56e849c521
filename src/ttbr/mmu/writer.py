"""Writing translation-table entries into RAM: the forward model's only way to make table bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ttbr.memory.ram import Ram


class TableWriter:
    """Reads and writes the little-endian descriptors of tables that lie in a `Ram`.

    Tables are named by their physical address and entries by their index in the table. An
    address outside RAM raises `OutsideMemory`; a descriptor that does not fit into an entry
    raises `ValueError`.
    """

    def __init__(self, ram: Ram, entry_size: int) -> None:
        """`entry_size`: bytes of one descriptor, 8 (VMSAv8-64, LPAE) or 4 (short descriptors)."""
        if entry_size not in (4, 8):
            raise ValueError(f"a descriptor has 4 or 8 bytes, not {entry_size}")
        self.ram = ram
        self.entry_size = entry_size

    def read(self, table: int, index: int) -> int:
        """The descriptor at `index` of the table at physical address `table`."""
        raw = self.ram.read(table + index * self.entry_size, self.entry_size)
        return int.from_bytes(raw, "little")

    def write(self, table: int, index: int, descriptor: int) -> None:
        """Store `descriptor` at `index` of the table at physical address `table`."""
        self._check(descriptor)
        raw = descriptor.to_bytes(self.entry_size, "little")
        self.ram.write(table + index * self.entry_size, raw)

    def fill(self, table: int, index: int, first: int, step: int, count: int) -> None:
        """Store `count` descriptors from `index` on: `first`, `first + step`, ….

        The step is added to the whole descriptor, so it must not carry out of the output
        address: that holds for a range of leaves which lies within the address field.
        """
        if count <= 0:
            return
        self._check(first)
        self._check(first + step * (count - 1))
        # uint64 arithmetic wraps, so a negative step works as its two's complement.
        steps = np.arange(count, dtype=np.uint64) * np.uint64(step % (1 << 64))
        address = table + index * self.entry_size
        self.ram.write_words(address, np.uint64(first) + steps, self.entry_size)

    def clear(self, table: int, index: int, count: int) -> None:
        """Make `count` entries from `index` on invalid (zero)."""
        self.fill(table, index, 0, 0, count)

    def copy_page(self, src: int, dst: int, size: int) -> None:
        """Copy `size` bytes of tables from physical address `src` to `dst`."""
        self.ram.write(dst, self.ram.read(src, size))

    def _check(self, descriptor: int) -> None:
        if not 0 <= descriptor < 1 << (8 * self.entry_size):
            raise ValueError(
                f"descriptor {descriptor:#x} does not fit into {self.entry_size} bytes"
            )
