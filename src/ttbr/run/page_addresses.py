"""The addresses of a page frame: in the linear map, and that of its struct page.

Source: include/asm-generic/memory_model.h (FLATMEM, SPARSEMEM, SPARSEMEM_VMEMMAP),
include/linux/mm.h: lowmem_page_address; asm/memory.h of arm64 and arm.
"""

from __future__ import annotations

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.vmemmap import Vmemmap
from ttbr.boot.machine import Machine
from ttbr.kernel.pageblock import max_page_order
from ttbr.kernel.structs import section_shift, struct_size

_SPACE = 1 << 64


class PageAddresses:
    """Frame numbers to virtual addresses and back, as the kernel of a machine computes them."""

    def __init__(self, machine: Machine) -> None:
        """`machine`: as the last stage of the boot left it."""
        kernel = machine.kernel
        self._machine = machine
        self._page_size = kernel.page_size
        self._struct = struct_size(kernel, "page")
        self._section_pages = (1 << section_shift(kernel)) // kernel.page_size
        self._blocks = 1 << max_page_order(kernel)

    def virt(self, phys: int) -> int | None:
        """``__va``: the linear address of a physical one; None for highmem."""
        state = self._machine.arch_state
        if isinstance(state, Arm64):
            return state.phys_to_virt(phys)
        assert isinstance(state, ArmBoot)
        return state.virtual(phys) if phys < state.lowmem.limit else None

    def phys(self, virt: int) -> int:
        """``__pa``: the physical address of a linear one; ValueError outside the linear map."""
        state = self._machine.arch_state
        if isinstance(state, Arm64):
            start = state.layout.page_offset
            if not start <= virt < state.layout.page_end:
                raise ValueError(f"{virt:#x} is not in the linear map")
            return (virt - start + state.memstart) % _SPACE
        assert isinstance(state, ArmBoot)
        if not state.layout.page_offset <= virt < state.lowmem.high_memory:
            raise ValueError(f"{virt:#x} is not in the linear map")
        return state.physical(virt)

    def page_address(self, pfn: int) -> int | None:
        """``lowmem_page_address``: the frame's linear address; None for highmem."""
        return self.virt(pfn * self._page_size)

    def pfn(self, virt: int) -> int:
        """``virt_to_pfn``: the frame of a linear address; ValueError outside the linear map."""
        return self.phys(virt) // self._page_size

    def pfn_to_page(self, pfn: int) -> int:
        """Virtual address of a frame's struct page; ValueError for a frame that has none."""
        state, machine = self._machine.arch_state, self._machine
        if not machine.sections:
            base, first = self._mem_map()
            return base + (pfn - first) * self._struct
        section, index = divmod(pfn, self._section_pages)
        if section not in machine.sections:
            raise ValueError(f"page frame {pfn:#x} has no struct page")
        if machine.section_arrays:
            array = self.virt(machine.section_arrays[section])
            assert array is not None
            return array + index * self._struct
        assert isinstance(state, Arm64)
        return Vmemmap(state).address(pfn * self._page_size)

    def page_to_pfn(self, page: int) -> int:
        """The frame of a struct page, by its virtual address; ValueError if it is none."""
        for base, first, count in self._arrays():
            offset = (page - base) % _SPACE
            if offset < count * self._struct and not offset % self._struct:
                return first + offset // self._struct
        raise ValueError(f"{page:#x} is no struct page")

    def _mem_map(self) -> tuple[int, int]:
        """FLATMEM: the array's address, and the frame that its first element describes."""
        node = self._machine.nodes[0]
        assert node.mem_map is not None
        array = self.virt(node.mem_map)
        assert array is not None
        return array, node.start_pfn // self._blocks * self._blocks

    def _arrays(self) -> list[tuple[int, int, int]]:
        """(virtual address, first frame, frames) of all arrays of struct page."""
        if self._machine.sections:
            firsts = [section * self._section_pages for section in self._machine.sections]
            return [(self.pfn_to_page(first), first, self._section_pages) for first in firsts]
        base, first = self._mem_map()
        node = self._machine.nodes[0]
        return [(base, first, -(-node.end_pfn // self._blocks) * self._blocks - first)]
