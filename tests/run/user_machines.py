"""Machines on which processes differ: page sizes, levels, descriptors, what the CPU marks."""

import functools
from collections.abc import Callable

from arm64_kernels import PLAIN, WIDE
from arm64_kernels import kernel as arm64_kernel
from machines import G, M, board_tree
from machines_up import booted
from memory_maps import COMMON, HUGE

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot
from ttbr.boot.loader import custom
from ttbr.kernel.cpu import Cpu
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.thp import Enabled

OPTIONS = COMMON | HUGE | {"ARM64_CONTPTE": "y", "ARM64_HW_AFDBM": "y", "NR_CPUS": "2"}
POOLS = "hugepagesz={small}K hugepages=6 hugepagesz={large}K hugepages=3"


def made_up(
    release: str,
    page_shift: int,
    va_bits: int,
    *,
    cpu: Cpu = PLAIN,
    command_line: str = "",
    **options: str,
) -> Boot:
    """An arm64 kernel that nobody built, on half a GiB and a bit."""
    chosen = {"bootargs": command_line.encode() + b"\0"}
    tree = board_tree(memory=((G, 640 * M),), chosen=chosen)
    board = Board.from_dtb(blob(tree))
    kernel = arm64_kernel(release, page_shift, va_bits, **(OPTIONS | options))
    return boot(board, kernel, custom(board, G + 2 * M, G + 64 * M), cpu=cpu)


MACHINES: dict[str, Callable[[], Boot]] = {
    "arm": lambda: booted("arm"),
    "arm-lpae": lambda: booted("arm-lpae"),
    "arm64-6.1": lambda: booted("arm64"),
    "arm64-4k": lambda: made_up(
        "6.12.117", 12, 48, command_line=POOLS.format(small=64, large=2048)
    ),
    # Five levels, and a CPU that marks pages as used and written by itself
    "arm64-4k-52": lambda: made_up(
        "6.12.117", 12, 52, cpu=WIDE, command_line=POOLS.format(small=2048, large=32768)
    ),
    "arm64-16k": lambda: made_up(
        "6.12.117",
        14,
        47,
        command_line=POOLS.format(small=2048, large=32768),
        ARCH_FORCE_MAX_ORDER="11",
    ),
    "arm64-64k": lambda: made_up(
        "6.12.117",
        16,
        42,
        command_line="hugepagesz=2048K hugepages=8",
        ARCH_FORCE_MAX_ORDER="13",
    ),
}


@functools.cache
def started(name: str) -> Boot:
    """The boot of a machine, up to the hand-over."""
    return MACHINES[name]()


def allow_huge_pages(kernel: RunningKernel) -> None:
    """Let programs ask for huge pages of every size that there is."""
    thp = kernel.user.user.thp
    if thp.pmd_order:
        thp.enabled = Enabled.MADVISE
        thp.sizes.update(dict.fromkeys(range(2, thp.pmd_order), Enabled.MADVISE))
        thp.sizes[thp.pmd_order] = Enabled.INHERIT
