"""What the handlers of all kinds of faults share.

Source: include/linux/mm.h (struct vm_fault, maybe_mkwrite), mm/memory.c (vm_normal_page),
mm/memory.c: copy_user_highpage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import Vm
from ttbr.run.mm.vma import Vma

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm

SIGBUS = "SIGBUS"


@dataclass(slots=True)
class VmFault:
    """A fault on its way (struct vm_fault).

    ``va``: the first address of the page. ``write``: it is a write. ``done``: the kernel function
    that settled it, and in ``detail`` what it did; ``signal`` what it ends with instead.
    """

    mm: Mm
    area: Vma
    va: int
    write: bool
    done: str = ""
    detail: str = ""
    signal: str = ""

    def settle(self, function: str, detail: str = "") -> None:
        """Note what settled it."""
        self.done, self.detail = function, detail

    @property
    def page_index(self) -> int:
        """Which page of the file it is (vmf->pgoff)."""
        return self.area.page_index(self.va, self.mm.user.page_shift)


def maybe_mkwrite(fault: VmFault, entry: int) -> int:
    """``maybe_mkwrite``: writable if the area is."""
    if fault.area.flags & Vm.WRITE:
        return fault.mm.user.entries.mkwrite(entry)
    return entry


def normal_pfn(mm: Mm, area: Vma, entry: int) -> int | None:
    """``vm_normal_page``: the frame that an entry maps and counts; None for special ones."""
    user = mm.user
    pfn = user.entries.address(entry) >> user.page_shift
    if user.entries.special(entry) or area.flags & Vm.PFNMAP or pfn == user.zero_pfn:
        return None
    return pfn


def copy_page(mm: Mm, source: int, target: int, order: int = 0) -> None:
    """``copy_user_highpage``: 2^order pages from one frame on to another's."""
    ram, size = mm.user.kernel.ram, mm.user.page_size
    ram.zero(target * size, size << order)
    zeros = bytes(size)
    for number in range(1 << order):
        data = ram.read((source + number) * size, size)
        if data != zeros:
            ram.write((target + number) * size, data)
