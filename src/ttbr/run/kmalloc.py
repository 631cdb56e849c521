"""kmalloc and kfree: caches of fixed sizes, and pages for what is larger.

Source: mm/slab_common.c: create_kmalloc_caches, kmalloc_info; include/linux/slab.h:
__kmalloc_index, kmalloc_type; mm/slub.c: kmalloc_large, kfree.
"""

from __future__ import annotations

from ttbr.boot.machine import Machine
from ttbr.errors import InputError
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_KERNEL, Gfp
from ttbr.run.page_addresses import PageAddresses
from ttbr.run.page_alloc import PageAllocator
from ttbr.run.slab import Slab, SlabCache
from ttbr.run.slab_order import SlabOrders

ZERO_SIZE_PTR = 16
"""What kmalloc() of no bytes returns: an address that nothing may be read at."""
ODD_SIZES = {96: 32, 192: 64}
"""Caches between the powers of two, and the largest alignment with which there is one."""
_CACHE_LINE = 64  # of every Cortex (CTR_EL0.CWG)
_DMA_ALIGN = 128  # asm/cache.h of arm64: ARCH_DMA_MINALIGN
K = 1 << 10


class Kmalloc:
    """Memory by size in bytes; addresses are those of the linear map.

    ``caches``: by name, as /proc/slabinfo has them.
    """

    def __init__(self, machine: Machine, pages: PageAllocator) -> None:
        """`machine`: as the last stage of the boot left it."""
        self._pages = pages
        self._ram = machine.ram
        self._addresses = PageAddresses(machine)
        self._orders = orders = SlabOrders.of(machine)
        self.sizes = cache_sizes(machine)
        self._types = {"": Gfp(0), "rcl-": Gfp.RECLAIMABLE}
        config = machine.kernel.config
        if config.enabled("MEMCG_KMEM") or (
            config.enabled("MEMCG") and machine.kernel.release.has("mm_structs_of_6_12")
        ):
            self._types["cg-"] = Gfp(0)
        if config.enabled("ZONE_DMA"):
            self._types["dma-"] = Gfp.DMA
        self.caches = {
            _name(kind, size): SlabCache(_name(kind, size), size, pages, orders, gfp)
            for kind, gfp in self._types.items()
            for size in self.sizes
        }
        self._slabs: dict[int, Slab] = {}  # by each of their frames

    def kmalloc(self, size: int, gfp: Gfp = GFP_KERNEL) -> int:
        """``kmalloc``: the virtual address of ``size`` bytes.

        `OutOfMemory` if there are none, `InputError` for more than the largest block of pages.
        """
        if size < 0 or size > self._pages.page_size << self._pages.max_order:
            raise InputError(f"kmalloc of {size} bytes: there is no block of pages for it")
        if not size:
            return ZERO_SIZE_PTR
        if size > self.sizes[-1]:
            return self._large(size, gfp)
        cache = self.cache(size, gfp)
        slab, index = cache.alloc(gfp)
        if slab.pfn not in self._slabs:
            for pfn in range(slab.pfn, slab.pfn + (1 << slab.order)):
                self._slabs[pfn] = slab
        phys = slab.pfn * self._pages.page_size + index * cache.size
        if gfp & Gfp.ZERO:
            self._ram.zero(phys, cache.size)
        return self._virt(phys)

    def kfree(self, address: int) -> None:
        """``kfree``: give back what kmalloc() gave; `InputError` for anything else."""
        if address in (0, ZERO_SIZE_PTR):
            return
        try:
            phys = self._addresses.phys(address)
        except ValueError as error:
            raise InputError(f"kfree of what kmalloc never gave: {error}") from None
        pfn, offset = divmod(phys, self._pages.page_size)
        slab = self._slabs.get(pfn)
        if slab is None:
            frames = self._pages.frames
            if offset or not frames.refcount(pfn) or frames.owner(pfn) != Owner.KERNEL:
                raise InputError(f"kfree of {address:#x}, which kmalloc never gave")
            self._pages.free_pages(pfn, frames.order(pfn))
            return
        index, inside = divmod(phys - slab.pfn * self._pages.page_size, slab.cache.size)
        if inside or index >= slab.objects or index in slab.free:
            raise InputError(f"kfree of {address:#x}, which is no allocated object")
        slab.cache.free(slab, index)
        if slab.pfn not in slab.cache.slabs:
            for each in range(slab.pfn, slab.pfn + (1 << slab.order)):
                del self._slabs[each]

    def cache(self, size: int, gfp: Gfp = GFP_KERNEL) -> SlabCache:
        """``kmalloc_slab``: the cache that serves so many bytes."""
        kind = ""
        if gfp & Gfp.DMA and "dma-" in self._types:
            kind = "dma-"
        elif gfp & Gfp.RECLAIMABLE:
            kind = "rcl-"
        elif gfp & Gfp.ACCOUNT and "cg-" in self._types:
            kind = "cg-"
        return self.caches[_name(kind, next(each for each in self.sizes if size <= each))]

    def _large(self, size: int, gfp: Gfp) -> int:
        order = self._orders.get_order(size)
        return self._virt(self._pages.alloc_pages(order, gfp | Gfp.COMP) * self._pages.page_size)

    def _virt(self, phys: int) -> int:
        found = self._addresses.virt(phys)
        assert found is not None, "kmalloc() gives no highmem"
        return found


def cache_sizes(machine: Machine) -> tuple[int, ...]:
    """The sizes in bytes of the kernel's caches, ascending: up to two pages."""
    least, align = _least_size(machine)
    sizes = {size for size, most in ODD_SIZES.items() if least <= most}
    size = least
    while size <= 2 * machine.kernel.page_size:
        sizes.add(size)
        size *= 2
    # What is no multiple of the alignment is served by the next cache that is.
    aligned = {-(-size // align) * align for size in sizes}
    return tuple(sorted({min(s for s in sizes if s >= each) for each in aligned}))


def _least_size(machine: Machine) -> tuple[int, int]:
    """KMALLOC_MIN_SIZE, and what objects are aligned to for the sake of DMA."""
    kernel = machine.kernel
    if kernel.arch == "arm":
        line = 1 << kernel.config.integer("ARM_L1_CACHE_SHIFT", 6)
        return line, line
    if not kernel.release.has("arm64_small_kmalloc"):
        return _DMA_ALIGN, _DMA_ALIGN
    bounces = kernel.config.enabled("DMA_BOUNCE_UNALIGNED_KMALLOC")
    return 8, 8 if bounces else _CACHE_LINE


def _name(kind: str, size: int) -> str:
    """As /proc/slabinfo has it."""
    short = f"{size // K}k" if size >= K else str(size)
    return f"dma-kmalloc-{short}" if kind == "dma-" else f"kmalloc-{kind}{short}"
