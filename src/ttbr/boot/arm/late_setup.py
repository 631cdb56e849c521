"""What setup_arch() takes from memblock behind paging_init(): resources, a crash kernel's memory.

Source: arch/arm/kernel/setup.c (request_standard_resources, reserve_crashkernel).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.crashkernel import BadCrashkernel, parse_crashkernel
from ttbr.boot.memblock import BootPanic
from ttbr.kernel.arm_layout import PAGE_SHIFT
from ttbr.kernel.structs import struct_size

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot

M = 1 << 20
CRASH_ALIGN = 128 * M
LAST = 0xFFFF_FFFF


def request_standard_resources(boot: ArmBoot) -> None:
    """A struct resource for every range of memory that is mapped."""
    function = boot.machine.kernel.caller("request_standard_resources", "setup_arch")
    size = struct_size(boot.machine.kernel, "resource")
    for _ in boot.memblock.for_each_mem_range():
        if not boot.memblock.alloc(size, boot.memblock.cache_line, function):
            raise BootPanic(
                f"the kernel panics: 'request_standard_resources: Failed to allocate {size} bytes'"
            )


def reserve_crashkernel(boot: ArmBoot) -> None:
    """``crashkernel=``: the area goes to `ArmBoot.crash_area`, if there is one to be had."""
    memblock, say = boot.memblock, boot.memblock.log.say
    option = "CRASH_RESERVE" if boot.machine.kernel.release.has("crash_reserve_option") else "KEXEC"
    if not boot.config.enabled(option):
        return
    first = -(-memblock.start_of_dram() >> PAGE_SHIFT)
    total = ((memblock.current_limit >> PAGE_SHIFT) - first) << PAGE_SHIFT & LAST
    try:
        asked = parse_crashkernel(boot.machine.params.text, total)
    except BadCrashkernel:
        return
    if asked is None or not asked[0]:
        return
    size, base = asked
    if size >= total and boot.machine.kernel.release.has("crashkernel_below_ram"):
        return
    function = boot.machine.kernel.caller("reserve_crashkernel", "setup_arch")
    if base:
        found = memblock.phys_alloc_range(
            size, boot.layout.section_size, base, base + size, function
        )
        fault = "memory is in use."
    else:
        limit = min(LAST, boot.lowmem.limit)
        found = memblock.phys_alloc_range(size, CRASH_ALIGN, CRASH_ALIGN, limit, function)
        base, fault = found, "No suitable area found."
    if not found:
        say(f"crashkernel reservation failed - {fault}")
        return
    say(
        f"Reserving {size // M}MB of memory at {base // M}MB for crashkernel "
        f"(System RAM: {total // M}MB)"
    )
    boot.crash_area = (base, size)
    boot.machine.crash_areas.append(boot.crash_area)
