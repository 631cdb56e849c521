"""The root of an arm64 kernel's tables, found by structure in memory.

Pages that can be roots are found upwards (`table_trees`); each that can be the kernel's is walked,
and the one wins that maps the kernel's image with itself in it and, at another distance, RAM.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.assumed_registers import ADDRESS_BITS
from ttbr.recover.kernel_map import ADDRESSES, WITHOUT_52, Candidate, KernelMap
from ttbr.recover.table_pages import Progress, TablePages
from ttbr.recover.table_trees import kernel_trees
from ttbr.recover.vmcoreinfo import VmcoreInfo

# Roots of one granule and level that are walked: those below map less than these.
_MOST_ROOTS = 8


@dataclass(frozen=True, slots=True)
class Geometry:
    """A page size and address size that Linux can be built for, and the level of its root."""

    granule: int
    va_bits: int
    root_level: int


# arch/arm64/Kconfig: ARM64_VA_BITS_36 … _52. With 52 bits and 4K or 16K pages without LPA2 the
# tables are those of 48 and 47 bits.
GEOMETRIES = (
    Geometry(0x1000, 39, 1),
    Geometry(0x1000, 48, 0),
    Geometry(0x1000, 52, -1),
    Geometry(0x4000, 36, 2),
    Geometry(0x4000, 47, 1),
    Geometry(0x4000, 48, 0),
    Geometry(0x4000, 52, 0),
    Geometry(0x10000, 42, 2),
    Geometry(0x10000, 48, 1),
    Geometry(0x10000, 52, 1),
)


def find_kernel_roots(
    memory: PhysicalMemory, pages: TablePages, progress: Progress | None = None
) -> list[KernelMap]:
    """What can be swapper_pg_dir, best first; empty where no page maps a kernel with itself in it.

    ``pages`` as `find_table_pages` finds them.
    """
    maps = []
    for candidate in _candidates(memory, pages):
        if progress is not None:
            progress(f"walking from {candidate.root:#x}")
        found = KernelMap.of(candidate, memory)
        if found.image_distance is not None:
            maps.append(found)
    return sorted(maps, key=lambda found: found.rank, reverse=True)


def _candidates(memory: PhysicalMemory, pages: TablePages) -> Iterator[Candidate]:
    for granule in sorted({geometry.granule for geometry in GEOMETRIES}):
        geometries = [geometry for geometry in GEOMETRIES if geometry.granule == granule]
        whole = pages.of_size(granule)
        top = min(geometry.root_level for geometry in geometries)
        trees = kernel_trees(memory, whole, granule, top)
        for level in sorted({geometry.root_level for geometry in geometries}):
            for index in trees[level].roots(_MOST_ROOTS).tolist():
                page = int(whole.addresses[index])
                for geometry in geometries:
                    if geometry.root_level == level:
                        yield from _placed(memory, page, geometry)


def _placed(memory: PhysicalMemory, page: int, geometry: Geometry) -> Iterator[Candidate]:
    """The root in ``page``, if its entries in use are where this geometry has them.

    The kernel's image is at the top of the address space, so of two geometries with the same levels
    the one fits whose root ends with the last entry in use. Of a root for 52 bits only the entries
    for the highest 48 are in use where the CPU has no more.
    """
    granule, bits = geometry.granule, geometry.va_bits
    used = np.flatnonzero(np.frombuffer(memory.read(page, granule), "<u8")).tolist()
    entries = Candidate(granule, bits, page, page).regime.levels[0].entries
    fewer = [
        Candidate(granule, other.va_bits, page, page).regime.levels[0].entries
        for other in GEOMETRIES
        if (other.granule, other.root_level) == (granule, geometry.root_level)
        and other.va_bits < bits
    ]
    if used[-1] >= entries or used[-1] < max(fewer, default=0):
        return
    fallback = Candidate.of(granule, bits, WITHOUT_52[granule] if bits == 52 else bits, page)
    if fallback.root != page and used[0] >= (fallback.root - page) // 8:
        yield fallback
    else:
        yield Candidate(granule, bits, page, page)


def noted_kernels(memory: PhysicalMemory, info: VmcoreInfo) -> list[KernelMap]:
    """The kernel that a vmcoreinfo describes, if memory has its tables where it says.

    Kernels before 5.8 do not say what TTBR1 translates: both possibilities are tried then.
    """
    swapper, distance = info.symbols.get("swapper_pg_dir"), info.kimage_voffset
    configured, granule = info.va_bits, info.page_size
    if swapper is None or distance is None or granule is None:
        return []
    if (granule, configured) not in {(item.granule, item.va_bits) for item in GEOMETRIES}:
        return []
    assert configured is not None
    possible = [configured, WITHOUT_52[granule]] if configured == 52 else [configured]
    if info.t1sz is not None:
        possible = [bits for bits in possible if bits == ADDRESS_BITS - info.t1sz]
    page = (swapper - distance) % ADDRESSES
    if page % granule or not memory.contains(np.array([page], np.uint64))[0]:
        return []
    maps = [
        KernelMap.of(Candidate.of(granule, configured, bits, page), memory) for bits in possible
    ]
    fitting = [found for found in maps if found.image_distance == distance]
    return sorted(fitting, key=lambda found: found.rank, reverse=True)
