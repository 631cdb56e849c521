"""The kernel's virtual address layout on arm64, from its configuration.

Two generations of the layout are told apart by the named behaviour `arm64_vmemmap_at_top`
(6.9 and later: 2G of modules, everything else counted down from the top of the space).
Source: arch/arm64/include/asm/{memory,pgtable,fixmap}.h of 6.1 and 6.12, mm/ptdump.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.errors import InputError
from ttbr.kernel.arm64_fixmap import Fixmap
from ttbr.kernel.arm64_geometry import Geometry
from ttbr.kernel.config import Config
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.release import Release

K = 1 << 10
M = 1 << 20
G = 1 << 30

STRUCT_PAGE = 64
"""sizeof(struct page) that is taken for granted: neither configuration nor symbols state it."""

PCI_IO_SIZE = 16 * M


def _minus(value: int) -> int:
    """−value as an unsigned 64-bit number."""
    return (1 << 64) - value


@dataclass(frozen=True, slots=True)
class Layout:
    """Virtual addresses (64-bit unsigned); ends are exclusive.

    `va_bits` is what the kernel was configured for, `va_bits_actual` what the CPU gives it.
    `page_offset` is the configured constant; the linear map's usable part starts at
    `linear_start`.
    """

    geometry: Geometry
    va_bits: int
    va_bits_min: int
    va_bits_actual: int
    page_offset: int
    linear_start: int
    page_end: int
    modules_vaddr: int
    modules_end: int
    kimage_vaddr: int
    vmalloc_start: int
    vmalloc_end: int
    vmemmap_start: int
    vmemmap_used: int
    vmemmap_end: int
    pci_io_start: int
    pci_io_end: int
    fixaddr_start: int
    fixaddr_tot_start: int
    fixaddr_top: int
    fixmap: Fixmap

    @property
    def linear_size(self) -> int:
        """Bytes of the linear region that the CPU can reach (arm64_memblock_init)."""
        return self.page_end - self.linear_start

    @property
    def root_level(self) -> int:
        """Level of swapper's root as the CPU walks it (`va_bits_actual`), folding applied.

        A 64K kernel keeps its 52-bit root without the hardware (TTBR1 then points into its
        middle); the others drop a level.
        """
        if self.geometry.levels(self.va_bits) == self.geometry.levels(self.va_bits_actual):
            return self.geometry.root_level(self.va_bits)
        return self.geometry.root_level(self.va_bits_actual)

    @property
    def root_entries(self) -> int:
        """Entries of the root table that the kernel indexes."""
        bits = self.va_bits - self.geometry.shift(self.root_level)
        return int(min(1 << bits, self.geometry.entries))


def refuse_kasan(config: Config) -> None:
    """Raise `InputError` for kernels whose layout and tables KASAN shadow memory changes."""
    for option in ("KASAN_GENERIC", "KASAN_SW_TAGS"):
        if config.enabled(option):
            raise InputError(
                f"CONFIG_{option}: KASAN's shadow memory is not modelled; "
                "give a kernel built without it"
            )


def layout(
    config: Config,
    release: Release,
    va_bits_actual: int | None = None,
    struct_page: int = STRUCT_PAGE,
) -> Layout:
    """The layout of a kernel that finds `va_bits_actual` bits (default: the configured ones).

    `struct_page`: sizeof(struct page) in bytes. `InputError` for KASAN kernels and for
    configurations without a page size.
    """
    refuse_kasan(config)
    geometry = Geometry.from_config(config)
    va_bits = geometry.va_bits
    va_bits_min = va_bits
    if va_bits > 48:
        va_bits_min = 47 if config.enabled("ARM64_16K_PAGES") else 48
    actual = va_bits if va_bits_actual is None else va_bits_actual
    page_offset = _minus(1 << va_bits)
    page_end = _minus(1 << (va_bits_min - 1))
    fixmap = Fixmap.from_config(config, release, geometry.page_shift)
    at_top = release.has("arm64_vmemmap_at_top")

    modules_end = page_end + (2 * G if release.has("arm64_modules_2g") else 128 * M)
    if at_top:
        vmemmap_end = _minus(G)
        pages = (page_end - page_offset) >> geometry.page_shift
        vmemmap_start = vmemmap_end - pages * struct_page
        unused = (_minus(1 << actual) - page_offset) >> geometry.page_shift
        vmemmap_used = vmemmap_start + unused * struct_page
        vmalloc_end = vmemmap_used - 8 * M
        pci_io_start = vmemmap_end + 8 * M
        fixaddr_top = _minus(8 * M)
    else:
        shift = geometry.page_shift - (struct_page - 1).bit_length()
        vmemmap_start = _minus(1 << (va_bits - shift))
        vmemmap_end = vmemmap_start + ((page_end - page_offset) >> shift)
        vmemmap_used = vmemmap_start
        vmalloc_end = vmemmap_start - 256 * M
        pci_io_start = vmemmap_start - 8 * M - PCI_IO_SIZE
        fixaddr_top = vmemmap_start - 32 * M
    return Layout(
        geometry=geometry,
        va_bits=va_bits,
        va_bits_min=va_bits_min,
        va_bits_actual=actual,
        page_offset=page_offset,
        linear_start=_minus(1 << actual),
        page_end=page_end,
        modules_vaddr=page_end,
        modules_end=modules_end,
        kimage_vaddr=modules_end,
        vmalloc_start=modules_end,
        vmalloc_end=vmalloc_end,
        vmemmap_start=vmemmap_start,
        vmemmap_used=vmemmap_used,
        vmemmap_end=vmemmap_end,
        pci_io_start=pci_io_start,
        pci_io_end=pci_io_start + PCI_IO_SIZE,
        fixaddr_start=fixaddr_top - fixmap.permanent * geometry.page_size,
        fixaddr_tot_start=fixaddr_top - fixmap.total * geometry.page_size,
        fixaddr_top=fixaddr_top,
        fixmap=fixmap,
    )


def markers(kernel: Kernel, va_bits: int | None = None) -> list[tuple[int, str]]:
    """ptdump's address markers: (virtual address, name), as mm/ptdump.c lists them.

    `va_bits`: what the CPU gives (default: the configured bits).
    """
    return layout_markers(layout(kernel.config, kernel.release, va_bits), kernel.release)


def layout_markers(found: Layout, release: Release) -> list[tuple[int, str]]:
    """ptdump's address markers for a layout, in the order in which that release lists them."""
    start: list[tuple[int, str]] = [
        (found.page_offset, "Linear Mapping start"),
        (found.page_end, "Linear Mapping end"),
        (found.modules_vaddr, "Modules start"),
        (found.modules_end, "Modules end"),
        (found.vmalloc_start, "vmalloc() area"),
        (found.vmalloc_end, "vmalloc() end"),
    ]
    pci = [(found.pci_io_start, "PCI I/O start"), (found.pci_io_end, "PCI I/O end")]
    if release.has("arm64_vmemmap_at_top"):
        vmemmap = [(found.vmemmap_used, "vmemmap start"), (found.vmemmap_end, "vmemmap end")]
        fixmap = [(found.fixaddr_tot_start, "Fixmap start"), (found.fixaddr_top, "Fixmap end")]
        return [*start, *vmemmap, *pci, *fixmap]
    vmemmap = [(found.vmemmap_start, "vmemmap start"), (found.vmemmap_end, "vmemmap end")]
    fixmap = [(found.fixaddr_start, "Fixmap start"), (found.fixaddr_top, "Fixmap end")]
    return [*start, *fixmap, *pci, *vmemmap]
