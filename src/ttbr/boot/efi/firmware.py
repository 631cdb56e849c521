"""What UEFI firmware and Linux's EFI stub hand over, beside the device tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ttbr.boot.efi.memory_map import Descriptor
from ttbr.errors import InputError
from ttbr.memory.physical import Bank

MAX_DESCRIPTORS = 1 << 14  # the kernel maps 256 KiB of them, which hold 5461

# Configuration tables that decide on memory, by the names under which the kernel lists them; and
# what an input may call the frame buffer, which is no such table.
TABLES = (
    *("MEMATTR", "TPMEventLog", "TPMFinalLog", "MEMRESERVE", "INITRD", "ESRT", "MOKvar"),
    "framebuffer",
)

INITRD_NOT_KNOWN = (
    "where the initrd lies is not in the log: say it (--initrd), or give a log with memblock=debug"
)


@dataclass(frozen=True, slots=True)
class Firmware:
    """A boot's firmware.

    ``memory_map``: the descriptors in the firmware's order. ``memmap``: the physical address of
    their array, None if it is not known; ``stride``: bytes from one to the next. ``tables``: ranges
    (address, bytes) by the names of `TABLES`; of MEMRESERVE its entries in order, each followed
    by what it reserves. ``system_table``: the physical address of the system table, or None.
    ``unknowns``: sentences about what the input did not say.
    """

    memory_map: tuple[Descriptor, ...]
    memmap: int | None = None
    stride: int = 48
    tables: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    system_table: int | None = None
    unknowns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(entry.is_usable for entry in self.memory_map):
            raise InputError("the EFI memory map has no memory that Linux could use")
        if len(self.memory_map) > MAX_DESCRIPTORS:
            raise InputError(f"an EFI memory map of {len(self.memory_map)} descriptors is none")

    @property
    def memmap_size(self) -> int:
        """Bytes of the array of descriptors."""
        return len(self.memory_map) * self.stride

    @property
    def ram(self) -> tuple[Bank, ...]:
        """RAM by the map, ascending, neighbours as one; devices that the map has are left out."""
        ranges = sorted((e.phys, e.end) for e in self.memory_map if e.is_ram and e.pages)
        joined: list[tuple[int, int]] = []
        for start, end in ranges:
            if end > 1 << 64:
                raise InputError(f"the EFI memory map has a range from {start:#x} beyond 64 bits")
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(end, joined[-1][1])
            else:
                joined.append((start, end))
        return tuple(Bank(start, end - start) for start, end in joined)

    def table(self, name: str) -> tuple[tuple[int, int], ...]:
        """The ranges of a table; none if the firmware has no such table or it is not known."""
        return self.tables.get(name, ())

    @property
    def initrd(self) -> tuple[int, int] | None:
        """(address, bytes) of the initrd that the stub loaded, if it did."""
        return next(iter(self.table("INITRD")), None)
