"""A machine of 4 TiB, booted and used: prints how much memory that took, as JSON.

    python large_machine.py PAGE_SHIFT [BOOT ARGUMENTS]

Run as a program of its own, since the most that a process ever had is known for all of it only.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from peak_memory import peak

from ttbr.run import run
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE

FOLDERS = ("fixtures", "boot", "run")
TERABYTES = 4
VA_BITS = {12: 48, 14: 47, 16: 48}
MAX_ORDER = {12: "10", 14: "11", 16: "13"}
PAGES = 1_000_000


def main() -> None:
    """Boot, run, take and give back pages, and let a process use some memory."""
    sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in FOLDERS]
    from memory_maps import HUGE, ZONES, G, made_up

    shift, args = int(sys.argv[1]), " ".join(sys.argv[2:])
    start = time.process_time()
    booted = made_up(
        ((G, TERABYTES << 40, None),),
        "6.12.117",
        shift,
        VA_BITS[shift],
        args,
        **HUGE,
        **ZONES,
        ARCH_FORCE_MAX_ORDER=MAX_ORDER[shift],
    )
    booting = time.process_time() - start
    kernel = run(booted)
    free = kernel.pages.free
    frames = kernel.pages.alloc_bulk(PAGES, GFP_HIGHUSER_MOVABLE)
    assert len(np.unique(frames)) == PAGES
    kernel.pages.free_bulk(frames)
    assert kernel.pages.free == free
    process = kernel.spawn()
    va = process.mmap(64 << 20)
    for offset in range(0, 64 << 20, 1 << 20):
        process.store(va + offset, b"used")
    process.exit()
    written = sum(bank.size for bank in kernel.ram.written())
    found = {"free": free << shift, "tables": written, "peak": peak(), "boot_seconds": booting}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
