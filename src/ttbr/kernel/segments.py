"""The parts of a kernel image, by the symbols that bound them."""

from dataclasses import dataclass

from ttbr.kernel.kernel import Kernel

SEGMENTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    # arch/arm64/kernel/vmlinux.lds.S
    "arm64": (
        ("head", "_text", "_stext"),
        ("text", "_stext", "_etext"),
        ("rodata", "__start_rodata", "__inittext_begin"),
        ("init text", "__inittext_begin", "__inittext_end"),
        ("init data", "__initdata_begin", "__initdata_end"),
        ("data and bss", "_data", "_end"),
    ),
    # arch/arm/kernel/vmlinux.lds.S
    "arm": (
        ("head", "_text", "_stext"),
        ("text", "_stext", "_etext"),
        ("rodata", "__start_rodata", "__init_begin"),
        ("init", "__init_begin", "__init_end"),
        ("data and bss", "_sdata", "_end"),
    ),
}
"""(name, first symbol, symbol behind the last byte), ascending."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the image: ``start`` and ``size`` in bytes from ``_text``."""

    name: str
    start: int
    size: int


def segments(kernel: Kernel) -> list[Segment]:
    """The parts that this kernel has; those whose symbols are not known, or empty, are left out."""
    base = kernel.symbols["_text"]
    found = []
    for name, first, behind in SEGMENTS[kernel.arch]:
        if first in kernel.symbols and behind in kernel.symbols:
            start, end = kernel.symbols[first], kernel.symbols[behind]
            if end > start:
                found.append(Segment(name, start - base, end - start))
    return found
