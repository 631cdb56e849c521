"""Rules about the kernel's own image and what it is told of caches."""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.boot import Boot
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Bytes, Found, Severity, argument, config, node
from ttbr.findings.words import said
from ttbr.format import size
from ttbr.kernel.cpu import microcontroller, older_architecture

UNSUPPORTED = "Error: unrecognized/unsupported processor variant (0x{midr})."
ONLY_POLICY = "Only cachepolicy={policy} supported on ARMv6 and later"
FORCED = "Forcing write-allocate cache policy for SMP"
PARTS = (
    ("pre-text NX", "PAGE_OFFSET", "_stext"),
    ("init NX", "__init_begin", "_sdata"),
    ("rodata NX", "__start_rodata_section_aligned", "__init_begin"),
    ("text/rodata RO", "_stext", "__init_begin"),
)
"""What the kernel protects: its own name for it, first and last symbol."""
BOUNDS = ("_stext", "__init_begin", "_sdata", "__start_rodata_section_aligned")
UNALIGNED = "BUG: {name} section {start}-{end} not aligned to {section}"


@CHECK.rule(
    "cpu-unsupported",
    Severity.ERROR,
    "the kernel is not built for this CPU",
    source="arch/arm/kernel/head-common.S: __lookup_processor_type, __error_p",
    remedy="Use a kernel for the CPU's architecture: CONFIG_ARCH_MULTI_V5, V6 or V7.",
    example="Debian's armmp kernel, which is for ARMv7, on a board with an ARM1176 (ARMv6).",
    kernel=(UNSUPPORTED,),
)
@of_boot
def cpu_unsupported(boot: Boot) -> Iterable[Found]:
    """32-bit kernels look the CPU up in a table of those that they were built for, and else stop.

    Only a kernel with CONFIG_DEBUG_LL says so. What the plan shows is what would be if it ran.
    """
    machine = boot.machine
    if machine.kernel.arch != "arm":
        return
    built, options = "ARMv7", machine.kernel.config
    has = older_architecture(machine.board.cpu_compatible)
    if has is None and machine.cpu.proc == "v6":
        has = "ARMv6"
        if options.enabled("CPU_V6") or options.enabled("CPU_V6K"):
            return
    if has is not None:
        name = machine.board.cpu_compatible[0] if machine.board.cpu_compatible else "the CPU"
        yield Found(
            f"{name} is of {has}, the kernel for {built}: it stops before it prints anything",
            f"use a kernel for {has}",
            places=(config(f"ARCH_MULTI_V{has[-1]}"), node("/cpus")),
        )
        return
    found = (at.prop("compatible") for at in machine.tree.root.walk())
    without = microcontroller(name for prop in found if prop for name in prop.strings)
    if without is not None:
        yield Found(
            f"the board has an interrupt controller of {without}, which has no MMU, and the kernel "
            "is for CPUs with one",
            "build a kernel without CONFIG_MMU: it has no translation tables that ttbr could show",
            places=(config("MMU"),),
        )


@CHECK.rule(
    "cache-policy-refused",
    Severity.WARNING,
    "cachepolicy= is refused",
    source="arch/arm/mm/mmu.c: early_cachepolicy, build_mem_type_table",
    remedy="Take cachepolicy= off the command line: ARMv6 and later keep what the first tables "
    "had, write-allocate with SMP, write-back without.",
    example="cachepolicy=writeback on a multi-core Cortex-A15.",
    kernel=(ONLY_POLICY, FORCED),
)
@of_boot
def cache_policy_refused(boot: Boot) -> Iterable[Found]:
    """Memory must not be mapped with two policies, and head.S has mapped it with one already."""
    for line in said(boot, ONLY_POLICY, FORCED):
        asked = boot.machine.params.last("cachepolicy") or ""
        kept = line.fields.get("policy", "writealloc")
        yield Found(
            f"cachepolicy={asked} is refused: the policy stays {kept}",
            "take cachepolicy= off the command line",
            kernel=line.lines,
            places=(argument(f"cachepolicy={asked}"),),
        )


@CHECK.rule(
    "sections-unaligned",
    Severity.WARNING,
    "parts of the kernel cannot be made read-only or non-executable",
    source="arch/arm/mm/init.c: set_section_perms",
    remedy="Build the kernel with CONFIG_STRICT_KERNEL_RWX and the linker script of its tree, "
    "which aligns these symbols to sections.",
    example="A System.map with _sdata at 0xc1780000 and CONFIG_STRICT_KERNEL_RWX.",
    kernel=(UNALIGNED,),
)
@of_boot
def sections_unaligned(boot: Boot) -> Iterable[Found]:
    """32-bit ARM protects its image by sections: 1 MiB, with LPAE 2 MiB.

    A boundary that is no multiple of that leaves the whole part as it was: writable, executable.
    """
    state = boot.machine.arch_state
    if not isinstance(state, ArmBoot) or not state.config.enabled("STRICT_KERNEL_RWX"):
        return
    section = state.layout.section_size
    symbols = {name: at for name in BOUNDS if (at := boot.machine.kernel.symbols.unique(name))}
    symbols["PAGE_OFFSET"] = state.layout.page_offset
    for name, first, last in PARTS:
        if first not in symbols or last not in symbols:
            continue
        start, end = symbols[first], symbols[last]
        if start % section or end % section:
            yield Found(
                f"the kernel's part '{name}' from {start:#x} to {end:#x} is not aligned to "
                f"{size(section)}: it is not protected",
                "link the kernel with its own linker script and CONFIG_STRICT_KERNEL_RWX",
                kernel=(f"BUG: {name} section {start:x}-{end:x} not aligned to {section:x}",),
                numbers={"section": Bytes(section)},
                places=(config("STRICT_KERNEL_RWX"),),
            )
