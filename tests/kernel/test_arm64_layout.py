"""arm64's virtual address layout, row by row as the kernel's headers give it."""

from __future__ import annotations

import pytest

from ttbr.errors import InputError
from ttbr.kernel.arm64_fixmap import Fixmap
from ttbr.kernel.arm64_geometry import Geometry
from ttbr.kernel.arm64_layout import layout
from ttbr.kernel.arm64_prot import leaf, protections
from ttbr.kernel.config import Config
from ttbr.kernel.release import Release

PAGES = {12: "ARM64_4K_PAGES", 14: "ARM64_16K_PAGES", 16: "ARM64_64K_PAGES"}
NEW, OLD = Release.parse("6.12.117"), Release.parse("6.1.192")
TOP = 0xFFFF_FFFF_C000_0000

# page shift, VA bits, bits that the CPU gives:
#   PAGE_OFFSET, PAGE_END, KIMAGE, VMALLOC_END, VMEMMAP_START
ROWS_6_12 = """
12 39 39 ffffff8000000000 ffffffc000000000 ffffffc080000000 fffffffebf800000 fffffffec0000000
12 48 48 ffff000000000000 ffff800000000000 ffff800080000000 fffffdffbf800000 fffffdffc0000000
12 52 52 fff0000000000000 ffff800000000000 ffff800080000000 ffffc1ffbf800000 ffffc1ffc0000000
12 52 48 fff0000000000000 ffff800000000000 ffff800080000000 fffffdffbf800000 ffffc1ffc0000000
14 36 36 fffffff000000000 fffffff800000000 fffffff880000000 ffffffffb7800000 ffffffffb8000000
14 47 47 ffff800000000000 ffffc00000000000 ffffc00080000000 ffffffbfbf800000 ffffffbfc0000000
14 48 48 ffff000000000000 ffff800000000000 ffff800080000000 ffffff7fbf800000 ffffff7fc0000000
14 52 52 fff0000000000000 ffffc00000000000 ffffc00080000000 fffff03fbf800000 fffff03fc0000000
14 52 47 fff0000000000000 ffffc00000000000 ffffc00080000000 ffffffbfbf800000 fffff03fc0000000
16 42 42 fffffc0000000000 fffffe0000000000 fffffe0080000000 ffffffff3f800000 ffffffff40000000
16 48 48 ffff000000000000 ffff800000000000 ffff800080000000 ffffffdfbf800000 ffffffdfc0000000
16 52 52 fff0000000000000 ffff800000000000 ffff800080000000 fffffc1fbf800000 fffffc1fc0000000
16 52 48 fff0000000000000 ffff800000000000 ffff800080000000 ffffffdfbf800000 fffffc1fc0000000
"""

# page shift, VA bits: KIMAGE, VMALLOC_END, VMEMMAP_START, VMEMMAP_END, PCI_IO, its end, FIXADDR_TOP
ROWS_6_1 = """
12 39 ffffffc008000000 fffffffdf0000000 fffffffe00000000 ffffffff00000000 fffffffdfe800000
      fffffffdff800000 fffffffdfe000000
12 48 ffff800008000000 fffffbfff0000000 fffffc0000000000 fffffe0000000000 fffffbfffe800000
      fffffbffff800000 fffffbfffe000000
14 36 fffffff808000000 ffffffffe0000000 fffffffff0000000 fffffffff8000000 ffffffffee800000
      ffffffffef800000 ffffffffee000000
14 47 ffffc00008000000 ffffff7ff0000000 ffffff8000000000 ffffffc000000000 ffffff7ffe800000
      ffffff7fff800000 ffffff7ffe000000
14 48 ffff800008000000 fffffefff0000000 ffffff0000000000 ffffff8000000000 fffffefffe800000
      fffffeffff800000 fffffefffe000000
16 42 fffffe0008000000 fffffffef0000000 ffffffff00000000 ffffffff80000000 fffffffefe800000
      fffffffeff800000 fffffffefe000000
16 48 ffff800008000000 ffffffbff0000000 ffffffc000000000 ffffffe000000000 ffffffbffe800000
      ffffffbfff800000 ffffffbffe000000
16 52 ffff800008000000 fffffbfff0000000 fffffc0000000000 ffffffe000000000 fffffbfffe800000
      fffffbffff800000 fffffbfffe000000
"""


def config(page_shift: int, va_bits: int, **options: str) -> Config:
    return Config({PAGES[page_shift]: "y", "ARM64_VA_BITS": str(va_bits), **options})


def rows(text: str, width: int) -> list[list[str]]:
    words = text.split()
    return [words[at : at + width] for at in range(0, len(words), width)]


@pytest.mark.parametrize("row", rows(ROWS_6_12, 8), ids=" ".join)
def test_6_12(row: list[str]) -> None:
    page_shift, va_bits, actual = map(int, row[:3])
    found = layout(config(page_shift, va_bits), NEW, actual)
    addresses = [found.page_offset, found.page_end, found.kimage_vaddr]
    addresses += [found.vmalloc_end, found.vmemmap_start]
    assert addresses == [int(word, 16) for word in row[3:]]
    assert found.modules_vaddr == found.page_end
    assert found.vmalloc_start == found.kimage_vaddr == found.modules_end
    assert found.linear_start == (1 << 64) - (1 << actual)
    assert (found.vmemmap_end, found.pci_io_start) == (TOP, TOP + (8 << 20))
    assert found.pci_io_end == 0xFFFF_FFFF_C180_0000
    assert found.fixaddr_top == 0xFFFF_FFFF_FF80_0000


@pytest.mark.parametrize("row", rows(ROWS_6_1, 9), ids=" ".join)
def test_6_1(row: list[str]) -> None:
    page_shift, va_bits = map(int, row[:2])
    found = layout(config(page_shift, va_bits), OLD)
    addresses = [found.kimage_vaddr, found.vmalloc_end, found.vmemmap_start, found.vmemmap_end]
    addresses += [found.pci_io_start, found.pci_io_end, found.fixaddr_top]
    assert addresses == [int(word, 16) for word in row[2:]]
    same = layout(config(page_shift, va_bits), NEW)
    assert (found.page_offset, found.page_end) == (same.page_offset, same.page_end)
    assert found.modules_end - found.modules_vaddr == 128 << 20


@pytest.mark.parametrize(
    ("page_shift", "block", "cont_page", "cont_block", "memstart"),
    [
        (12, 2 << 20, 64 << 10, 32 << 20, 1 << 30),
        (14, 32 << 20, 2 << 20, 1 << 30, 1 << 30),
        (16, 512 << 20, 2 << 20, 16 << 30, 512 << 20),
    ],
)
def test_granules(page_shift, block, cont_page, cont_block, memstart) -> None:
    geometry = Geometry.from_config(config(page_shift, 48))
    assert geometry.size(2) == block
    assert (geometry.cont_size(3), geometry.cont_size(2)) == (cont_page, cont_block)
    assert geometry.memstart_align == memstart
    assert geometry.blocks_at(1) == (page_shift == 12)


@pytest.mark.parametrize(
    ("page_shift", "va_bits", "levels"),
    [
        *[(12, 39, 3), (12, 48, 4), (12, 52, 5), (14, 36, 2), (14, 47, 3), (14, 48, 4)],
        *[(14, 52, 4), (16, 42, 2), (16, 48, 3), (16, 52, 3)],
    ],
)
def test_levels(page_shift: int, va_bits: int, levels: int) -> None:
    geometry = Geometry.from_config(config(page_shift, va_bits))
    assert geometry.levels(va_bits) == levels
    assert geometry.root_level(va_bits) == 4 - levels


@pytest.mark.parametrize(("page_shift", "fdt"), [(12, 514), (14, 130), (16, 34)])
def test_the_device_trees_window(page_shift: int, fdt: int) -> None:
    assert Fixmap.from_config(config(page_shift, 48), NEW, page_shift).fdt == fdt
    old = Fixmap.from_config(config(page_shift, 48), OLD, page_shift).fdt
    assert old << page_shift == 4 << 20


def test_the_fixmap_counts_what_is_configured() -> None:
    ghes = {"ACPI_APEI_GHES": "y", "ARM_SDE_INTERFACE": "y"}
    kpti = {"UNMAP_KERNEL_AT_EL0": "y", "RELOCATABLE": "y"}
    plain = Fixmap.from_config(config(12, 48), NEW, 12)
    full = Fixmap.from_config(config(12, 48, **ghes, **kpti), NEW, 12)
    assert plain.permanent == plain.earlycon + 2
    assert full.permanent == plain.permanent + 4 + 4
    assert full.total - full.permanent == 7 * 65 + 5
    before = Fixmap.from_config(config(12, 48), Release.parse("6.12.110"), 12)
    assert before.total - before.permanent == 7 * 64 + 5


def test_protections() -> None:
    now = protections(NEW, non_global=False, lpa2=False)
    assert [now.kernel, now.kernel_tagged, now.kernel_ro, now.kernel_rox, now.kernel_exec] == [
        0x00E8_0000_0000_0703,
        0x00E8_0000_0000_0707,
        0x00E0_0000_0000_0783,
        0x00C0_0000_0000_0783,
        0x00C8_0000_0000_0703,
    ]
    assert now.device == 0x0068_0000_0000_0713
    assert leaf(now.kernel, 2) == 0x00E8_0000_0000_0701
    assert protections(NEW, non_global=True, lpa2=True).kernel == 0x00E8_0000_0000_0C03
    clean = protections(Release.parse("6.12.77"), non_global=False, lpa2=False)
    assert clean.kernel == 0x0068_0000_0000_0703
    assert now.early(executable=True) == 0x783
    assert leaf(now.early(executable=False), 2) == 0x701


def test_what_cannot_be_laid_out() -> None:
    with pytest.raises(InputError, match="KASAN_SW_TAGS"):
        layout(config(12, 48, KASAN_SW_TAGS="y"), NEW)
    with pytest.raises(InputError, match="ARM64_VA_BITS"):
        layout(Config({"ARM64_4K_PAGES": "y"}), NEW)
