"""swiotlb_init(): bounce buffers for devices that do not reach all memory.

Source: kernel/dma/swiotlb.c; arch/arm64/mm/init.c, arch/arm/mm/init.c: mem_init.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.params import leading_number
from ttbr.kernel.structs import struct_size

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

SLAB_SHIFT = 11  # IO_TLB_SHIFT
SEGMENT = 128  # IO_TLB_SEGSIZE, slabs
DEFAULT_SLABS = (64 << 20) >> SLAB_SHIFT
MIN_SLABS = (1 << 20) >> SLAB_SHIFT
INIT = "swiotlb_init_remap"


@dataclass(slots=True)
class Swiotlb:
    """The settings: slabs of 2 KiB, areas with a lock each, and what ``swiotlb=`` forces."""

    machine: Machine
    slabs: int = DEFAULT_SLABS
    areas: int = 0
    forced: bool = False
    disabled: bool = False

    @classmethod
    def of(cls, machine: Machine) -> Swiotlb:
        """By ``swiotlb=SLABS,AREAS,force|noforce`` (setup_io_tlb_npages)."""
        made = cls(machine)
        for text in machine.params.all("swiotlb"):
            rest = text or ""
            if rest[:1].isdigit():
                count, rest = leading_number(rest)
                made.slabs = _round_up(count, SEGMENT)
            rest = rest.removeprefix(",")
            if rest[:1].isdigit():
                count, rest = leading_number(rest)
                made.adjust_nareas(count)
            rest = rest.removeprefix(",")
            made.forced |= rest == "force"
            made.disabled |= rest == "noforce"
        return made

    @property
    def size(self) -> int:
        """Bytes of the buffer (swiotlb_size_or_default)."""
        return self.slabs << SLAB_SHIFT

    def say(self, text: str) -> None:
        """A line of the kernel's log."""
        self.machine.log.say(f"software IO TLB: {text}")

    def adjust_nareas(self, count: int) -> None:
        """swiotlb_adjust_nareas()."""
        self.areas = 1 << max(count - 1, 0).bit_length()
        self.say(f"area num {self.areas}.")
        if self._round_up_slabs():
            self.say(f"SWIOTLB bounce buffer size roundup to {self.size >> 20}MB")

    def adjust_size(self, size: int) -> None:
        """swiotlb_adjust_size(): another size, unless one was asked for."""
        if self.slabs != DEFAULT_SLABS:
            return
        size = _round_up(size, 1 << SLAB_SHIFT)
        self.slabs = _round_up(size >> SLAB_SHIFT, SEGMENT)
        if self._round_up_slabs():
            size = self.size
        self.say(f"SWIOTLB bounce buffer size adjusted to {size >> 20}MB")

    def init(self, *, needed: bool, limit: int, cpus: int) -> None:
        """swiotlb_init(): the buffer, its slots and its areas.

        Args:
            needed: some device cannot reach all memory.
            limit: where the buffer has to end (ARCH_LOW_ADDRESS_LIMIT).
            cpus: possible CPUs, for the number of areas.
        """
        if self.disabled or not (needed or self.forced):
            return
        kernel, memblock = self.machine.kernel, self.machine.memblock
        page = kernel.page_size
        if not self.areas:
            self.adjust_nareas(cpus)
        slabs, areas = self.slabs, _limited(self.areas, self.slabs)
        function = kernel.caller("swiotlb_memblock_alloc", INIT)
        while True:
            size = _round_up(slabs << SLAB_SHIFT, page)
            buffer = memblock.alloc_try_nid(size, page, function, end=limit)
            if buffer:
                break
            self.say(f"swiotlb_memblock_alloc: Failed to allocate {size} bytes tlb structure")
            if slabs <= MIN_SLABS:
                return
            slabs = _round_up(slabs >> 1, SEGMENT)
            areas = _limited(areas, slabs)
        if slabs != self.slabs:
            self.say(f"SWIOTLB bounce buffer size adjusted {self.slabs} -> {slabs} slabs")
        slots = _round_up(struct_size(kernel, "io_tlb_slot") * slabs, page)
        if not memblock.alloc_try_nid(slots, page, INIT):
            self.say(f"{INIT}: Failed to allocate {slots} bytes align={page:#x}")
            return
        if not kernel.release.has("swiotlb_areas_limited"):
            areas = self.areas
        area = struct_size(kernel, "io_tlb_area")
        if not memblock.alloc_try_nid(area * areas, memblock.cache_line, INIT):
            self.say(f"{INIT}: Failed to allocate mem->areas.")
            return
        bytes_ = slabs << SLAB_SHIFT
        span = f"{memblock.pa(buffer)}-{memblock.pa(buffer + bytes_)}"
        self.say(f"mapped [mem {span}] ({bytes_ >> 20}MB)")

    def _round_up_slabs(self) -> bool:
        """round_up_default_nslabs(): every area is to have a segment, and all be equal."""
        if not self.areas:
            return False
        if self.slabs < SEGMENT * self.areas:
            self.slabs = SEGMENT * self.areas
        elif self.slabs & (self.slabs - 1) == 0:
            return False
        self.slabs = 1 << (self.slabs - 1).bit_length()
        return True


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _limited(areas: int, slabs: int) -> int:
    return slabs // SEGMENT if slabs < areas * SEGMENT else areas
