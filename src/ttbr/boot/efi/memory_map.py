"""The descriptors of UEFI's memory map: what they say, and their form in memory and in words.

Sources: UEFI Specification 2.10, 7.2 (EFI_MEMORY_DESCRIPTOR, GetMemoryMap); the words are those of
drivers/firmware/efi/efi.c (efi_md_typeattr_format).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ttbr.errors import InputError

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
U64 = (1 << 64) - 1

# Number → the kernel's word for it.
TYPES = (
    "Reserved",
    "Loader Code",
    "Loader Data",
    "Boot Code",
    "Boot Data",
    "Runtime Code",
    "Runtime Data",
    "Conventional",
    "Unusable",
    "ACPI Reclaim",
    "ACPI Mem NVS",
    "MMIO",
    "MMIO Port",
    "PAL Code",
    "Persistent",
    "Unaccepted",
)
LOADER_CODE, LOADER_DATA, BOOT_CODE, BOOT_DATA = 1, 2, 3, 4
RUNTIME_CODE, RUNTIME_DATA, CONVENTIONAL = 5, 6, 7
ACPI_RECLAIM, ACPI_NVS, MMIO, MMIO_PORT, PERSISTENT = 9, 10, 11, 12, 14

# Attribute → bit, with the kernel's letters.
ATTRIBUTES = {
    "UC": 0,
    "WC": 1,
    "WT": 2,
    "WB": 3,
    "UCE": 4,
    "WP": 12,
    "RP": 13,
    "XP": 14,
    "NV": 15,
    "MR": 16,
    "RO": 17,
    "SP": 18,
    "CC": 19,
    "HP": 20,
    "RUN": 63,
}
# The order in which the kernel shows them, and the width of each.
SHOWN = {
    **{"RUN": 3, "HP": 2, "MR": 2, "CC": 2, "SP": 2, "NV": 2, "XP": 2, "RP": 2, "WP": 2, "RO": 2},
    **{"UCE": 3, "WB": 2, "WT": 2, "WC": 2, "UC": 2},
}
WC, WT, WB = (1 << ATTRIBUTES[name] for name in ("WC", "WT", "WB"))
MORE_RELIABLE, SPECIAL = (1 << ATTRIBUTES[name] for name in ("MR", "SP"))
RUNTIME = 1 << ATTRIBUTES["RUN"]

LAYOUT = struct.Struct("<I4xQQQQ")
"""Type, physical and virtual address, pages, attribute: version 1, and all that there is."""
STRIDES = (48, 40, 56, 64)
"""Bytes from one descriptor to the next, the usual first; firmware may leave room for growth."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A range of the map: ``pages`` of 4 KiB from physical address ``phys`` on.

    ``kind`` is the type's number, ``attribute`` its bits, ``virt`` where the firmware's run-time
    services are to find it.
    """

    kind: int
    phys: int
    pages: int
    attribute: int
    virt: int = 0

    @property
    def size(self) -> int:
        """Bytes, in 64 bits."""
        return self.pages << PAGE_SHIFT & U64

    @property
    def end(self) -> int:
        """The address behind the range."""
        return self.phys + self.size

    @property
    def is_memory(self) -> bool:
        """Whether the kernel counts it as memory at all (is_memory)."""
        return bool(self.attribute & (WB | WT | WC))

    @property
    def is_usable(self) -> bool:
        """Whether the kernel may allocate from it (is_usable_memory)."""
        usable = (LOADER_CODE, LOADER_DATA, BOOT_CODE, BOOT_DATA, CONVENTIONAL, ACPI_RECLAIM)
        return bool(self.kind in (*usable, PERSISTENT) and self.attribute & WB)

    @property
    def is_ram(self) -> bool:
        """Whether there is RAM, or something that behaves so, and not a device."""
        return self.is_memory and self.kind not in (MMIO, MMIO_PORT)

    def encode(self) -> bytes:
        """The descriptor as firmware has it in memory, without room for growth."""
        return LAYOUT.pack(self.kind, self.phys, self.virt, self.pages, self.attribute)

    @property
    def words(self) -> str:
        """Range, type and attributes as ``efi=debug`` has them (efi_md_typeattr_format)."""
        kind = f"{TYPES[self.kind]:12}" if self.kind < len(TYPES) else f"type={self.kind}"
        if self.attribute & ~sum(1 << bit for bit in ATTRIBUTES.values()):
            bits = f"attr={self.attribute:#018x}"
        else:
            bits = "|".join(
                f"{name if self.attribute >> ATTRIBUTES[name] & 1 else '':>{width}}"
                for name, width in SHOWN.items()
            )
        return f"0x{self.phys:012x}-0x{(self.end - 1) & U64:012x} [{kind}|{bits}]"

    @classmethod
    def decode(cls, data: bytes, offset: int = 0) -> Descriptor:
        """The descriptor at an offset; the inverse of `encode`."""
        kind, phys, virt, pages, attribute = LAYOUT.unpack_from(data, offset)
        return cls(kind, phys, pages, attribute, virt)


def decode_map(data: bytes, stride: int | None = None) -> tuple[list[Descriptor], int]:
    """The descriptors of an array and the bytes from one to the next.

    Without ``stride`` it is the one of `STRIDES` that makes sense of every descriptor. `InputError`
    if none or several do.
    """
    if stride is not None:
        if stride < LAYOUT.size or not data or len(data) % stride:
            raise InputError(
                f"{len(data)} bytes are no array of EFI memory descriptors of {stride} bytes"
            )
        return _array(data, stride), stride
    fitting = [
        (found, size)
        for size in STRIDES
        if data and len(data) % size == 0 and _plausible(found := _array(data, size))
    ]
    if len(fitting) != 1:
        what = "several sizes of" if fitting else "no"
        raise InputError(
            f"{len(data)} bytes could be {what} EFI memory descriptors: "
            "give the map as JSON, or a kernel log with efi=debug"
        )
    return fitting[0]


def _array(data: bytes, stride: int) -> list[Descriptor]:
    return [Descriptor.decode(data, at) for at in range(0, len(data), stride)]


def _plausible(found: Sequence[Descriptor]) -> bool:
    return all(
        (entry.kind < len(TYPES) or entry.kind >= 1 << 28)  # OEMs' own begin at 0x70000000
        and entry.phys % PAGE_SIZE == 0
        and 0 < entry.pages <= (U64 - entry.phys) >> PAGE_SHIFT
        for entry in found
    )


def parse_type(word: str) -> int:
    """A type's number, from the kernel's word, the number itself, or ``type=N``; `InputError`."""
    plain = word.strip().lower()
    for number, name in enumerate(TYPES):
        if plain == name.lower():
            return number
    digits = plain.removeprefix("type=")
    try:
        number = int(digits, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise InputError(f"{word[:40]!r} is no type of EFI memory: known are {', '.join(TYPES)}")
    return number


def parse_attribute(text: str) -> int:
    """Attribute bits from the kernel's letters between ``|``, ``attr=0x…`` or a number.

    `InputError` for anything else.
    """
    bits = 0
    for word in text.replace(",", "|").split("|"):
        plain = word.strip().upper()
        if plain in ATTRIBUTES:
            bits |= 1 << ATTRIBUTES[plain]
        elif plain:
            try:
                bits |= int(plain.removeprefix("ATTR="), 0)
            except ValueError:
                raise InputError(
                    f"{word.strip()[:40]!r} is no attribute of EFI memory: known are "
                    f"{', '.join(ATTRIBUTES)}"
                ) from None
    if not 0 <= bits <= U64:
        raise InputError(f"{text[:40]!r}: attributes have 64 bits")
    return bits
