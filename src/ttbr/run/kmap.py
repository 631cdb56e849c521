"""kmap(): a linear address for any page, for highmem one of the pkmap's slots with its count.

Source: mm/highmem.c (kmap_high, kunmap_high, flush_all_zero_pkmaps, map_new_virtual),
arch/arm/include/asm/highmem.h of 6.1 and 6.12. arm has no page colours here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm64.state import Arm64
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.arm_layout import PAGE_SIZE

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace

LAST_PKMAP = 512
"""Slots: as many as one table has entries (PTRS_PER_PTE)."""


class Pkmap:
    """The slots for highmem pages, in one table that the boot has made.

    ``counts``: by slot, 0 free, 1 unused but still in TLBs, n: n − 1 users.
    """

    def __init__(self, space: KernelSpace) -> None:
        self._space = space
        state = space.state
        self.base = None if isinstance(state, Arm64) else state.layout.pkmap_base
        self.counts = [0] * LAST_PKMAP
        self._slots: dict[int, int] = {}
        self._pfns: dict[int, int] = {}
        self._last = 0

    def kmap(self, pfn: int) -> int:
        """kmap: where the page is mapped; one more user if it is highmem.

        `TtbrError` if every slot is in use: the kernel would sleep until one is not.
        """
        linear = self._space.direct_map.page_address(pfn)
        return self.kmap_high(pfn) if linear is None else linear

    def kunmap(self, pfn: int) -> None:
        """kunmap: one user less; nothing to do for a page with a linear address."""
        if self._space.direct_map.page_address(pfn) is None:
            self.kunmap_high(pfn)

    def page_address(self, pfn: int) -> int | None:
        """page_address: the linear address, or the slot's, of which there may be none."""
        linear = self._space.direct_map.page_address(pfn)
        if linear is None and pfn in self._slots:
            return self._address(self._slots[pfn])
        return linear

    def kmap_high(self, pfn: int) -> int:
        """kmap_high: the slot of a highmem page, the one it has or a new one."""
        if pfn not in self._slots:
            self._map_new(pfn)
        slot = self._slots[pfn]
        self.counts[slot] += 1
        return self._address(slot)

    def kunmap_high(self, pfn: int) -> None:
        """kunmap_high: one user less. The mapping stays until the slots run out."""
        slot = self._slots.get(pfn)
        if slot is None or self.counts[slot] < 2:
            raise InputError(f"kunmap of page frame {pfn:#x}, which nobody has kmapped (BUG)")
        self.counts[slot] -= 1

    def mapped(self) -> list[tuple[int, int, int]]:
        """(slot, page frame, count) of the slots that map something, by slot."""
        return [(slot, self._pfns[slot], self.counts[slot]) for slot in sorted(self._pfns)]

    def flush_all_zero_pkmaps(self) -> None:
        """Clear the slots without users, then invalidate the whole range in the TLBs."""
        assert self.base is not None
        unused = [slot for slot, count in enumerate(self.counts) if count == 1]
        for slot in unused:
            self._space.map.clear_page(self._address(slot))
            self.counts[slot] = 0
            del self._slots[self._pfns.pop(slot)]
        end = self.base + LAST_PKMAP * PAGE_SIZE
        what = f"{len(unused)} slots cleared"
        self._space.log.add("kmap", "flush_all_zero_pkmaps", what, self.base, end - 1)
        if unused:
            self._space.tlb.flush_kernel_range(self.base, end)

    def _map_new(self, pfn: int) -> None:
        """map_new_virtual: the next free slot; a flush each time the end is reached."""
        if self.base is None:
            raise InputError("the kernel has no highmem (CONFIG_HIGHMEM)")
        for _ in range(2 * LAST_PKMAP):
            self._last = (self._last + 1) % LAST_PKMAP
            if self._last == 0:
                self.flush_all_zero_pkmaps()
            if self.counts[self._last] == 0:
                break
        else:
            raise TtbrError(
                f"all {LAST_PKMAP} slots of kmap() are in use: the kernel sleeps until one is free"
            )
        slot = self._last
        address = self._address(slot)
        self._space.map.set_page(address, pfn * PAGE_SIZE, self._space.prot.kernel)
        self.counts[slot] = 1
        self._slots[pfn], self._pfns[slot] = slot, pfn
        what = f"page frame {pfn:#x} in slot {slot}"
        self._space.log.add("kmap", "kmap_high", what, address, address + PAGE_SIZE - 1)

    def _address(self, slot: int) -> int:
        assert self.base is not None
        return self.base + slot * PAGE_SIZE
