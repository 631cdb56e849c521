"""The headers of the kernel files that boot loaders load.

Sources: Documentation/arch/arm64/booting.rst and arch/arm64/kernel/image-vars.h (Image),
arch/arm/boot/compressed/head.S and Documentation/arch/arm/booting.rst (zImage).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ttbr.errors import InputError
from ttbr.kernel.textfile import read_start

LIMIT = 1 << 30  # bytes of a kernel file
HEADER_SIZE = 64

ARM64_MAGIC = b"ARM\x64"
ARM64_MAGIC_AT = 56
ARM64_FIELDS = struct.Struct("<QQQ")  # text_offset, image_size, flags
ARM64_FIELDS_AT = 8
ARM64_GRANULES = {1: 4096, 2: 16384, 3: 65536}  # flags bits 2:1

ZIMAGE_MAGIC = 0x016F2818
ZIMAGE_FIELDS = struct.Struct("<III")  # magic, start, end
ZIMAGE_FIELDS_AT = 0x24


@dataclass(frozen=True, slots=True)
class Arm64Header:
    """The header of an arm64 Image: where it wants to be, in bytes, and what it is."""

    text_offset: int
    image_size: int
    flags: int

    @property
    def page_size(self) -> int | None:
        """The page size the kernel was built for, or None if the flags do not say."""
        return ARM64_GRANULES.get(self.flags >> 1 & 3)

    @property
    def anywhere(self) -> bool:
        """Whether the 2 MiB aligned base may be anywhere in RAM (flags bit 3)."""
        return bool(self.flags >> 3 & 1)


@dataclass(frozen=True, slots=True)
class ZImageHeader:
    """The header of an arm zImage: the bytes of the file that are to be loaded."""

    size: int


def read_header(path: str | Path) -> Arm64Header | ZImageHeader:
    """Read the header of an Image (also packed by gzip or zstd) or zImage file, by its magic.

    `InputError` if the file is neither.
    """
    data = read_start(path, HEADER_SIZE, LIMIT)
    try:
        return parse_header(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_header(data: bytes) -> Arm64Header | ZImageHeader:
    """Parse the first 64 bytes of an Image or zImage; `InputError` if they are neither's."""
    if len(data) >= HEADER_SIZE:
        if data[ARM64_MAGIC_AT : ARM64_MAGIC_AT + 4] == ARM64_MAGIC:
            return Arm64Header(*ARM64_FIELDS.unpack_from(data, ARM64_FIELDS_AT))
        magic, start, end = ZIMAGE_FIELDS.unpack_from(data, ZIMAGE_FIELDS_AT)
        if magic == ZIMAGE_MAGIC and start <= end:
            return ZImageHeader(end - start)
    raise InputError("neither an arm64 Image nor an arm zImage (no magic number of either)")
