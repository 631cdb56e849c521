"""Kernels of 32-bit ARM found by structure: every VMSPLIT, short and long descriptors."""

import pytest

from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image
from ttbr.recover.finding import Confidence
from ttbr.recover.identify import identify, with_registers

M, G = 1 << 20, 1 << 30
SIZE = 64 * M
RWX, RW = 0x1140E, 0x1141E
LPAE_RW = 0x0040_0000_0000_071D
SWAPPER_ENTRY = 1 << 55 | 3


def words(ram: Ram, address: int, values: dict[int, int], size: int) -> None:
    for index, value in values.items():
        ram.write(address + index * size, value.to_bytes(size, "little"))


def short(page_offset: int, phys: int, text_offset: int, flags: int = 0) -> tuple[Ram, int]:
    """Swapper, the identity map's table and two processes', all with the kernel's entries."""
    ram = Ram([Bank(phys, SIZE)])
    first = page_offset // M
    kernel = {first + n: phys + n * M | (RWX if n < 6 else RW) ^ flags for n in range(SIZE // M)}
    kernel[0xFFF] = phys + 48 * M | 0x61
    swapper = phys + text_offset - 0x4000
    words(ram, swapper, kernel, 4)
    identity = {phys // M + n: phys + n * M | 0xC0E for n in (2, 3)}
    words(ram, phys + 16 * M, kernel | identity, 4)
    for n in (20, 24):
        words(ram, phys + n * M, kernel | {1: phys + 40 * M | 0x1, 0x3F: phys + 41 * M | 0x1}, 4)
    return ram, swapper


@pytest.mark.parametrize("text_offset", [0x8000, 0x208000])
@pytest.mark.parametrize("phys", [0, 0x2000_0000, 0x6000_0000])
@pytest.mark.parametrize("page_offset", [0xC000_0000, 0xB000_0000, 0x8000_0000, 0x4000_0000])
def test_short(page_offset: int, phys: int, text_offset: int) -> None:
    ram, swapper = short(page_offset, phys, text_offset)
    found = identify(ram, user_roots=True)
    assert found is not None
    assert found.format.value == "short"
    assert found.kernel_root.value == swapper
    assert found.kernel_root.confidence is Confidence.CERTAIN
    assert (found.page_offset.value, found.phys_offset.value) == (page_offset, phys)
    assert found.text_va.value == page_offset + text_offset
    assert found.user_roots.value == (phys + 20 * M, phys + 24 * M)
    if phys < page_offset:
        assert found.idmap_pg_dir.value == phys + 16 * M
    image, _ = with_registers(Image(ram))
    assert image.translate(page_offset + 0x1234).pa == phys + 0x1234


def test_walk_attributes_follow_the_sections() -> None:
    """A kernel that does not share memory among CPUs writes sections without S."""
    for flags, ttbr in ((0, 0x6A), (1 << 16, 0x59)):
        found = identify(short(0xC000_0000, G, 0x8000, flags)[0])
        assert found is not None
        assert found.registers["TTBR1"] & 0x7F == ttbr


def lpae(page_offset: int, phys: int, banner: bytes = b"") -> tuple[Ram, int]:
    """Swapper with its five pages, and a process of 32 bytes among other words."""
    ram = Ram([Bank(phys, SIZE)])
    swapper = phys + 0x8000 - 0x5000
    directory = {n: swapper + 0x1000 * (n + 1) | SWAPPER_ENTRY for n in range(4)}
    words(ram, swapper, directory, 8)
    first = page_offset // (2 * M)
    linear = {first + n: phys + 2 * n * M | LPAE_RW for n in range(SIZE // (2 * M))}
    words(ram, swapper + 0x1000, linear, 8)
    split = page_offset >> 30
    process = {n: directory[n] for n in range(split, 4)} | {0: phys + 40 * M | 3}
    words(ram, phys + 20 * M + 0x1C0, process, 8)
    words(ram, phys + 20 * M, {0: 0x1234_5678_9ABC_DEF1}, 8)
    ram.write(phys + 5 * M, banner)
    return ram, swapper


@pytest.mark.parametrize("phys", [0, 0x4000_0000, 0x8000_0000])
@pytest.mark.parametrize("page_offset", [0xC000_0000, 0x8000_0000, 0x4000_0000])
def test_lpae(page_offset: int, phys: int) -> None:
    ram, swapper = lpae(page_offset, phys)
    found = identify(ram, user_roots=True)
    assert found is not None
    assert found.format.value == "lpae"
    assert found.kernel_root.value == found.swapper_pg_dir.value == swapper
    assert (found.page_offset.value, found.phys_offset.value) == (page_offset, phys)
    assert found.user_roots.value == (phys + 20 * M + 0x1C0,)
    image, _ = with_registers(Image(ram))
    assert image.translate(page_offset + 0x1234).pa == phys + 0x1234


@pytest.mark.parametrize(
    ("release", "page_offset", "t1sz", "offset"),
    [
        (b"6.1.0-50-armmp-lpae", 0xC000_0000, 2, 0x4000),
        (b"6.1.176", 0x8000_0000, 1, 16),
        (b"6.1.176", 0x4000_0000, 0, 0),
        (b"6.12.117", 0xC000_0000, 0, 0),
    ],
)
def test_what_ttbr1_holds_depends_on_the_release(
    release: bytes, page_offset: int, t1sz: int, offset: int
) -> None:
    banner = b"Linux version " + release + b" (me@here) (gcc) #1 SMP\n\0"
    ram, swapper = lpae(page_offset, 0x4000_0000, banner)
    found = identify(ram)
    assert found is not None
    assert found.kernel_root.value == swapper  # all of it, whatever TTBR1 shows
    assert found.swapper_pg_dir.value == swapper
    assert found.registers["TTBCR"] >> 16 & 7 == t1sz
    assert found.registers["TTBR1"] == swapper + offset
    image, _ = with_registers(Image(ram))
    assert image.translate(page_offset + 0x1234).pa == 0x4000_1234
    whole = image.address_space("kernel")
    assert (whole.root, whole.regime.first) == (swapper, 0)
