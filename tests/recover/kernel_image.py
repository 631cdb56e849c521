"""A made-up arm64 kernel in RAM: tables, a banner, and the array of ptdump's markers."""

import struct

from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image, ImageFacts
from ttbr.mmu.writer import TableWriter

BASE = 0x4000_0000
PAGE = 0x1000
BLOCK = 2 << 20
SIZE = 2 * BLOCK
KERNEL = 0xFFFF_FFC0_8000_0000  # 39 address bits
LINEAR = 0xFFFF_FF80_0000_0000
REGISTERS = {"TCR_EL1": 0x34B5593519, "TTBR0_EL1": 0, "TTBR1_EL1": BASE}
MARKERS = (
    (LINEAR, "Linear Mapping start"),
    (0xFFFF_FFC0_0000_0000, "Linear Mapping end"),
    (0xFFFF_FFC0_0000_0000, "Modules start"),
    (KERNEL, "Modules end"),
)
STRINGS, ARRAY = BASE + BLOCK + 0x100, BASE + BLOCK + 0x1008


def kernel_image(facts: ImageFacts | None = None) -> Image:
    """RAM from ``BASE`` on: the tables in the first block, the kernel's data in the second.

    The second is mapped twice: in the linear map, and where the kernel runs.
    """
    ram = Ram([Bank(BASE, SIZE)])
    writer = TableWriter(ram, 8)
    for at, table, va in ((1, 3, LINEAR), (2, 4, KERNEL)):
        writer.write(BASE, va >> 30 & 511, BASE + at * PAGE | 3)
        writer.write(BASE + at * PAGE, 1, BASE + table * PAGE | 3)
        writer.fill(BASE + table * PAGE, 0, BASE + BLOCK | 0x703, PAGE, 512)
    return Image(ram, REGISTERS, facts or ImageFacts())


def virtual(pa: int) -> int:
    """Where the kernel itself sees its data."""
    return KERNEL + BLOCK + pa - (BASE + BLOCK)


def write_markers(image: Image, markers: tuple[tuple[int, str], ...] = MARKERS) -> None:
    """The array as ptdump_init leaves it, and the names that it points to."""
    ram = image.memory
    assert isinstance(ram, Ram)
    at, pairs = STRINGS, b""
    for va, name in markers:
        ram.write(at, name.encode() + b"\0")
        pairs += struct.pack("<QQ", va, virtual(at))
        at += len(name) + 1
    ram.write(ARRAY, pairs + struct.pack("<QQ", (1 << 64) - 1, 0))
