"""set_memory_ro() and its relatives: permissions of vmalloc memory, page by page.

What the kernel refuses is refused here: arm64 changes only what one vmalloc area holds, since a
live block may not be split under the CPUs' feet; arm only the modules' and vmalloc's addresses.

Source: arch/arm64/mm/pageattr.c, arch/arm/mm/pageattr.c of 6.1 and 6.12 (the same in both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot
from ttbr.errors import InputError
from ttbr.kernel.arm64_prot import RDONLY
from ttbr.kernel.arm_layout import VMALLOC_END
from ttbr.run.vmap_area import Vm

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace


class SetMemory:
    """The functions of asm/set_memory.h by their names."""

    def __init__(self, space: KernelSpace) -> None:
        self._space = space
        self._page = space.map.page_size

    def set_memory_ro(self, address: int, pages: int) -> None:
        """Make ``pages`` pages from ``address`` on read-only."""
        self._change("set_memory_ro", address, pages)

    def set_memory_rw(self, address: int, pages: int) -> None:
        """Make them writable."""
        self._change("set_memory_rw", address, pages)

    def set_memory_x(self, address: int, pages: int) -> None:
        """Make them executable."""
        self._change("set_memory_x", address, pages)

    def set_memory_nx(self, address: int, pages: int) -> None:
        """Make them not executable."""
        self._change("set_memory_nx", address, pages)

    def set_memory_valid(self, address: int, pages: int, *, enable: bool) -> None:
        """Make them valid or invalid; wherever they are mapped by pages."""
        self._common("set_memory_valid" if enable else "set_memory_invalid", address, pages)

    def set_direct_map_invalid(self, pfn: int) -> bool:
        """set_direct_map_invalid_noflush: whether the frame's linear page is invalid now."""
        return self._space.direct_map.change(pfn, "set_direct_map_invalid_noflush")

    def set_direct_map_default(self, pfn: int) -> bool:
        """set_direct_map_default_noflush: whether the frame's linear page is as usual now."""
        return self._space.direct_map.change(pfn, "set_direct_map_default_noflush")

    def _change(self, function: str, address: int, pages: int) -> None:
        """change_memory_common; `InputError` where the kernel answers EINVAL."""
        if address % self._page or pages < 0:
            raise InputError(f"{function}: {address:#x} is no page's address, or {pages} no number")
        end = address + pages * self._page
        state = self._space.state
        if isinstance(state, ArmBoot):
            self._check_arm(state, function, address, end)
        else:
            self._check_arm64(function, address, end)
            self._aliases(function, address)
            self._space.vmalloc.vm_unmap_aliases()
        if pages:
            self._common(function, address, pages)

    def _check_arm64(self, function: str, address: int, end: int) -> None:
        area = self._space.vmalloc.areas.find(address)
        if area is None or end > area.end or not area.flags & Vm.ALLOC:
            raise InputError(
                f"{function}: {address:#x}-{end - 1:#x} is not within one vmalloc area (EINVAL): "
                "only those are surely mapped by pages"
            )

    def _check_arm(self, state: ArmBoot, function: str, address: int, end: int) -> None:
        layout = state.layout
        ranges = (
            (layout.modules_vaddr, layout.modules_end),
            (state.vmalloc_start, VMALLOC_END),
        )
        if not any(low <= address and end <= high for low, high in ranges):
            raise InputError(
                f"{function}: {address:#010x}-{end - 1:#010x} is neither among the modules nor in "
                "the vmalloc area (EINVAL)"
            )

    def _aliases(self, function: str, address: int) -> None:
        """rodata_full: what is read-only, or no longer, is so through the linear map as well."""
        space = self._space
        bits = space.prot.changes[function]
        touches = RDONLY in (bits.set_mask, bits.clear_mask)
        area = space.vmalloc.areas.find(address)
        if not touches or not space.direct_map.aliases_follow or area is None:
            return
        for pfn in area.pages.tolist():
            linear = space.direct_map.page_address(pfn)
            assert linear is not None
            self._common(function, linear, 1)

    def _common(self, function: str, address: int, pages: int) -> None:
        """__change_memory_common: the entries, then the TLB."""
        space = self._space
        bits = space.prot.changes[function]
        end = address + pages * self._page
        space.map.change_range(address, end, bits.set_mask, bits.clear_mask)
        space.log.add("protect", function, f"{pages} pages", address, end - 1)
        space.tlb.flush_kernel_range(address, end)
