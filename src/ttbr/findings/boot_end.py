"""Rules about a boot that does not come to its end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ttbr.boot.board import NoMemory
from ttbr.boot.boot import Boot
from ttbr.boot.loader import KernelTooBig, faults
from ttbr.boot.memblock import BootPanic
from ttbr.findings.attempt import Attempt, of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Found, Severity, node
from ttbr.findings.words import said
from ttbr.format import counted

PANIC = "Kernel panic - not syncing: "
DOUBLE = "memblock: Failed to double {array} array from {old} to {new} entries !"
WORDS = re.compile(r"the kernel panics: '([^']*)'")


@CHECK.rule(
    "boot-stops",
    Severity.ERROR,
    "the kernel stops while it sets up memory",
    source="mm/memblock.c, arch/arm64/mm/mmu.c: early_pgtable_alloc, "
    "arch/arm/mm/mmu.c: early_alloc",
    remedy="Give the kernel more free memory at this point: less crashkernel=, cma= and reserved "
    "memory, an initrd and a device tree that leave it room; or fewer regions.",
    example="A board whose RAM ends just behind the kernel image.",
    kernel=(
        f"{PANIC}Failed to allocate page table page",
        f"{PANIC}early_alloc: Failed to allocate {{size}} bytes align={{align}}",
        f"{PANIC}memblock: cannot resize {{array}} array",
        f"{PANIC}Failed to allocate {{size}} bytes for node {{nid}} memory map",
        DOUBLE,
    ),
)
def boot_stops(subject: Attempt) -> Iterable[Found]:
    """The kernel panics, or runs into something that it does not survive.

    So early there is often no console that could show it.
    """
    if isinstance(subject.failure, BootPanic):
        text = str(subject.failure)
        words = WORDS.search(text)
        yield Found(
            f"the boot ends here: {text}",
            "see what takes the memory: ttbr boot --stage memblock --events",
            kernel=(f"{PANIC}{words[1]}",) if words else (),
        )


@CHECK.rule(
    "memblock-full",
    Severity.ERROR,
    "memblock's array is full: ranges are dropped",
    source="mm/memblock.c: memblock_double_array",
    remedy="Describe memory and reservations with fewer regions, or use Linux 6.7 or later, which "
    "panics instead.",
    example="140 separate reserved regions on 32-bit ARM with Linux 6.1.",
    kernel=(DOUBLE,),
)
@of_boot
def memblock_full(boot: Boot) -> Iterable[Found]:
    """Each of memblock's arrays holds 128 regions (some 64-bit kernels: more) at first.

    They may grow only when the final tables are there. Until then, before Linux 6.7, a range that
    finds no room is forgotten without a word: RAM that is not used, or is not reserved.
    """
    memblock = boot.machine.memblock
    for array in (memblock.memory, memblock.reserved):
        lost = [(base, size) for name, base, size in memblock.growth.dropped if name == array.name]
        if lost:
            yield Found(
                f"memblock's {array.name} array holds {array.capacity} regions: "
                f"{counted(len(lost), 'range')} more found no room, the first at {lost[0][0]:#x}",
                "describe memory and reservations with fewer regions",
                numbers={"capacity": array.capacity, "dropped": len(lost)},
                ranges={"first": (lost[0][0], lost[0][0] + max(lost[0][1], 1) - 1)},
                places=(node("/reserved-memory"), node("/memory")),
            )
    for line in said(boot, DOUBLE):
        yield Found(
            f"memblock's {line['array']} array cannot grow beyond {line['old']} regions",
            "describe memory and reservations with fewer regions",
            kernel=line.lines,
        )


@CHECK.rule(
    "boot-refused",
    Severity.ERROR,
    "this kernel does not boot on this board, or ttbr cannot tell",
    source="see the message",
    remedy="The message says what does not fit: the CPU, an address, a symbol that is missing, or "
    "a configuration that is not covered.",
    example="A 32-bit kernel on a board with Cortex-A76.",
)
def boot_refused(subject: Attempt) -> Iterable[Found]:
    """Board, kernel and placement do not fit together, or are beyond what ttbr knows of Linux."""
    failure = subject.failure
    if failure is None or isinstance(failure, BootPanic | NoMemory | KernelTooBig):
        return
    if subject.boot is None and subject.board and subject.kernel and subject.placement:
        placed = subject.board, subject.kernel, subject.placement, subject.tree.totalsize
        if any(str(failure) == fault.text for fault in faults(*placed)):
            return  # a rule of its own tells that
    yield Found(str(failure), "choose a kernel that fits the board")
