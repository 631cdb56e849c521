"""What follows from the tables of a 32-bit ARM kernel: layout, image, registers."""

from ttbr.kernel.release import Release
from ttbr.mmu.image import LPAE_SPLITS
from ttbr.recover.assumed_registers import lpae_registers, short_registers
from ttbr.recover.finding import Finding, certain, guess, likely
from ttbr.recover.identified import Identified
from ttbr.recover.roots_arm32 import LPAE_ROOT, SHORT_ROOT, ArmKernel
from ttbr.recover.vmcoreinfo import VmcoreInfo

G = 1 << 30
PAGE_SIZE = 4096
ADDRESS_BITS = 32
_SECTION_SHARED = 1 << 16  # S, which only SMP kernels set
# asm/pgtable-3level-hwdef.h: TTBR1_SIZE, the T1SZ by VMSPLIT.
_LPAE_T1SZ = {3 * G: 2, 2 * G: 1}


def arm_facts(
    kernels: list[ArmKernel], info: VmcoreInfo | None, release: Release | None
) -> Identified:
    """Findings about the first of ``kernels``; ``info`` and ``release`` where known."""
    kernel = kernels[0]
    swapper = _swapper(kernels, info)
    sure = swapper.confidence
    size = LPAE_ROOT if kernel.lpae else SHORT_ROOT
    text_pa = kernel.swapper + size
    text_va = text_pa - kernel.phys_offset + kernel.page_offset
    name = "lpae" if kernel.lpae else "short"
    registers = _registers(kernel, release)
    linear = f"sections map RAM from {kernel.phys_offset:#x} on at {kernel.page_offset:#x}"
    return Identified(
        arch=Finding("arm", sure, f"a page directory of {size >> 10} KiB maps the kernel"),
        format=Finding(name, sure, f"{linear}, in {name} descriptors"),
        page_size=certain(PAGE_SIZE, "the only page size of 32-bit ARM"),
        va_bits=certain(ADDRESS_BITS, "32-bit ARM"),
        kernel_root=swapper,
        swapper_pg_dir=swapper,
        registers=registers,
        assumed=tuple(name for name in registers if name != "TTBR1"),
        page_offset=Finding(kernel.page_offset, sure, linear),
        phys_offset=Finding(kernel.phys_offset, sure, linear),
        text_va=Finding(text_va, sure, "_text lies behind swapper_pg_dir"),
        text_pa=Finding(text_pa, sure, "_text lies behind swapper_pg_dir"),
        kaslr_offset=certain(0, "Linux has no KASLR on 32-bit ARM"),
    )


def matching(kernels: list[ArmKernel], info: VmcoreInfo | None) -> list[ArmKernel]:
    """The kernels with the one first whose root is where vmcoreinfo has swapper_pg_dir."""
    noted = None if info is None else info.symbols.get("swapper_pg_dir")
    return sorted(kernels, key=lambda kernel: _root_va(kernel) != noted)


def _root_va(kernel: ArmKernel) -> int:
    return kernel.swapper - kernel.phys_offset + kernel.page_offset


def _swapper(kernels: list[ArmKernel], info: VmcoreInfo | None) -> Finding[int]:
    kernel = kernels[0]
    place = f"maps itself and the kernel, {len(kernels) - 1} other tables share its entries"
    if info is not None and info.symbols.get("swapper_pg_dir") == _root_va(kernel):
        return certain(kernel.swapper, f"vmcoreinfo's swapper_pg_dir; {place}")
    if not kernel.placed:
        return guess(kernel.swapper, f"{place}; but it is not where a kernel has its own")
    rivals = sum(other.placed and not other.user for other in kernels) - 1
    if rivals or kernel.user:
        return likely(kernel.swapper, f"{place}; {rivals} more could be it")
    return certain(kernel.swapper, f"{place}; it lies where head.S puts it")


def _registers(kernel: ArmKernel, release: Release | None) -> dict[str, int]:
    """The registers to walk the kernel's tables with.

    Kernels before CPU_TTBR0_PAN (6.10) give TTBR1 only the kernel's part of swapper_pg_dir.
    """
    if not kernel.lpae:
        return short_registers(kernel.swapper, bool(kernel.section & _SECTION_SHARED))
    splits = kernel.page_offset in _LPAE_T1SZ and kernel.phys_offset <= kernel.page_offset
    if not splits or release is None or release.has("arm_ttbr0_pan"):
        return lpae_registers(kernel.swapper, kernel.swapper, 0)
    t1sz = _LPAE_T1SZ[kernel.page_offset]
    return lpae_registers(kernel.swapper, kernel.swapper + LPAE_SPLITS[t1sz], t1sz)
