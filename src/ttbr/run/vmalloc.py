"""vmalloc, vmap and what undoes them: areas of kernel addresses with pages behind them.

Source: mm/vmalloc.c of 6.1 and 6.12. What takes no part in it: per-CPU blocks (vm_map_ram), and
the kmalloc memory of the areas' own descriptors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttbr.boot.possible_cpus import possible_cpus
from ttbr.errors import InputError, TtbrError
from ttbr.run.early_areas import early_areas
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_KERNEL, Gfp
from ttbr.run.oom import OutOfMemory
from ttbr.run.vmap_area import NoAddressSpace, Vm, VmapAreas, VmStruct

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace

NO_FLAGS = Vm(0)
POINTER = {"arm64": 8, "arm": 4}
"""Bytes of a pointer."""


class Vmalloc:
    """The vmalloc area of a running kernel; all addresses and sizes in bytes.

    ``start`` and ``end``: VMALLOC_START and VMALLOC_END.
    """

    def __init__(self, space: KernelSpace) -> None:
        machine = space.machine
        self._space = space
        self._machine = machine
        self._bounds = space.bounds
        self._pages = space.pages
        self._map = space.map
        self._page = space.map.page_size
        self._arch = machine.kernel.arch
        self.start, self.end = space.bounds.vmalloc_start, space.bounds.vmalloc_end
        cpus = len(possible_cpus(machine))
        wide = self._arch == "arm64"
        pools = machine.kernel.release.has("vmap_nodes") and wide and cpus > 1
        self.areas = VmapAreas(1 << (64 if wide else 32), self._page, pools=pools, cpus=cpus)
        for area in early_areas(space.state):
            self.areas.add_early(area)

    def vmalloc(self, size: int, *, caller: str = "vmalloc") -> int:
        """Memory of `size` bytes that is contiguous only in virtual addresses; its address.

        `OutOfMemory`, `NoAddressSpace` or `TtbrError` as the kernel fails, `InputError` for size 0.
        """
        return self.node_range(size, caller=caller)

    def vzalloc(self, size: int, *, caller: str = "vzalloc") -> int:
        """As `vmalloc`, zeroed."""
        return self.node_range(size, gfp=GFP_KERNEL | Gfp.ZERO, caller=caller)

    def vmalloc_huge(self, size: int, *, caller: str = "vmalloc_huge") -> int:
        """As `vmalloc`, by PMD blocks where the size and the kernel allow that."""
        return self.node_range(size, flags=Vm.ALLOW_HUGE_VMAP, caller=caller)

    def node_range(
        self,
        size: int,
        *,
        align: int = 1,
        start: int | None = None,
        end: int | None = None,
        gfp: Gfp = GFP_KERNEL,
        prot: int | None = None,
        flags: Vm = NO_FLAGS,
        caller: str,
    ) -> int:
        """__vmalloc_node_range: the general form; `prot` is PAGE_KERNEL if left out."""
        if size <= 0:
            raise InputError(f"an area of {size} bytes cannot be allocated")
        if size // self._page > self.total_pages:
            raise TtbrError(f"vmalloc error: size {size}, exceeds total pages")
        low = self.start if start is None else start
        high = self.end if end is None else end
        bits = self._space.prot.kernel if prot is None else prot
        order = self._huge_order(size) if flags & Vm.ALLOW_HUGE_VMAP else 0
        for tried in dict.fromkeys((order, 0)):
            block = max(align, self._page << tried)
            area: VmStruct | None = None
            try:
                area = self._get_vm_area(size, block, low, high, flags | Vm.ALLOC, caller, tried)
                self._fill(area, gfp, bits, tried)
            except (OutOfMemory, NoAddressSpace):
                if area is not None:
                    self._remove(area)
                if tried:
                    continue
                raise
            self._note("vmalloc", area, f"{len(area.pages)} pages")
            return area.addr
        raise AssertionError("the last try is one of single pages")

    def vmap(
        self, pfns: NDArray[np.uint64], *, prot: int | None = None, caller: str = "vmap"
    ) -> int:
        """Map frames that the caller has side by side; the address. They stay the caller's."""
        if not len(pfns) or len(pfns) > self.total_pages:
            raise InputError(f"vmap of {len(pfns)} pages: that is none, or more than there are")
        bits = self._space.prot.kernel if prot is None else prot
        size = len(pfns) * self._page
        area = self._get_vm_area(size, 1, self.start, self.end, Vm.MAP, caller, 0)
        try:
            self._map.map_pages(area.addr, pfns, bits)
        except TtbrError:
            self._remove(area)
            raise
        self._note("vmap", area, f"{len(pfns)} pages")
        return area.addr

    def get_io_area(self, size: int, phys: int, caller: str) -> VmStruct:
        """get_vm_area(VM_IOREMAP): addresses for ioremap, aligned by their size."""
        order = min(
            max((size - 1).bit_length(), self._page.bit_length() - 1),
            self._bounds.ioremap_max_order,
        )
        area = self._get_vm_area(size, 1 << order, self.start, self.end, Vm.IOREMAP, caller, 0)
        area.phys_addr = phys
        return area

    def find(self, address: int) -> VmStruct:
        """The area that holds an address; `InputError` if none does."""
        area = self.areas.find(address)
        if area is None:
            raise InputError(f"Trying to vfree() nonexistent vm area ({address:#x})")
        return area

    def vfree(self, address: int) -> None:
        """Unmap the area at an address and free its pages. Its addresses wait for a purge."""
        area = self._unmap(address, "vfree")
        if area.flags & Vm.FLUSH_RESET_PERMS:
            self._reset_perms(area)
        self._free_pages(area)

    def vunmap(self, address: int) -> None:
        """Unmap the area at an address; its pages belong to who called vmap."""
        self._unmap(address, "vunmap")

    def vm_unmap_aliases(self) -> None:
        """Purge what was freed lazily, with the TLB flush that makes its addresses free."""
        self._purge("vm_unmap_aliases")

    def alloc_thread_stack(self) -> int:
        """A kernel stack of a new task (VMAP_STACK): aligned to twice its size."""
        size = self._bounds.thread_size
        return self.node_range(size, align=2 * size, caller="kernel_clone")

    def _get_vm_area(
        self, size: int, align: int, start: int, end: int, flags: Vm, caller: str, order: int
    ) -> VmStruct:
        """__get_vm_area_node: a place for `size`, in whole blocks of `order`, and a guard page."""
        block = self._page << order
        whole = -(-size // block) * block + (0 if flags & Vm.NO_GUARD else self._page)
        area = VmStruct(0, whole, flags, caller, page_order=order)
        own = start == self.start and end == self.end
        flushed = self.areas.alloc(area, align, start, end, pool=own)
        if flushed is not None:
            self._flushed(flushed, "alloc_vmap_area")
        return area

    def _fill(self, area: VmStruct, gfp: Gfp, prot: int, order: int) -> None:
        """__vmalloc_area_node: the array of pages, the pages, and their mapping."""
        count = (area.size - self._guard(area)) // self._page
        if count * POINTER[self._arch] > self._page:
            array = count * POINTER[self._arch]
            area.vpages = self.node_range(array, gfp=gfp | Gfp.ZERO, caller=area.caller)
        if not gfp & (Gfp.DMA | Gfp.DMA32):
            gfp |= Gfp.HIGHMEM
        if order == 0:
            area.pages = self._pages.alloc_bulk(count, gfp)
            for pfn in area.pages.tolist():
                self._pages.frames.set_owner(pfn, Owner.VMALLOC)
            self._map.map_pages(area.addr, area.pages, prot)
            return
        step = 1 << order
        blocks: list[int] = []
        try:
            blocks.extend(self._pages.alloc_pages(order, gfp) for _ in range(count // step))
        finally:
            firsts: NDArray[np.uint64] = np.array(blocks, np.uint64)[:, None]
            area.pages = (firsts + np.arange(step, dtype=np.uint64)).ravel().astype(np.uint64)
        for row, pfn in enumerate(blocks):
            self._pages.frames.set_owner(pfn, Owner.VMALLOC)
            at = area.addr + row * step * self._page
            shift = (step * self._page).bit_length() - 1
            self._map.map_range(at, at + step * self._page, pfn * self._page, prot, shift)

    def _free_pages(self, area: VmStruct) -> None:
        """Free an area's pages, blocks as blocks, and what held their array."""
        if area.page_order:
            for pfn in area.pages[:: 1 << area.page_order].tolist():
                self._pages.free_pages(pfn, area.page_order)
        else:
            self._pages.free_bulk(area.pages)
        if area.vpages is not None:
            self.vfree(area.vpages)

    def _unmap(self, address: int, function: str) -> VmStruct:
        """remove_vm_area: unmap an area, and let its addresses wait for a purge."""
        if address % self._page:
            raise InputError(f"Trying to vfree() bad address ({address:#x})")
        area = self.find(address)
        self._note(function, area, f"{len(area.pages)} pages")
        self._remove(area, pages=False)
        return area

    def _remove(self, area: VmStruct, *, pages: bool = True) -> None:
        self._map.unmap_range(area.addr, area.end)
        due = self.areas.free_lazily(area)
        if pages:
            self._free_pages(area)
        if due:
            self._purge("drain_vmap_area_work")

    def _reset_perms(self, area: VmStruct) -> None:
        """vm_reset_perms: the linear map's pages get their usual permissions back."""
        direct = self._space.direct_map
        pfns = area.pages.tolist()
        changed = [pfn for pfn in pfns if direct.change(pfn, "set_direct_map_invalid_noflush")]
        addresses = [direct.page_address(pfn) or 0 for pfn in changed]
        flushed = self.areas.purge()
        spans = ([flushed] if flushed else []) + [(at, at + self._page) for at in addresses]
        if spans:
            whole = min(low for low, _ in spans), max(high for _, high in spans)
            self._flushed(whole, "_vm_unmap_aliases")
        for pfn in changed:
            direct.change(pfn, "set_direct_map_default_noflush")

    def _purge(self, function: str) -> None:
        flushed = self.areas.purge()
        if flushed is not None:
            self._flushed(flushed, function)

    def _flushed(self, span: tuple[int, int], function: str) -> None:
        start, end = span
        self._space.log.add("purge", function, "lazily freed areas are free", start, end - 1)
        self._space.tlb.flush_kernel_range(start, end)

    def _huge_order(self, size: int) -> int:
        """log2 of the pages of a PMD block, if vmalloc may use those for `size` bytes; else 0."""
        if self._machine.params.given("nohugevmalloc"):
            return 0
        shifts = self._map.block_shifts()
        per_node = size // len(self._machine.numa.online)
        if not shifts or per_node < 1 << shifts[-1]:
            return 0
        return shifts[-1] - (self._page.bit_length() - 1)

    def _guard(self, area: VmStruct) -> int:
        return 0 if area.flags & Vm.NO_GUARD else self._page

    @property
    def total_pages(self) -> int:
        """totalram_pages(): what all zones manage."""
        return sum(zone.managed for zone in self._pages.zones)

    def _note(self, kind: str, area: VmStruct, what: str) -> None:
        """An event; it ends before the guard page."""
        last = area.end - self._guard(area) - 1
        self._space.log.add(kind, kind, what, area.addr, last)
