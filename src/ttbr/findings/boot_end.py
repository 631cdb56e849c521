"""Rules about a boot that does not come to its end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ttbr.boot.board import NoMemory
from ttbr.boot.boot import Boot
from ttbr.boot.loader import faults
from ttbr.boot.memblock import BootPanic
from ttbr.findings.attempt import Attempt, of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Found, Severity
from ttbr.findings.words import said

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
        "Failed to allocate page table page",
        "early_alloc: Failed to allocate {size} bytes align={align}",
        "memblock: cannot resize {array} array",
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
            kernel=(words[1],) if words else (),
        )


@CHECK.rule(
    "memblock-full",
    Severity.ERROR,
    "memblock's array is full and cannot grow",
    source="mm/memblock.c: memblock_double_array",
    remedy="Describe memory and reservations with fewer regions.",
    example="More than 128 separate reserved regions before the arrays may grow.",
    kernel=(DOUBLE,),
)
@of_boot
def memblock_full(boot: Boot) -> Iterable[Found]:
    """Each of memblock's arrays holds 128 regions until it may be allocated anew."""
    for line in said(boot, DOUBLE):
        yield Found(
            f"memblock's {line['array']} array has no room for more than {line['old']} regions",
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
    if failure is None or isinstance(failure, BootPanic | NoMemory):
        return
    if subject.boot is None and subject.board and subject.kernel and subject.placement:
        placed = subject.board, subject.kernel, subject.placement, subject.tree.totalsize
        if any(str(failure) == fault.text for fault in faults(*placed)):
            return  # a rule of its own tells that
    yield Found(str(failure), "choose a kernel that fits the board")
