"""Markers of a kernel that does not hold any: what its release and its tables imply."""

import numpy as np

from ttbr.errors import InputError
from ttbr.kernel.arm64_layout import layout, layout_markers
from ttbr.kernel.arm_layout import (
    FDT_FIXED_BASE,
    FIXADDR_START,
    PAGE_SIZE,
    VECTORS_BASE,
    VMALLOC_OFFSET,
)
from ttbr.kernel.config import Config
from ttbr.kernel.release import Release
from ttbr.mmu.image import Image

Markers = tuple[tuple[int, str], ...]
Computed = tuple[Markers, tuple[str, ...], str]

M = 1 << 20
FIXMAP_START = "Fixmap start"
_PAGE_OPTIONS = {12: "ARM64_4K_PAGES", 14: "ARM64_16K_PAGES", 16: "ARM64_64K_PAGES"}
# PAGE_OFFSET is a multiple of 256 MiB in every VMSPLIT (arch/arm/Kconfig).
_SPLIT_ALIGN = 1 << 28
_ARM_MODULES = 16 * M  # MODULES_VADDR below PAGE_OFFSET, of a kernel that is not Thumb-2


def computed_markers(image: Image, release: Release | None) -> Computed:
    """(markers, names of those that nothing tells, where they come from in words)."""
    return _arm(image) if image.arch == "arm" else _arm64(image, release)


def _arm64(image: Image, release: Release | None) -> Computed:
    """From release, page size and address bits; the fixmap's start depends on much more."""
    if release is None:
        return (), ("all",), "nothing: the kernel's release is not known"
    regime = image.kernel_regime
    options = {
        _PAGE_OPTIONS[regime.levels[-1].shift]: "y",
        "ARM64_VA_BITS": str(regime.input_bits),
    }
    found = layout(Config(options), release)
    markers = [mark for mark in layout_markers(found, release) if mark[1] != FIXMAP_START]
    source = (
        f"the layout of {release} for {regime.input_bits} address bits, without KASAN and with "
        "64 bytes a struct page"
    )
    return tuple(markers), (FIXMAP_START,), source


def _arm(image: Image) -> Computed:
    """From the linear map: where it starts, and where vmalloc begins behind its end."""
    fixed = (
        (FDT_FIXED_BASE, "FDT Area"),
        (FIXADDR_START, "Fixmap Area"),
        (VECTORS_BASE, "Vectors"),
        (VECTORS_BASE + 2 * PAGE_SIZE, "Vectors End"),
    )
    source = "the layout of 32-bit ARM, and the linear map in the kernel's tables"
    mappings = image.address_space("kernel").mappings(end=FDT_FIXED_BASE)
    blocks = mappings.va[mappings.level < image.kernel_regime.format.last_level]
    offset = image.facts.page_offset
    if offset is None or offset < _ARM_MODULES:  # user space and modules lie below the linear map
        candidates = blocks[(blocks % np.uint64(_SPLIT_ALIGN) == 0) & (blocks != 0)]
        if not len(candidates):
            return fixed, ("Modules", "Kernel Mapping", "vmalloc() Area"), source
        offset = int(candidates[0])
    linear = mappings.va - mappings.pa
    here = np.flatnonzero(mappings.va == np.uint64(offset))
    if not len(here):
        raise InputError(f"PAGE_OFFSET {offset:#x} is not mapped by the kernel's tables")
    high_memory = int(mappings.last[linear == linear[here[0]]].max()) + 1
    vmalloc = (high_memory + VMALLOC_OFFSET) & ~(VMALLOC_OFFSET - 1)
    return (
        (
            (offset - _ARM_MODULES, "Modules"),
            (offset, "Kernel Mapping"),
            (vmalloc, "vmalloc() Area"),
            *fixed,
        ),
        (),
        source,
    )
