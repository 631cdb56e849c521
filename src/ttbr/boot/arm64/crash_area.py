"""The memory of a crash kernel, in releases and configurations that reserve it before mapping.

Source: 6.1 arch/arm64/mm/init.c (reserve_crashkernel), mm/mmu.c (map_mem), asm/memory.h
(defer_reserve_crashkernel).
"""

from __future__ import annotations

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.crashkernel import (
    BadCrashkernel,
    Suffix,
    parse_crashkernel,
    parse_crashkernel_suffix,
)
from ttbr.kernel.arm64_prot import physical_bits

CRASH_ALIGN = 2 << 20


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
    """``reserve_crashkernel``: set ``state.crash_area``, if there is an area to be had.

    Without DMA zones all memory is low, so that a second, low area is never asked for.
    """
    memory, line = state.machine.memblock, state.machine.params.text
    try:
        asked = parse_crashkernel(line, memory.phys_mem_size())
        if asked is None:
            asked = (parse_crashkernel_suffix(line, Suffix.HIGH) or 0, 0)
            if asked[0]:
                parse_crashkernel_suffix(line, Suffix.LOW)
    except BadCrashkernel:
        return
    page = state.layout.geometry.page_size
    size, base = -(-asked[0] // page) * page, asked[1]
    if not size:
        return
    end = base + size if base else 1 << physical_bits(state.machine.kernel.config)
    function = state.machine.kernel.caller("reserve_crashkernel", "arm64_memblock_init")
    found = memory.phys_alloc_range(size, CRASH_ALIGN, base, end, function)
    if not found:
        state.machine.log.say(f"cannot allocate crashkernel (size:{size:#x})")
        return
    state.machine.log.say(
        f"crashkernel reserved: {found:#018x} - {found + size:#018x} ({size >> 20} MB)"
    )
    state.crash_area = (found, size)
    state.machine.crash_areas.append(state.crash_area)
