"""What the pages of processes cost: brought in all at once, one fault each, and copied by fork."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ttbr.boot.board import Board
from ttbr.boot.boot import boot, default_kernel
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import with_memory
from ttbr.boot.loader import qemu
from ttbr.kernel.vm_flags import Madvise
from ttbr.run.kernel import RunningKernel, run
from ttbr.run.mm.process import Process
from work import Group, Work

TREE = Path(__file__).parent.parent / "examples" / "qemu-virt-arm64.dtb"
BASE, GIB, PAGE = 0x4000_0000, 1 << 30, 4096
FAULTS = 1 << 13
"""Pages that are stored to one by one: a fault costs what it costs, however many there are."""


def process_groups(sizes: tuple[int, ...]) -> Iterator[Group]:
    """For each number of pages: touched and given back, copied by a fork, one fault each."""
    tree = DeviceTree.parse(TREE.read_bytes())
    board = Board.from_dtb(with_memory(tree, [(BASE, 16 * GIB)]))
    made = default_kernel(board)
    booted = boot(board, made, qemu(board, made))
    for pages in sizes:
        yield _group(run(booted), pages)


def _group(kernel: RunningKernel, pages: int) -> Group:
    process = kernel.spawn()
    touched = _area(process, pages)
    process.touch(touched, pages * PAGE)
    tables = process.mm.tables
    hardware = 8 * pages + (pages // 512 + 2 * PAGE)  # last level, and what is above it at most
    facts = {
        "tables": f"{tables.bytes >> 10} KiB for {pages} pages of 4 KiB, of which the entries "
        f"themselves are {8 * pages >> 10} KiB",
        "entries of the last level": f"{tables.counts['pte']} tables",
    }
    assert tables.bytes < 2 * hardware
    works = [
        Work("entries of as many pages, written as one array", _floor(pages), pages),
        Work("touched, and given back", _touch(process, pages), pages, 3),
        Work("forked, and the child's exit", lambda: process.fork().exit(), pages, 3),
    ]
    if pages >= FAULTS:
        works.append(Work("stored to, a fault each", _faults(process), FAULTS, 3))
    return Group(f"{pages} pages of a process", "pages", works, facts)


def _floor(pages: int) -> Callable[[], None]:
    target = bytearray(8 * pages)

    def write() -> None:
        entries = np.arange(pages, dtype=np.uint64) << np.uint64(12) | np.uint64(0x703)
        target[:] = entries.tobytes()

    return write


def _touch(process: Process, pages: int) -> Callable[[], None]:
    def touch() -> None:
        va = _area(process, pages)
        process.touch(va, pages * PAGE)
        process.munmap(va, pages * PAGE)

    return touch


def _faults(process: Process) -> Callable[[], None]:
    def store() -> None:
        va = _area(process, FAULTS)
        for at in range(va, va + FAULTS * PAGE, PAGE):
            process.store(at, b"x")
        process.munmap(va, FAULTS * PAGE)

    return store


def _area(process: Process, pages: int) -> int:
    """Memory that gets single pages."""
    va = process.mmap(pages * PAGE)
    process.madvise(va, pages * PAGE, Madvise.NOHUGEPAGE)
    return va
