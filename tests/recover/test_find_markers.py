"""The kernel's own markers out of an image, and those that are computed."""

import struct
import time

import pytest
from kernel_image import (
    ARRAY,
    BASE,
    BLOCK,
    KERNEL,
    LINEAR,
    MARKERS,
    STRINGS,
    kernel_image,
    virtual,
    write_markers,
)

from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image, ImageFacts
from ttbr.mmu.writer import TableWriter
from ttbr.recover.markers import find_markers
from ttbr.recover.markers_computed import computed_markers

BANNER = b"Linux version 6.12.117 (lab@lab) (gcc) #2 SMP 2026-01-01\n"
SECONDS = 20


def test_the_kernels_own() -> None:
    image = kernel_image(ImageFacts(markers=((1, "of a note"),)))
    write_markers(image)
    found = find_markers(image)
    assert found.markers == MARKERS
    assert found.unknown == ()
    assert "address_markers" in found.source


@pytest.mark.parametrize(
    "damage",
    [
        (ARRAY, struct.pack("<Q", 0)),  # not filled yet
        (ARRAY + 16, struct.pack("<Q", LINEAR - 1)),  # not in order
        (ARRAY + 24, struct.pack("<Q", 0x1234)),  # a name that is not mapped
        (STRINGS + 21, b"\xff"),  # a name that is no text
        (ARRAY + 64, struct.pack("<Q", LINEAR)),  # no end
    ],
)
def test_what_is_not_the_array_is_not_taken(damage: tuple[int, bytes]) -> None:
    image = kernel_image(ImageFacts(markers=((1, "of a note"),), source="a note"))
    write_markers(image)
    image.memory.write(*damage)
    assert find_markers(image).markers == ((1, "of a note"),)


def test_many_copies_of_the_name_do_not_matter() -> None:
    image = kernel_image()
    ram = image.memory
    assert isinstance(ram, Ram)
    name = b"Linear Mapping start\0"
    ram.write(BASE + BLOCK, (name * (BLOCK // 2 // len(name) + 1))[: BLOCK // 2])
    ram.write(BASE + BLOCK + BLOCK // 2, struct.pack("<Q", virtual(BASE + BLOCK)) * (BLOCK // 16))
    began = time.monotonic()
    found = find_markers(image)
    assert time.monotonic() - began < SECONDS
    assert "not known" in found.source


def test_computed_for_arm64() -> None:
    image = kernel_image()
    image.memory.write(BASE + BLOCK, BANNER)
    found = find_markers(image)
    names = [name for _, name in found.markers]
    assert found.unknown == ("Fixmap start",)
    assert "6.12.117 for 39 address bits" in found.source
    assert names[:5] == [*(name for _, name in MARKERS), "vmalloc() area"]
    assert {name: va for va, name in found.markers}["vmemmap start"] == 0xFFFF_FFFE_C000_0000
    older = computed_markers(image, Release.parse("6.1.176"))[0]
    assert {name: va for va, name in older}["Modules end"] == 0xFFFF_FFC0_0800_0000
    assert [va for va, _ in older] == sorted(va for va, _ in older)
    assert KERNEL in [va for va, _ in found.markers]


def test_nothing_is_computed_without_a_release() -> None:
    assert find_markers(kernel_image()).markers == ()


def test_computed_for_arm() -> None:
    """Lowmem of 64 MiB at 0xC0000000; vmalloc starts 8 MiB behind, at a multiple of 8 MiB."""
    base = 0x6000_0000
    image = Image(Ram([Bank(base, 1 << 20)]), {"TTBCR": 0, "TTBR0": base, "TTBR1": base})
    writer = TableWriter(image.memory, 4)
    writer.fill(base, 0xC00, base | 0x1140E, 1 << 20, 63)
    markers, unknown, _ = computed_markers(image, None)
    assert unknown == ()
    assert markers[:3] == (
        (0xBF00_0000, "Modules"),
        (0xC000_0000, "Kernel Mapping"),
        (0xC400_0000, "vmalloc() Area"),
    )
    assert markers[-1] == (0xFFFF_2000, "Vectors End")


def test_computed_for_arm_without_a_linear_map() -> None:
    base = 0x6000_0000
    image = Image(Ram([Bank(base, 1 << 20)]), {"TTBCR": 0, "TTBR0": base, "TTBR1": base})
    markers, unknown, _ = computed_markers(image, None)
    assert "vmalloc() Area" in unknown
    assert (0xFF80_0000, "FDT Area") in markers


@pytest.mark.parametrize("offset", [None, 0])
def test_what_lies_at_0_is_no_linear_map(offset: int | None) -> None:
    """Blocks of noise, or a note that lies: no region begins below 0."""
    base = 0x6000_0000
    facts = ImageFacts(page_offset=offset)
    image = Image(Ram([Bank(base, 1 << 20)]), {"TTBCR": 0, "TTBR0": base, "TTBR1": base}, facts)
    writer = TableWriter(image.memory, 4)
    writer.fill(base, 0, base | 0x1140E, 1 << 20, 1)
    assert "Kernel Mapping" in computed_markers(image, None)[1]
    writer.fill(base, 0xC00, base | 0x1140E, 1 << 20, 1)
    assert (0xC000_0000, "Kernel Mapping") in computed_markers(image, None)[0]
