"""Pages of the kernel's that every process has: vDSO, vvar, 32-bit ARM's signal page.

Source: arch/arm64/kernel/vdso.c, arch/arm/kernel/{process,vdso,signal}.c, mm/mmap.c
(special_mapping_fault).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import MAY, Vm
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_KERNEL

if TYPE_CHECKING:
    from ttbr.run.kernel import RunningKernel

TEXT = Vm.READ | Vm.EXEC | MAY | Vm.DONTEXPAND
DATA = Vm.READ | Vm.MAYREAD | Vm.DONTEXPAND
PFN_DATA = DATA | Vm.PFNMAP
VVAR_PAGES_ARM64 = 2
"""VVAR_NR_PAGES: the data page, and one for time namespaces."""


@dataclass(frozen=True, slots=True)
class SpecialMapping:
    """vm_special_mapping: ``name`` as in /proc/PID/maps, area ``flags``, and ``pages``.

    ``pages``: frame number of each page; None for one that may not be touched (SIGBUS).
    """

    name: str
    flags: Vm
    pages: tuple[int | None, ...]

    @property
    def by_pfn(self) -> bool:
        """Mapped by frame number, as memory that no struct page counts (vmf_insert_pfn)."""
        return bool(self.flags & Vm.PFNMAP)


def special_mappings(kernel: RunningKernel) -> tuple[tuple[SpecialMapping, ...], list[str]]:
    """The mappings of a kernel in the order of their addresses, and what is not known of them."""
    if kernel.arch == "arm64":
        return _arm64(kernel)
    return _arm(kernel)


def _text_pages(kernel: RunningKernel) -> tuple[int, ...]:
    """The frames of the vDSO's code in the kernel image; none if the symbols do not tell."""
    symbols, page = kernel.kernel.symbols, kernel.page_size
    if "vdso_start" not in symbols or "vdso_end" not in symbols:
        return ()
    first = kernel.machine.physical("vdso_start")
    count = -(-(symbols["vdso_end"] - symbols["vdso_start"]) // page)
    return tuple(range(first // page, first // page + count))


def _data_page(kernel: RunningKernel) -> int | None:
    """The frame of the vDSO's data."""
    found = kernel.kernel.symbols.get("vdso_data_store")
    if found is None:
        return None
    return kernel.machine.link_to_physical(found) // kernel.page_size


def _arm64(kernel: RunningKernel) -> tuple[tuple[SpecialMapping, ...], list[str]]:
    text, data = _text_pages(kernel), _data_page(kernel)
    if not text or data is None:
        return (), ["the kernel's symbols do not tell where its vDSO is: processes have none"]
    pages = (data, *(None for _ in range(VVAR_PAGES_ARM64 - 1)))
    vvar = SpecialMapping("[vvar]", PFN_DATA, pages)
    return (vvar, SpecialMapping("[vdso]", TEXT, text)), []


def _arm(kernel: RunningKernel) -> tuple[tuple[SpecialMapping, ...], list[str]]:
    pages = kernel.pages
    sigpage = pages.alloc_pages(0, GFP_KERNEL)
    pages.frames.set_owner(sigpage, Owner.KERNEL)
    found = [SpecialMapping("[sigpage]", TEXT, (sigpage,))]
    if not kernel.kernel.config.enabled("VDSO"):
        return tuple(found), []
    text, data = _text_pages(kernel), _data_page(kernel)
    if not text or data is None:
        why = "the kernel's symbols do not tell where its vDSO is: processes have none"
        return tuple(found), [why]
    found.append(SpecialMapping("[vvar]", DATA, (data,)))
    found.append(SpecialMapping("[vdso]", TEXT, text))
    return tuple(found), []
