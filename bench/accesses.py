"""What an access by virtual address costs, with TLBs that hold it and with TLBs that do not."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ttbr.boot.board import Board
from ttbr.boot.boot import boot, default_kernel
from ttbr.boot.loader import qemu
from ttbr.run.cpu.asids import MmContext
from ttbr.run.cpu.cores import TLBS
from ttbr.run.kernel import RunningKernel, run
from work import Group, Work

TREE = Path(__file__).parent.parent / "examples" / "qemu-virt-arm64.dtb"
VA, PAGE, RUN = 0x4000_0000, 0x1000, 16
USER_PAGE = 0x0060_0000_0000_0F43
"""A user's page of normal memory: writable, not executable, not global, accessed, shareable."""
CONTIGUOUS, TABLE, ENTRIES = 1 << 52, 3, 512
SIZES = (1 << 18, 1 << 24, 1 << 26)
CORES = ("Cortex-A53", "Neoverse-N1")
SEED = 1


def access_groups(accesses: int) -> Iterator[Group]:
    """Loads of eight bytes, at random places of 256 KiB, 16 MiB and 64 MiB."""
    for size in SIZES:
        works, facts = [], {}
        places = np.random.default_rng(SEED).integers(0, size // 8, accesses) * 8
        for core in CORES:
            for contiguous in (False, True):
                kernel, frames = user_space(core, size, contiguous=contiguous)
                if not works:
                    works.append(_floor(kernel, frames, places))
                addresses = (places + VA).tolist()
                name = f"{core}, {'contiguous' if contiguous else 'single'} pages"
                works.append(Work(name, lambda k=kernel, a=addresses: _loads(k, a), accesses, 3))
                _loads(kernel, addresses)
                counts = kernel.cpu.tlb.counts
                facts[name] = (
                    f"{counts.hit_rate:.1%} of the loads hit, {counts.reads / accesses:.2f} "
                    f"descriptors read for each, reach {kernel.cpu.tlb.reach() >> 10} KiB"
                )
        yield Group(f"Loads by virtual address from {size >> 10} KiB", "loads", works, facts)


def user_space(core: str, size: int, *, contiguous: bool) -> tuple[RunningKernel, list[int]]:
    """A kernel on a core, with ``size`` bytes mapped at `VA` by hand; and the frames' addresses."""
    board = Board.from_dtb(TREE.read_bytes())
    kernel = run(boot(board, (made := default_kernel(board)), qemu(board, made)), tlbs=TLBS[core])
    allocate = kernel.pages.alloc_pages

    def table() -> int:
        pa = allocate(0) * PAGE
        kernel.ram.write(pa, bytes(PAGE))
        return pa

    pgd = table()
    at = pgd
    for index in (0, 1):
        below = table()
        kernel.tables.set(at, index, below | TABLE)
        at = below
    frames = []
    bits = USER_PAGE | (CONTIGUOUS if contiguous else 0)
    for start in range(0, size, ENTRIES * PAGE):
        last = table()
        kernel.tables.set(at, start // (ENTRIES * PAGE), last | TABLE)
        for index in range(0, min(ENTRIES, (size - start) // PAGE), RUN):
            pa = allocate(RUN.bit_length() - 1) * PAGE
            kernel.tables.fill(last, index, pa | bits, PAGE, RUN)
            frames += range(pa, pa + RUN * PAGE, PAGE)
    kernel.cpus.switch_to(MmContext(pgd))
    return kernel, frames


def _floor(kernel: RunningKernel, frames: list[int], places: np.ndarray) -> Work:
    """The same reads by physical address."""
    table = np.array(frames)
    physical = (table[places // PAGE] + places % PAGE).tolist()

    def read() -> None:
        for pa in physical:
            kernel.ram.read(pa, 8)

    return Work("the same by physical address", read, len(physical), 3)


def _loads(kernel: RunningKernel, addresses: list[int]) -> None:
    load = kernel.cpu.load
    for va in addresses:
        load(va, 8)
