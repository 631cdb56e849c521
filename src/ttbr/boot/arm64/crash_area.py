"""The memory of a crash kernel.

Source: 6.1 arch/arm64/mm/init.c (reserve_crashkernel), mm/mmu.c (map_mem), asm/memory.h
(defer_reserve_crashkernel); 6.12 arch/arm64/mm/init.c (arch_reserve_crashkernel),
kernel/crash_reserve.c, asm/crash_reserve.h.
"""

from __future__ import annotations

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.crashkernel import (
    BadCrashkernel,
    Suffix,
    parse_crashkernel,
    parse_crashkernel_suffix,
)

CRASH_ALIGN = 2 << 20
DEFAULT_LOW_SIZE = 128 << 20
GENERIC = "reserve_crashkernel_generic"


def is_possible(state: Arm64) -> bool:
    """Whether the kernel's linear map depends on an area for a crash kernel at all."""
    kernel = state.machine.kernel
    return kernel.release.has("arm64_crashkernel_by_pages") and kernel.config.enabled("KEXEC_CORE")


def is_deferred(state: Arm64) -> bool:
    """Whether the area is only reserved when the DMA zones are known, after paging_init."""
    config = state.machine.kernel.config
    return config.enabled("ZONE_DMA") or config.enabled("ZONE_DMA32")


def splits_linear_map(state: Arm64) -> bool:
    """Whether ``crashkernel=`` keeps blocks out of the linear map: all of it, or of the area."""
    return is_possible(state) and state.machine.params.given("crashkernel")


def reserve_crashkernel(state: Arm64) -> None:
    """``reserve_crashkernel`` of 6.1: set ``state.crash_area``, if there is an area to be had.

    Before the zones are known all memory is low, so that a second, low area is never asked for.
    """
    memory, line = state.machine.memblock, state.machine.params.text
    high_end = 1 << state.phys_mask_shift
    low_end = state.dma_limit or high_end
    end, low_size = low_end, 0
    try:
        asked = parse_crashkernel(line, memory.phys_mem_size())
        if asked is None:
            asked = (parse_crashkernel_suffix(line, Suffix.HIGH) or 0, 0)
            if asked[0]:
                low_size = parse_crashkernel_suffix(line, Suffix.LOW) or 0
            end = high_end
    except BadCrashkernel:
        return
    page = state.layout.geometry.page_size
    size, base = -(-asked[0] // page) * page, asked[1]
    if not size:
        return
    end = base + size if base else end
    outer = "bootmem_init" if is_deferred(state) else "arm64_memblock_init"
    function = state.machine.kernel.caller("reserve_crashkernel", outer)
    found = memory.phys_alloc_range(size, CRASH_ALIGN, base, end, function)
    if not found:
        state.machine.log.say(f"cannot allocate crashkernel (size:{size:#x})")
        return
    _keep(state, found, size, low_size if found >= low_end else 0, low_end, function)


def arch_reserve_crashkernel(state: Arm64) -> None:
    """``arch_reserve_crashkernel``, ``reserve_crashkernel_generic``: the same in later releases."""
    machine = state.machine
    option = "CRASH_RESERVE" if machine.kernel.release.has("crash_reserve_option") else "KEXEC_CORE"
    if not machine.kernel.config.enabled(option):
        return
    memory, line = machine.memblock, machine.params.text
    total = memory.phys_mem_size()
    high, low_size = False, 0
    try:
        asked = parse_crashkernel(line, total)
        if asked is None:
            asked = (parse_crashkernel_suffix(line, Suffix.HIGH) or 0, 0)
            low = parse_crashkernel_suffix(line, Suffix.LOW) if asked[0] else 0
            high, low_size = True, DEFAULT_LOW_SIZE if low is None else low
    except BadCrashkernel:
        return
    size, base = asked
    if not size or (size >= total and machine.kernel.release.has("crashkernel_below_ram")):
        return
    low_end, high_end = state.dma_limit, 1 << state.phys_mask_shift
    tries = [(0, low_end, low_size), (low_end, high_end, DEFAULT_LOW_SIZE)]
    if base:
        tries = [(base, base + size, low_size)]
    elif high:
        tries = [(low_end, high_end, low_size), (0, low_end, low_size)]
    if len(tries) > 1 and low_end == high_end:
        # After high memory low memory is not tried where they are the same; after low, high is.
        tries = tries[:1] if high else tries
    for start, end, low_wanted in tries:
        found = memory.phys_alloc_range(size, CRASH_ALIGN, start, end, GENERIC)
        if found:
            _keep(state, found, size, low_wanted if found >= low_end else 0, low_end, GENERIC)
            return
    machine.log.say(
        "crashkernel reservation failed - memory is in use."
        if base
        else f"cannot allocate crashkernel (size:{size:#x})"
    )


def _keep(state: Arm64, base: int, size: int, low_size: int, low_end: int, function: str) -> None:
    """Reserve the low area that goes with a high one, and take both, or neither."""
    machine = state.machine
    if low_size:
        caller = machine.kernel.caller("reserve_crashkernel_low", function)
        low = machine.memblock.phys_alloc_range(low_size, CRASH_ALIGN, 0, low_end, caller)
        if not low:
            machine.log.say(f"cannot allocate crashkernel low memory (size:{low_size:#x}).")
            machine.memblock.phys_free(base, size, function)
            return
        machine.log.say(
            f"crashkernel low memory reserved: {low:#010x} - {low + low_size:#010x} "
            f"({low_size >> 20} MB)"
        )
        state.crash_low = (low, low_size)
        machine.crash_areas.append(state.crash_low)
    machine.log.say(f"crashkernel reserved: {base:#018x} - {base + size:#018x} ({size >> 20} MB)")
    state.crash_area = (base, size)
    machine.crash_areas.append(state.crash_area)
