"""The kernel's own tables at run time: what vmalloc, ioremap, fixmap and kmap write."""

from ttbr.run.kernel_map.arm import ArmKernelMap
from ttbr.run.kernel_map.arm64 import Arm64KernelMap
from ttbr.run.kernel_map.entry import Entry, NotByPages

KernelMap = Arm64KernelMap | ArmKernelMap
"""The tables below swapper_pg_dir of one architecture; both have the same methods."""

__all__ = ["Arm64KernelMap", "ArmKernelMap", "Entry", "KernelMap", "NotByPages"]
