"""The vmalloc areas of a recording, made again by the model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ttbr.mmu.image import Image
from ttbr.recover.vmalloc import VmallocAreas
from ttbr.run.kernel import RunningKernel
from ttbr.run.vmap_area import Vm, VmStruct


@dataclass(frozen=True)
class Leaf:
    """An entry that maps part of an area: where in it, bytes, level, bits without address."""

    offset: int
    size: int
    level: int
    bits: int
    phys: int


def requested(area: VmStruct) -> bool:
    """Whether one request of vmalloc() or ioremap() made the area: no per-CPU chunk, say."""
    whole = area.flags in (Vm.ALLOC, Vm.IOREMAP)
    return whole and bool(area.flags & Vm.IOREMAP or len(area.pages))


def recorded_areas(found: VmallocAreas) -> list[VmStruct]:
    """The areas as the model keeps them; of their pages only the number."""
    columns = (found.start, found.size, found.flags, found.pa, found.pages)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        VmStruct(start, size, Vm(flags), "", phys_addr=pa, pages=np.zeros(pages, np.uint64))
        for start, size, flags, pa, pages in rows
    ]


def leaves(image: Image, start: int, size: int) -> list[Leaf]:
    """What the tables of an image map in [start, start + size)."""
    found = image.address_space("kernel").mappings(start, start + size)
    keys = found.attribute_keys
    rows = zip(
        *(c.tolist() for c in (found.va, found.size, found.level, found.attributes, found.pa)),
        strict=True,
    )
    return [Leaf(va - start, sz, level, keys[a][0], pa) for va, sz, level, a, pa in rows]


def again(kernel: RunningKernel, area: VmStruct, first: Leaf) -> VmStruct:
    """The model's area of the same request; of ioremap()'s types the one with those bits."""
    size = area.size - kernel.page_size
    if not area.flags & Vm.IOREMAP:
        return kernel.space.vmalloc.find(kernel.vmalloc(size))
    for kind, read_only in product(kernel.space.prot.ioremap, (False, True)):
        made = kernel.ioremap(area.phys_addr, size, kind)
        if read_only and kernel.arch == "arm":  # __arm_iomem_set_ro
            kernel.space.memory.set_memory_ro(made, size // kernel.page_size)
        if leaves(kernel.image(), made, 1)[0].bits == first.bits:
            return kernel.space.vmalloc.find(made)
        kernel.iounmap(made)
    raise AssertionError(f"{area.addr:#x}: no type of ioremap() has the bits {first.bits:#x}")


def alignments(kernel: RunningKernel, stacks: set[int], area: VmStruct) -> int:
    """What the address of an area is aligned to."""
    if area.addr in stacks:
        return 2 * kernel.space.bounds.thread_size
    if not area.flags & Vm.IOREMAP:
        return kernel.page_size
    order = (area.size - kernel.page_size - 1).bit_length()
    smallest = kernel.page_size.bit_length() - 1
    return 1 << min(max(order, smallest), kernel.space.bounds.ioremap_max_order)
