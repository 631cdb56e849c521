"""Where arm64 kernels load modules: the window next to the kernel, and the wider one with PLTs.

Source: arch/arm64/mm/init.c of 6.12 (module_init_limits, execmem_arch_setup); 6.1
kernel/kaslr.c (kaslr_init) and kernel/module.c (module_alloc).
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.kernel.arm64_layout import Layout
from ttbr.kernel.kernel import Kernel

NEAR = 128 << 20
FAR = 2 << 30
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ModuleRegion:
    """Virtual ranges (start, end) for modules that reach the kernel directly, and with PLTs.

    None where there is no such window. With ``random`` the kernel draws the place from its own
    random numbers, which no input tells, and the ranges are what the windows certainly lie in.
    """

    near: Range | None
    far: Range | None
    random: bool


def module_region(kernel: Kernel, layout: Layout, offset: int) -> ModuleRegion | None:
    """The windows of a kernel that runs ``offset`` above its link address; None without MODULES.

    Which is random is decided by the offset, as the kernel does it.
    """
    if not kernel.config.enabled("MODULES"):
        return None
    page = layout.geometry.page_size
    if not kernel.release.has("arm64_modules_2g"):
        return _around_text(kernel, layout, offset, page)
    start, end = (kernel.symbols[name] + offset for name in ("_text", "_end"))
    if offset < 2 << 20:
        near = (end - NEAR, end) if end - start < NEAR else None
        return ModuleRegion(near, (end - FAR, end) if end - start < FAR else None, random=False)
    near = None
    if not kernel.config.enabled("RANDOMIZE_MODULE_REGION_FULL"):
        near = _bounding(NEAR, (start, end), page)
    # The wider window is around the narrow one, wherever that is.
    return ModuleRegion(near, _bounding(FAR, (start, end), page), random=True)


def _bounding(size: int, inner: Range, page: int) -> Range | None:
    """What a window of ``size`` lies in that has a random place and holds ``inner``."""
    start, end = inner
    if end - start >= size:
        return None
    lowest = start - (size - (end - start)) // page * page
    return lowest, start + size


def _around_text(kernel: Kernel, layout: Layout, offset: int, page: int) -> ModuleRegion:
    """6.1: a window of 128 MiB that ends with the kernel's code, or one that is moved up."""
    text, code_end, end = (kernel.symbols[name] + offset for name in ("_stext", "_etext", "_end"))
    base, room = code_end - NEAR, 0
    random = offset > 0 and kernel.config.enabled("RANDOMIZE_BASE")
    if random and kernel.config.enabled("RANDOMIZE_MODULE_REGION_FULL"):
        base, room = max(end - FAR, layout.modules_vaddr), FAR - (end - text)
    elif random:
        room = NEAR - (code_end - text)
    low, high = base // page * page, base + room
    far = (low, high + FAR) if kernel.config.enabled("ARM64_MODULE_PLTS") else None
    return ModuleRegion((low, high + NEAR), far, random)
