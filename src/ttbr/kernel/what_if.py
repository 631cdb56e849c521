"""A kernel as it would be with other options: what a plan can ask before anybody builds it.

The symbols stay those of the kernel that was built, which makes every answer about the image's own
places an approximation; that is said with the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ttbr.errors import InputError
from ttbr.kernel.arm_layout import VMSPLIT, page_offset
from ttbr.kernel.facts import OPTIONS
from ttbr.kernel.kernel import Kernel

CMA_SIZES = ("MBYTES", "PERCENTAGE", "MIN", "MAX")
CHOICES: tuple[tuple[str, ...], ...] = (
    tuple(VMSPLIT),
    tuple(f"CMA_SIZE_SEL_{name}" for name in CMA_SIZES),
)
"""Options of which exactly one is set."""
LINKED = frozenset(
    {"ARM64", "ARM", "MMU", "PAGE_OFFSET", "ARM64_VA_BITS", "RELOCATABLE", "XIP_KERNEL"}
    | {"ARM64_4K_PAGES", "ARM64_16K_PAGES", "ARM64_64K_PAGES", "CPU_BIG_ENDIAN"}
)
"""Options that make another image altogether: its symbols say nothing of one with others."""

ARM_ONLY = frozenset(VMSPLIT) | {"HIGHMEM", "ARM_LPAE", "THUMB2_KERNEL", "CPU_TTBR0_PAN"}


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` settings, with or without ``CONFIG_``; `InputError` for others."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.removeprefix("CONFIG_")
        if not equals or not name or not value:
            raise InputError(f"'{text}' is no setting: expected something like VMSPLIT_2G=y")
        found[name] = value
    return found


def with_options(kernel: Kernel, settings: Mapping[str, str]) -> Kernel:
    """The kernel with options changed: ``y``, ``n``, or the value of another kind of option.

    Setting one option of a choice unsets the others; a VMSPLIT on arm moves PAGE_OFFSET, and the
    symbols with it. `InputError` for options that nothing depends on, that are of the other
    architecture's, or that the symbols cannot follow.
    """
    if not settings:
        return kernel
    changes: dict[str, str | None] = {}
    for name, value in settings.items():
        if name not in OPTIONS:
            raise InputError(f"nothing in the model depends on CONFIG_{name}")
        if name.startswith("ARM64") if kernel.arch == "arm" else name in ARM_ONLY:
            raise InputError(
                f"CONFIG_{name} is none of {kernel.name}'s: that is a kernel of {kernel.arch}"
            )
        if name in LINKED:
            raise InputError(
                f"CONFIG_{name} cannot be changed: the symbols are those of a kernel without that; "
                "describe one that was built so (ttbr kernel describe)"
            )
        for choice in CHOICES:
            if name in choice:
                if value != "y":
                    raise InputError(f"CONFIG_{name} is one of a choice: set another one to y")
                changes |= dict.fromkeys(choice)
        changes[name] = None if value == "n" else value
    symbols = kernel.symbols
    config = kernel.config.changed(changes)
    if config.enabled("VMSPLIT_3G_OPT") and config.enabled("ARM_LPAE"):
        raise InputError("there is no kernel with both CONFIG_VMSPLIT_3G_OPT and CONFIG_ARM_LPAE")
    moved = 0
    if kernel.arch == "arm":
        moved = page_offset(config) - page_offset(kernel.config)
        config = config.changed({"PAGE_OFFSET": f"{page_offset(config):#x}"})
        # With or without LPAE the page directory has another size, and begins elsewhere.
        symbols = symbols.moved(moved, without=("swapper_pg_dir",))
    said = ", ".join(f"{name}={value}" for name, value in settings.items())
    where = f", moved by {moved:+#x}" if moved else ""
    return replace(
        kernel,
        name=f"{kernel.name} with {said}",
        config=config,
        symbols=symbols,
        assumptions=(
            *kernel.assumptions,
            f"the kernel is not one that was built: {said} is assumed, and the addresses of its "
            f"image are those of {kernel.name}{where}; a kernel built so has others",
        ),
    )
