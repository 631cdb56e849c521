"""The fixmap at run time: slots of fixed virtual addresses, and what maps something into them.

Source: arch/arm64/mm/fixmap.c (6.1: mm/mmu.c), arch/arm/mm/mmu.c (__set_fixmap),
asm/fixmap.h of both, mm/early_ioremap.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.arm64.state import Arm64
from ttbr.errors import InputError
from ttbr.kernel.arm64_fixmap import BTMAP_SIZE, BTMAP_SLOTS
from ttbr.kernel.arm_layout import FIX_EARLYCON_MEM_BASE, FIXADDR_TOP

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace

KM_MAX_IDX, KM_MAX_IDX_DEBUG = 16, 33
"""Slots of kmap_local for each CPU, and with CONFIG_DEBUG_KMAP_LOCAL."""
FIX_KMAP_BEGIN = FIX_EARLYCON_MEM_BASE + 1


class Fixmap:
    """The slots; slot i lies i pages below ``top``.

    ``text_poke``: the slots that code is patched through. ``kmap_slots``: of kmap_local, for each
    CPU (arm; they begin at `FIX_KMAP_BEGIN`).
    """

    def __init__(self, space: KernelSpace) -> None:
        self._space = space
        self._page = space.map.page_size
        state = space.state
        self._early: dict[int, tuple[int, int]] = {}
        if isinstance(state, Arm64):
            found = state.layout.fixmap
            self.top = state.layout.fixaddr_top
            self.kmap_slots = 0
            self.text_poke: tuple[int, ...] = (found.earlycon + 1,)
            self._count = found.total
            self._permanent = found.permanent
            extra = state.machine.kernel.release.has("arm64_btmap_extra_page")
            self._early_pages = BTMAP_SIZE // self._page + extra
            self._fdt: int | None = found.fdt
        else:
            config = state.config
            debug = config.enabled("DEBUG_KMAP_LOCAL")
            self.top = FIXADDR_TOP
            self.kmap_slots = KM_MAX_IDX_DEBUG if debug else KM_MAX_IDX
            behind = FIX_KMAP_BEGIN + self.kmap_slots * config.integer("NR_CPUS", 1)
            self.text_poke = (behind, behind + 1)
            self._count = behind + 2
            self._permanent = FIX_KMAP_BEGIN
            self._early_pages = 0
            self._fdt = None

    def address(self, index: int) -> int:
        """__fix_to_virt: the virtual address of a slot."""
        return self.top - index * self._page

    def set(self, index: int, phys: int, protection: int) -> int:
        """__set_fixmap: map the page at `phys` into a slot; the slot's address.

        arm64 does not invalidate the TLB here: a slot is cleared before it is used again.
        """
        address = self._checked(index)
        self._space.map.set_page(address, phys // self._page * self._page, protection)
        if not isinstance(self._space.state, Arm64):
            self._space.tlb.flush_kernel_page(address)
        self._space.log.add("fixmap", "__set_fixmap", f"to {phys:#x}", address, self._last(address))
        return address

    def clear(self, index: int) -> None:
        """clear_fixmap: unmap a slot, in the TLB too."""
        address = self._checked(index)
        self._space.map.clear_page(address)
        self._space.log.add("fixmap", "clear_fixmap", "", address, self._last(address))
        self._space.tlb.flush_kernel_page(address)

    def slots(self) -> list[tuple[int, int, int]]:
        """(index, address, physical address) of the slots that map something, by index."""
        found = []
        for index in range(self._count):
            entry = self._space.map.entry(self.address(index))
            if entry.phys is not None:
                found.append((index, self.address(index), entry.phys))
        return found

    def name(self, index: int) -> str:
        """What a slot is for."""
        if index in self.text_poke:
            return f"TEXT_POKE{self.text_poke.index(index)}"
        if self._fdt is not None and index <= self._fdt:
            return "FDT"
        if index == (FIX_EARLYCON_MEM_BASE if self._fdt is None else self._fdt + 1):
            return "EARLYCON"
        if self._fdt is None:
            cpu, slot = divmod(index - FIX_KMAP_BEGIN, self.kmap_slots)
            return f"KMAP CPU {cpu} slot {slot}"
        first = index - self._permanent
        if first >= 0 and first < BTMAP_SLOTS * self._early_pages:
            return f"BTMAP slot {BTMAP_SLOTS - 1 - first // self._early_pages}"
        return "page table" if first >= 0 else "firmware errors, trampoline"

    def early_ioremap(self, phys: int, size: int, protection: int | None = None) -> int:
        """early_ioremap: map devices (or with another protection memory) into boot-time slots.

        `InputError` where the kernel warns and returns NULL: no free slot, too large; on 32-bit
        ARM always, where these slots belong to kmap_local once the final tables are in use.
        """
        if not self._early_pages:
            raise InputError("early_ioremap after paging_init is a BUG on 32-bit ARM")
        free = [slot for slot in range(BTMAP_SLOTS) if self._slot_start(slot) not in self._early]
        offset = phys % self._page
        pages = -(-(offset + size) // self._page)
        if not free:
            raise InputError(f"__early_ioremap({phys:#x}, {size:08x}) not found slot")
        if size <= 0 or pages > self._early_pages:
            raise InputError(
                f"early_ioremap of {size} bytes: a slot holds 1 to {self._early_pages} pages"
            )
        index = self._slot_start(free[0])
        bits = self._space.prot.fixmap_io if protection is None else protection
        for number in range(pages):
            self.set(index - number, phys - offset + number * self._page, bits)
        self._early[index] = (offset, pages)
        return self.address(index) + offset

    def early_iounmap(self, address: int) -> None:
        """early_iounmap: clear the slot that `early_ioremap` gave this address of."""
        for index, (offset, pages) in self._early.items():
            if self.address(index) + offset == address:
                for number in range(pages):
                    self.clear(index - number)
                del self._early[index]
                return
        raise InputError(f"early_iounmap({address:#x}) not found slot")

    def _slot_start(self, slot: int) -> int:
        """The index of a boot-time slot's first page, which has its lowest address."""
        return self._permanent + (BTMAP_SLOTS - slot) * self._early_pages - 1

    def _checked(self, index: int) -> int:
        """The address of a slot; `InputError` where the kernel has a BUG()."""
        lowest = 1 if isinstance(self._space.state, Arm64) else 0
        if not lowest <= index < self._count:
            raise InputError(f"the fixmap has slots {lowest} to {self._count - 1}, not {index}")
        return self.address(index)

    def _last(self, address: int) -> int:
        return address + self._page - 1
