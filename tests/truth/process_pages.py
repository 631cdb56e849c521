"""The pages of a process as its tables have them, without the frames: what two kernels can share.

The masks are the test's own: it knows where each format keeps the output address, nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.release import Release
from ttbr.mmu.address_space import AddressSpace
from ttbr.recover.linux_reading import LinuxReader
from ttbr.recover.linux_view import linux_view

LPA2_FIELDS = 0b11 << 8  # address bits 51:50, where others have the shareability
SHORT_HALF = 2048  # bytes from Linux's half of a table page to the hardware's


@dataclass(frozen=True)
class Pages:
    """Entries in ascending order of VA, as columns: ``va``, ``size``, ``level``, ``pa``.

    ``bits``: the entry that Linux has, ``hardware`` the one that the hardware walks, both without
    the output address. They differ only with short descriptors.
    """

    va: NDArray[np.uint64]
    size: NDArray[np.uint64]
    level: NDArray[np.int8]
    pa: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    hardware: NDArray[np.uint64]

    def rows(self) -> dict[int, tuple[int, int, int, int]]:
        """(size, level, bits, hardware bits) by virtual address."""
        columns = (self.va, self.size, self.level, self.bits, self.hardware)
        return {
            va: (size, level, bits, hardware)
            for va, size, level, bits, hardware in zip(*(c.tolist() for c in columns), strict=True)
        }


def pages(space: AddressSpace, release: Release | None, start: int, end: int) -> Pages:
    """Every entry of a process that is not empty to Linux, of addresses in [start, end)."""
    view = linux_view(space, LinuxReader(space.regime, release), start, end)
    kept = ~address_mask(space)
    words = view.entry
    if space.regime.format.name == "short":
        words = np.array([_short_word(space, va) for va in view.va.tolist()], np.uint64)
    return Pages(view.va, view.size, view.level, view.readings.pa, view.entry & kept, words & kept)


def address_mask(space: AddressSpace) -> np.uint64:
    """The bits of a last-level entry that hold the output address."""
    regime = space.regime
    if regime.format.name == "short":
        return np.uint64(0xFFFFF000)
    if regime.format.name == "lpae":
        return np.uint64(0xFF_FFFF_F000)
    wide = regime.format.name.endswith("lpa2") or regime.output_bits > 48
    if wide and regime.levels[-1].shift != 16:
        return np.uint64(0x3_FFFF_FFFF_F000 | LPA2_FIELDS)
    return np.uint64(0xFFFF_FFFF_F000)


def _short_word(space: AddressSpace, va: int) -> int:
    """The hardware's second-level entry of an address, or the section that covers it."""
    read = space.memory.read
    first = int.from_bytes(read(space.root + (va >> 20) * 4, 4), "little")
    if first & 0b11 != 0b01:
        return first
    return int.from_bytes(read((first & ~0x3FF) + (va >> 12 & 0xFF) * 4, 4), "little")
