"""A recording's kernel log: the lines about memory, and those of memblock=debug as tuples."""

from __future__ import annotations

import re
from types import ModuleType

STAMP = re.compile(r"^\[ *[\d.]+\] ")
EVENT = re.compile(
    r"(memblock_(?:add|add_node|remove|reserve|phys_free)): "
    r"\[0x([0-9a-f]+)-0x([0-9a-f]+)\] ([\w.]+)\+0x"
)
OFFSET = re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+")
# Families of lines about memory. What drivers and the rest of the kernel say is none of them.
ABOUT_MEMORY = re.compile(
    "|".join(
        (
            r"(OF: fdt: )?Machine model: |Memory policy: |KASLR ",
            r"memblock_\w+: |memblock: |MEMBLOCK configuration| memory size = ",
            r" (memory|reserved)(\.cnt|\[)",
            r"cma: |Reserved memory: |OF: reserved mem: |OF: fdt: (Ign|Res|else|elf)",
            # Of UEFI all but who made the firmware and where its tables are.
            r"efi: (UEFI not|Getting|Processing EFI memory|Can't| )|esrt: ",
            r"NUMA: | *NODE_DATA|Zone ranges:",
            r"  (DMA|DMA32|Normal|HighMem|Device) +(\[mem|empty)",
            r"Movable zone start|Early memory node ranges|  node +\d+: |Initmem setup|On node ",
            r"crashkernel |cannot allocate crashkernel|Reserving \d+MB|INITRD: |initrd not ",
            r"Ignoring |Truncating |Memory limited|vmalloc area |Consider using",
            r"percpu: |pcpu-alloc: |Fallback order|Built \d|Policy zone|allocated \d+ bytes of pa",
            r"Kernel command line: |Unknown kernel command line",
            r"printk: (log_buf|early log)|(Dentry cache|Inode-cache) hash",
            r"mem auto-init: |Memory: |software IO TLB: |stackdepot: |kfence: failed",
        )
    )
)
# What follows belongs to the running kernel, but for the line about memory itself.
# A log whose buffer ran over may have lost the first of these.
BEHIND = re.compile(
    r"SLUB: |rcu: |NR_IRQS: |GICv|arch_timer: |Console: |Calibrating|pid_max: |LSM: |smp: "
    r"|printk: (legacy )?console \[|memblock_phys_free: \S+ free_init"
)


def boot_log(truth: ModuleType, case: str) -> list[str]:
    """The lines of the first boot in the log, without timestamps."""
    try:
        text = truth.text(case, "console_boot.txt")
    except FileNotFoundError:
        text = truth.text(case, "dmesg.txt")
    lines = [STAMP.sub("", line) for line in text.splitlines()]
    starts = [i for i, line in enumerate(lines) if line.startswith("Booting Linux on physical")]
    if starts:
        lines = lines[starts[0] :]
    return lines


def events(lines: list[str]) -> list[tuple[str, int, int, str]]:
    """memblock's calls, as the model has them in its events."""
    found = (EVENT.match(line) for line in lines)
    return [(m[1], int(m[2], 16), int(m[3], 16), m[4]) for m in found if m]


def behind_setup_arch(lines: list[str]) -> int:
    """The index of the first line of memblock that start_kernel() itself causes."""
    return next(
        i for i, line in enumerate(lines) if re.match(r"memblock_alloc\w*: .* start_kernel\+", line)
    )


def until_hand_over(lines: list[str]) -> list[str]:
    """The lines before those of the running kernel."""
    stop = next((i for i, line in enumerate(lines) if BEHIND.match(line)), len(lines))
    return lines[:stop]


def about_memory(lines: list[str]) -> list[str]:
    """The lines about memory, offsets in functions made unknown; the last one is ``Memory:``."""
    before = until_hand_over(lines)
    if not any(line.startswith("mem auto-init") for line in before):
        lines = before  # the log lost what follows
    late = [line for line in lines[len(before) :] if re.match(r"Memory: \d|KASLR ", line)]
    return [OFFSET.sub("+?/?", line) for line in [*before, *late] if ABOUT_MEMORY.match(line)]


def same(model: str, real: str) -> bool:
    """Whether a line of the model is the real one, but for figures that it calls unknown."""
    pattern = re.escape(model).replace(r"\?", r"[0-9?]+")
    return re.fullmatch(pattern, real) is not None
