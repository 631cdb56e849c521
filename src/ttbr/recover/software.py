"""Pages that are mapped for Linux but not for the hardware: old ones on ARM, PROT_NONE ones."""

from dataclasses import dataclass

import numpy as np

from ttbr.arch.faults import FaultKind
from ttbr.arch.format import Kind
from ttbr.kernel.linux_pte import LinuxEntries
from ttbr.memory.physical import OutsideMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.translation import Translation


@dataclass(frozen=True, slots=True)
class LinuxPage:
    """A page that only Linux's own entry names: present for Linux only.

    ``pa``: the physical address; ``size``: bytes of the mapping; ``entry`` and ``address``:
    Linux's entry and where it lies; ``reason``: ``PROT_NONE``, ``old`` or ``invalidated``.
    """

    pa: int
    size: int
    entry: int
    address: int
    reason: str

    def __str__(self) -> str:
        return (
            f"present for Linux only ({self.reason}): {self.pa:#x}, by its entry {self.entry:#x} "
            f"at {self.address:#x}"
        )


def linux_page(
    space: AddressSpace, translation: Translation, linux: LinuxEntries
) -> LinuxPage | None:
    """The page that Linux has at an address which the hardware finds invalid; None if it has none.

    ``translation`` is what ``space`` said about the address; ``linux`` as
    `ttbr.kernel.linux_pte.linux_entries` gives it. Swapped-out and empty entries name no page.
    """
    fault = translation.fault
    if fault is None or fault.kind is not FaultKind.TRANSLATION or not translation.steps:
        return None
    step = translation.steps[-1]
    fmt = space.regime.format
    if linux.distance:
        if step.level != fmt.last_level:
            return None
        address = step.address + linux.distance
        try:
            entry = int.from_bytes(space.memory.read(address, fmt.entry_size), "little")
        except OutsideMemory:
            return None
    else:
        address, entry = step.address, step.descriptor
    if not linux.is_present(np.array([entry], np.uint64))[0]:
        return None

    shift = next(level.shift for level in space.regime.levels if level.number == step.level)
    offset = space.regime.canonical(translation.va) & (1 << shift) - 1
    if linux.address:
        pa = entry & linux.address
    else:
        # The entry as it was when the hardware could use it: only the lowest bits differ.
        desc = np.array([entry | linux.valid], np.uint64)
        if fmt.kinds(desc, step.level)[0] not in (Kind.BLOCK, Kind.PAGE):
            return None
        pa = int(fmt.output_address(desc, step.level, np.zeros(1, np.uint64))[0])
    return LinuxPage(pa | offset, 1 << shift, entry, address, linux.reason(entry))
