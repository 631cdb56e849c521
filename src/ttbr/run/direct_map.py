"""The linear map at run time: where a frame has its linear address, and single pages of it changed.

Source: arch/arm64/mm/pageattr.c (set_direct_map_*_noflush, can_set_direct_map),
include/linux/mm.h (lowmem_page_address).
"""

from __future__ import annotations

from ttbr.boot.arm64.options import can_set_direct_map as page_granular
from ttbr.boot.arm64.options import rodata
from ttbr.boot.machine import Machine
from ttbr.run.kernel_map import KernelMap
from ttbr.run.kernel_prot import KernelProt
from ttbr.run.page_addresses import PageAddresses


class DirectMap:
    """The linear map of a running kernel."""

    def __init__(self, machine: Machine, kernel_map: KernelMap, prot: KernelProt) -> None:
        self._machine = machine
        self._map = kernel_map
        self._prot = prot
        self._addresses = PageAddresses(machine)

    def page_address(self, pfn: int) -> int | None:
        """lowmem_page_address: the frame's linear address; None for highmem."""
        return self._addresses.page_address(pfn)

    @property
    def can_change(self) -> bool:
        """can_set_direct_map(): whether the kernel mapped it by pages, so that one can change.

        Never on 32-bit ARM, whose linear map consists of sections.
        """
        machine = self._machine
        if machine.kernel.arch != "arm64":
            return False
        pool = machine.kfence_pool is not None
        return page_granular(machine.params, machine.kernel.config, kfence_pool=pool)

    @property
    def aliases_follow(self) -> bool:
        """rodata_full: read-only vmalloc memory is read-only through the linear map, too."""
        machine = self._machine
        full = rodata(machine.params, machine.kernel.config) == "full"
        return machine.kernel.arch == "arm64" and full

    def change(self, pfn: int, function: str) -> bool:
        """Change a frame's linear page as `function` does; False where the kernel leaves it alone.

        No TLB maintenance: that is for the caller.
        """
        address = self.page_address(pfn)
        if not self.can_change or address is None:
            return False
        bits = self._prot.changes[function]
        end = address + self._map.page_size
        self._map.change_range(address, end, bits.set_mask, bits.clear_mask)
        return True
