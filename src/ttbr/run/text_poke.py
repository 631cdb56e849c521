"""Patching code that is mapped read-only: through a writable page of the fixmap.

Source: arch/arm64/kernel/patching.c, arch/arm/kernel/patch.c of 6.1 and 6.12.
"""

from __future__ import annotations

from ttbr.boot.arm64.state import Arm64
from ttbr.errors import InputError
from ttbr.run.cpu.cpu import CpuState
from ttbr.run.kernel_space import KernelSpace
from ttbr.run.vmap_area import Vm


def text_poke(space: KernelSpace, cpu: CpuState, address: int, code: bytes) -> None:
    """Write ``code`` over what is at a kernel or module address, page by page.

    `InputError` for an address that is neither the kernel's code nor mapped by vmalloc.
    """
    page = space.map.page_size
    done = 0
    while done < len(code):
        here = address + done
        size = min(page - here % page, len(code) - done)
        phys = _code_page(space, here)
        if phys is None:
            cpu.store(here, code[done : done + size], el=1)
        else:
            index = space.fixmap.text_poke[0]
            window = space.fixmap.set(index, phys, space.prot.kernel)
            try:
                cpu.store(window + here % page, code[done : done + size], el=1)
            finally:
                space.fixmap.clear(index)
        done += size
    space.log.add("patch", "text_poke", f"{len(code)} bytes", address, address + len(code) - 1)


def _code_page(space: KernelSpace, address: int) -> int | None:
    """The page that holds code; None where it is written in place (arm, not read-only)."""
    state, config = space.state, space.machine.kernel.config
    symbols = space.machine.kernel.symbols
    slide = state.kaslr_offset if isinstance(state, Arm64) else 0
    start, end = symbols["_stext"] + slide, symbols["_etext"] + slide
    page = space.map.page_size
    if start <= address < end:
        if not isinstance(state, Arm64) and not config.enabled("STRICT_KERNEL_RWX"):
            return None
        return space.machine.link_to_physical(address - slide) // page * page
    if not isinstance(state, Arm64) and not config.enabled("STRICT_MODULE_RWX"):
        return None
    entry, area = space.map.entry(address), space.vmalloc.areas.find(address)
    if entry.phys is None or area is None or not area.flags & Vm.ALLOC:
        raise InputError(f"{address:#x} is neither the kernel's code nor that of a module")
    return entry.phys // page * page
