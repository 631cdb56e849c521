"""Memory for modules and other code: next to the kernel, so that branches reach.

Source: mm/execmem.c, arch/arm64/mm/init.c, arch/arm/mm/init.c (execmem_arch_setup) of 6.12;
arch/{arm64,arm}/kernel/module.c (module_alloc) of 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.errors import InputError
from ttbr.run.vmap_area import NoAddressSpace, Vm

if TYPE_CHECKING:
    from ttbr.run.kernel_space import KernelSpace


def module_alloc(space: KernelSpace, size: int, *, base: int | None = None) -> int:
    """Memory of `size` bytes for a module; its address. `vfree` takes it back.

    Where the kernel draws the place of its window at random, ``base`` has to say what was
    observed: the window's first address. Without it `InputError`: the place is not determined.
    """
    region = space.bounds.modules
    if region is None:
        raise InputError("the kernel has no modules (CONFIG_MODULES)")
    windows = [window for window in (region.near, region.far) if window is not None]
    if base is not None:
        windows = [(base, window[1] - window[0] + base) for window in windows[:1]]
    elif region.random:
        raise InputError(
            "where modules go is drawn at random by this kernel: name the window's first address"
        )
    arm = space.machine.kernel.arch == "arm"
    prot = space.prot.kernel_exec if arm else space.prot.kernel
    for number, (start, end) in enumerate(windows):
        try:
            return space.vmalloc.node_range(
                size,
                start=start,
                end=end,
                prot=prot,
                flags=Vm.FLUSH_RESET_PERMS,
                caller="module_alloc",
            )
        except NoAddressSpace:
            if number + 1 == len(windows):
                raise
    raise InputError("the kernel is too large to have room for modules beside it")
