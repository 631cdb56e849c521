"""Linux at run time: what the kernel does with memory once the page allocator has it."""

from ttbr.run.gfp import Gfp
from ttbr.run.kernel import RunningKernel, run
from ttbr.run.oom import OutOfMemory

__all__ = ["Gfp", "OutOfMemory", "RunningKernel", "run"]
