"""Root tables of processes.

Source: arch/arm64/mm/pgd.c; arch/arm/mm/pgd.c, whose roots hold the kernel's entries, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot
from ttbr.kernel.arm_prot import PGD_SWAPPER
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_KERNEL, GFP_PGTABLE_USER, Gfp
from ttbr.run.slab import SlabCache
from ttbr.run.slab_order import SlabOrders

if TYPE_CHECKING:
    from ttbr.run.kernel import RunningKernel
    from ttbr.run.mm.page_tables import UserTables
    from ttbr.run.mm.user_space import UserSpace

SHORT_ORDER = 2
"""log2 of the pages of a root with short descriptors: 16 KiB."""
SHORT_ENTRIES = 4096
LPAE_ENTRIES = 4


class SmallRoots:
    """Roots that are smaller than a page: from pgd_cache, with LPAE from kmalloc().

    ``cache``: pgd_cache. It shares no slabs with other caches of that size (slab merging).
    """

    def __init__(self, kernel: RunningKernel, size: int) -> None:
        """`size`: bytes of a root."""
        self._kernel, self._size = kernel, size
        self.cache: SlabCache | None = None
        if kernel.arch == "arm64" and size < kernel.page_size:
            orders = SlabOrders.of(kernel.machine)
            self.cache = SlabCache("pgd_cache", size, kernel.pages, orders, Gfp(0))

    def alloc(self) -> int:
        """Physical address of room for a root; `OutOfMemory` without it."""
        if self.cache is None:
            return self._kernel.addresses.phys(self._kernel.kmalloc(self._size))
        slab, index = self.cache.alloc(GFP_PGTABLE_USER)
        return slab.pfn * self._kernel.page_size + index * self._size

    def free(self, root: int) -> None:
        """Give a root back."""
        if self.cache is None:
            address = self._kernel.addresses.virt(root)
            assert address is not None, "kmalloc() gives no highmem"
            self._kernel.kfree(address)
            return
        page = self._kernel.page_size
        for slab in self.cache.slabs.values():
            index, rest = divmod(root - slab.pfn * page, self._size)
            if 0 <= index < slab.objects and not rest:
                self.cache.free(slab, index)
                return
        raise AssertionError(f"{root:#x} is no root of this cache")


def root_bytes(user: UserSpace) -> int:
    """Bytes of a root table (PGD_SIZE)."""
    return SHORT_ENTRIES * 4 if user.short else user.levels[0].entries * 8


def new_root(user: UserSpace) -> int:
    """Memory for a root, zeros on arm64; its physical address. `OutOfMemory` without it."""
    if root_bytes(user) < user.page_size:
        root = user.small_roots.alloc()
        user.kernel.ram.write(root, bytes(root_bytes(user)))
        return root
    pages = user.pages
    gfp = GFP_KERNEL if user.arm else GFP_PGTABLE_USER
    pfn = pages.alloc_pages(SHORT_ORDER if user.short else 0, gfp)
    pages.frames.set_owner(pfn, Owner.TABLE)
    return pfn * user.page_size


def fill_root(user: UserSpace, tables: UserTables) -> None:
    """``pgd_alloc`` of 32-bit ARM: the kernel's first-level entries, as they are now.

    With LPAE a PMD table comes on top, for modules and pkmap, which share the last GiB of user
    space. `OutOfMemory` without it.
    """
    if not user.arm:
        return
    layout, swapper = _state(user).layout, _state(user).tables.root
    if user.short:
        # Pairs of entries, for 2 MiB each
        count, of_user = SHORT_ENTRIES, layout.task_size >> user.levels[0].shift << 1
    else:
        count, of_user = LPAE_ENTRIES, layout.page_offset >> user.levels[0].shift
    tables.writes.clear(tables.root, 0, of_user)
    kernel = tables.writes.get_many(swapper, of_user, count - of_user)
    tables.writes.store(tables.root, of_user, kernel)
    if not user.short:
        tables.find(layout.modules_vaddr, 1, alloc=True)


def free_root(user: UserSpace, tables: UserTables) -> None:
    """``pgd_free``: give the root back, and what is left below it.

    That is, on 32-bit ARM, the table of the first 2 MiB, which areas share with FIRST_USER_ADDRESS,
    and with LPAE PMD tables.
    """
    table = tables.pte_table(0) if user.arm else None
    if table is not None:
        above = tables.find(0, tables.pmd_level)
        assert above is not None
        tables.write(above, tables.pmd_level, 0, 0)
        tables.free_table(table, tables.last)
    if user.arm and not user.short:
        for va in range(0, LPAE_ENTRIES << user.levels[0].shift, user.levels[0].size):
            entry = tables.read(tables.root, 0, va)
            if entry and not entry & PGD_SWAPPER:
                tables.write(tables.root, 0, va, 0)
                tables.free_table(tables.entries.address(entry), 1)
    if root_bytes(user) < user.page_size:
        user.small_roots.free(tables.root)
    else:
        order = SHORT_ORDER if user.short else 0
        user.pages.free_pages(tables.root // user.page_size, order)


def _state(user: UserSpace) -> ArmBoot:
    state = user.kernel.machine.arch_state
    assert isinstance(state, ArmBoot)
    return state
