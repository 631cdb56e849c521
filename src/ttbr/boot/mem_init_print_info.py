"""mem_init_print_info(): the line ``Memory:`` of the kernel's log.

Source: mm/mm_init.c (6.1: mm/page_alloc.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.events import RUNNING
from ttbr.boot.free_all import HandOver

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.kernel.symbols import Symbols

K = 1024


def mem_init_print_info(machine: Machine, got: HandOver) -> None:
    """The line, with each figure by its rule.

    Where the kernel prints it when all else is up, what is free then depends on what has been
    allocated since; every other figure stays as it is.
    """
    kernel = machine.kernel
    page = kernel.page_size
    physical = sum(node.present for node in machine.nodes)
    contiguous = sum(area.size for area in machine.cma.areas)
    late = kernel.release.has("memory_line_at_the_end")
    available = "?" if late else str(got.free.pages * page // K)
    image = " ".join(f"{size // K}K {name}," for name, size in image_sizes(kernel.symbols))
    reserved = (physical - got.totalram) * page - contiguous
    highmem = f", {got.highmem * page // K}K highmem" if kernel.config.enabled("HIGHMEM") else ""
    machine.log.say(
        f"Memory: {available}K/{physical * page // K}K available ({image} {reserved // K}K "
        f"reserved, {contiguous // K}K cma-reserved{highmem})",
        unknown=f"what is free when the kernel is up: at most {got.totalram * page // K}K"
        if late
        else "",
        stage=RUNNING if late else None,
    )


def image_sizes(symbols: Symbols) -> list[tuple[str, int]]:
    """(name, bytes) of the parts of the image, none counted twice."""

    bounds = {
        name: (symbols.get(first, 0), symbols.get(behind, 0))
        for name, (first, behind) in _PARTS.items()
    }
    sizes = {name: behind - first for name, (first, behind) in bounds.items()}
    for outer, inner in _INSIDE:
        first, behind = bounds[outer]
        if first <= bounds[inner][0] < behind and sizes[outer] > sizes[inner]:
            sizes[outer] -= sizes[inner]
    sizes["init"] += sizes.pop("init text")
    return list(sizes.items())


_PARTS = {
    "kernel code": ("_stext", "_etext"),
    "rwdata": ("_sdata", "_edata"),
    "rodata": ("__start_rodata", "__end_rodata"),
    "init": ("__init_begin", "__init_end"),
    "bss": ("__bss_start", "__bss_stop"),
    "init text": ("_sinittext", "_einittext"),
}
_INSIDE = (
    ("init", "init text"),
    ("kernel code", "init text"),
    ("rwdata", "init"),
    ("kernel code", "rodata"),
    ("rwdata", "rodata"),
)
"""What may lie inside of what, and then counts once; in the kernel's order."""
