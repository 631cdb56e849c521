"""What Linux has at one address that the hardware finds invalid: a page, a place in swap."""

from dataclasses import dataclass

import numpy as np

from ttbr.arch.faults import FaultKind
from ttbr.kernel.swap_types import SPECIAL
from ttbr.memory.physical import OutsideMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.translation import Translation
from ttbr.recover.linux_reading import KINDS, LinuxReader, flag_names


@dataclass(frozen=True, slots=True)
class LinuxEntry:
    """An entry that only Linux understands.

    ``kind``: one of `ttbr.recover.linux_reading.KINDS`. ``pa``: the physical address, None if the
    entry names no page; ``size``: bytes that the entry stands for; ``entry`` and ``address``: the
    word and where it lies; ``swap_type`` and ``swap_offset`` (in pages): None for present pages;
    ``flags``: names from `ttbr.kernel.linux_pte.FLAGS`.
    """

    kind: str
    pa: int | None
    size: int
    entry: int
    address: int
    swap_type: int | None = None
    swap_offset: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Linux has the page in memory and may use it: it is no swap entry of any kind."""
        return self.pa is not None and self.swap_type is None

    def __str__(self) -> str:
        by = f"by its entry {self.entry:#x} at {self.address:#x}"
        if self.present:
            return f"present for Linux only ({self.kind}): {self.pa:#x}, {by}"
        if self.kind in SPECIAL:
            where = f" {self.pa:#x}" if self.pa is not None else ""
            return f"{self.kind} entry for Linux:{where} (offset {self.swap_offset:#x}), {by}"
        if self.swap_type is None:
            return f"not present for Linux (swapped out, or migrating), {by}"
        return f"swapped out: type {self.swap_type}, offset {self.swap_offset:#x}, {by}"


def linux_entry(
    space: AddressSpace, translation: Translation, reader: LinuxReader
) -> LinuxEntry | None:
    """What Linux has at an address which the hardware finds invalid; None if it has nothing.

    ``translation`` is what ``space`` said about the address.
    """
    fault = translation.fault
    if fault is None or fault.kind is not FaultKind.TRANSLATION or not translation.steps:
        return None
    step = translation.steps[-1]
    if not reader.has_entries(step.level):
        return None
    fmt, distance = space.regime.format, reader.entries.distance
    address, entry = step.address, step.descriptor
    if distance:
        address = step.address + distance
        try:
            entry = int.from_bytes(space.memory.read(address, fmt.entry_size), "little")
        except OutsideMemory:
            return None
    if entry == 0:
        return None
    word, zero = np.array([entry], np.uint64), np.zeros(1, np.uint64)
    found = reader.read(word, word if not distance else zero, step.level, zero)
    shift = next(level.shift for level in space.regime.levels if level.number == step.level)
    offset = space.regime.canonical(translation.va) & (1 << shift) - 1
    swap_type = int(found.swap_type[0])
    return LinuxEntry(
        kind=KINDS[int(found.kind[0])],
        pa=int(found.pa[0]) | offset if found.has_page[0] else None,
        size=1 << shift,
        entry=entry,
        address=address,
        swap_type=None if swap_type < 0 else swap_type,
        swap_offset=None if swap_type < 0 else int(found.swap_offset[0]),
        flags=flag_names(int(found.flags[0])),
    )
