"""ioremap: device registers in the vmalloc area, with each architecture's memory types.

Source: mm/ioremap.c, arch/arm64/mm/ioremap.c, arch/arm/mm/ioremap.c of 6.1 and 6.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.mapping import SUPERSECTION_SIZE
from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.arm_layout import PMD_SIZE
from ttbr.kernel.arm_prot import domains
from ttbr.run.kernel_map import ArmKernelMap
from ttbr.run.kernel_prot import ARM_TYPES
from ttbr.run.vmap_area import Vm

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace

LIMIT_32_BIT = 1 << 32
RAM_TYPE = "memory"
"""The type by which arm may map RAM: the linear map's own."""


class Ioremap:
    """ioremap() and iounmap(); addresses and sizes in bytes."""

    def __init__(self, space: KernelSpace) -> None:
        self._space = space
        self._page = space.map.page_size

    def ioremap(self, phys: int, size: int, kind: str = "device") -> int:
        """Map `size` bytes at `phys`; the virtual address.

        ``kind``: ``device``, ``wc``, ``cache``; arm64 ``np``; arm ``uncached``, ``exec``,
        ``exec-nc``, ``memory``.
        `InputError` where the kernel returns NULL: RAM, no size, beyond the physical addresses.
        """
        space = self._space
        if kind not in space.prot.ioremap:
            raise InputError(f"no ioremap of type '{kind}': {', '.join(space.prot.ioremap)}")
        if size <= 0 or phys < 0 or phys + size > 1 << 64:
            raise InputError(f"ioremap of {size} bytes at {phys:#x}: no size, or it wraps around")
        offset = phys % self._page
        start = phys - offset
        whole = -(-(size + offset) // self._page) * self._page
        ram = space.machine.memblock.is_map_memory(start)
        if isinstance(space.state, Arm64):
            if kind == "cache" and ram:
                return space.state.phys_to_virt(phys)
            if phys + size - 1 >> space.state.phys_mask_shift:
                raise InputError(f"ioremap of {phys:#x}: beyond the kernel's physical addresses")
            self._refuse_ram(phys, ram=ram)
            return self._generic(start, whole, kind) + offset
        known = self._static(space.state, start, whole, kind)
        if known is not None:
            return known + offset
        self._refuse_ram(phys, ram=ram and kind != RAM_TYPE)
        return self._arm(space.state, start, whole, kind) + offset

    def iounmap(self, address: int) -> None:
        """Undo ioremap(); static mappings of the boot stay (arm)."""
        space = self._space
        page = address // self._page * self._page
        if isinstance(space.state, ArmBoot) and space.state.mapper.static_vm_at(page):
            return
        area = space.vmalloc.areas.find(page)
        if area is None or not area.flags & Vm.IOREMAP:
            raise InputError(f"iounmap of {address:#x}: no ioremap is there")
        if area.flags & Vm.ARM_SECTION_MAPPING:
            assert isinstance(space.map, ArmKernelMap)
            space.map.unmap_sections(area.addr, area.size)
            space.sync_active()
        space.vmalloc.vunmap(page)

    def _refuse_ram(self, phys: int, *, ram: bool) -> None:
        if ram:
            raise InputError(f"ioremap of {phys:#x}: the kernel does not map RAM as device memory")

    def _generic(self, phys: int, size: int, kind: str) -> int:
        """generic_ioremap_prot, by blocks where vmap may use them."""
        space = self._space
        area = space.vmalloc.get_io_area(size, phys, "ioremap")
        space.map.map_range(area.addr, area.addr + size, phys, space.prot.ioremap[kind])
        self._note(area.addr, size, phys, kind)
        return area.addr

    def _static(self, state: ArmBoot, phys: int, size: int, kind: str) -> int | None:
        """find_static_vm_paddr: where a static mapping of the same type has it."""
        if not state.layout.lpae and phys >= LIMIT_32_BIT:
            return None
        for vm in state.mapper.static_vms:
            mapped = vm.mapped
            if mapped is None or mapped.type != ARM_TYPES[kind]:
                continue
            start = mapped.physical // self._page * self._page
            if start <= phys and phys + size <= start + vm.size:
                return vm.address + phys - start
        return None

    def _arm(self, state: ArmBoot, phys: int, size: int, kind: str) -> int:
        """__arm_ioremap_pfn_caller: sections only in a kernel that is neither SMP nor LPAE."""
        space, lpae = self._space, state.layout.lpae
        if not lpae and phys >= LIMIT_32_BIT and phys % SUPERSECTION_SIZE:
            raise InputError(f"ioremap of {phys:#x}: above 4 GiB it must be 16 MiB aligned")
        if state.config.enabled("SMP") or lpae:
            if not lpae and phys + size > LIMIT_32_BIT:
                raise InputError(f"ioremap of {phys:#x}: short descriptors of pages end at 4 GiB")
            return self._generic(phys, size, kind)
        area = space.vmalloc.get_io_area(size, phys, "ioremap")
        assert isinstance(space.map, ArmKernelMap)
        all_bits = phys | size | area.addr
        sect = space.prot.sections[kind]
        super_ok = domains(state.config).io == 0 and phys >= LIMIT_32_BIT
        if super_ok and all_bits % SUPERSECTION_SIZE == 0:
            area.flags |= Vm.ARM_SECTION_MAPPING
            space.map.map_supersections(area.addr, phys, size, sect)
        elif all_bits % PMD_SIZE == 0 and phys + size <= LIMIT_32_BIT:
            area.flags |= Vm.ARM_SECTION_MAPPING
            space.map.map_sections(area.addr, phys, size, sect)
        elif phys + size > LIMIT_32_BIT:
            space.vmalloc.vunmap(area.addr)
            raise TtbrError(f"ioremap of {phys:#x}: short descriptors of pages end at 4 GiB")
        else:
            bits = space.prot.ioremap[kind]
            space.map.map_range(area.addr, area.addr + size, phys, bits)
        self._note(area.addr, size, phys, kind)
        return area.addr

    def _note(self, address: int, size: int, phys: int, kind: str) -> None:
        last = address + size - 1
        self._space.log.add("ioremap", "ioremap", f"{kind}, to {phys:#x}", address, last)
