"""arm64_memblock_init: what of memory the linear map can hold, and the first reservations.

Source: arch/arm64/mm/init.c of 6.1 and 6.12.
"""

from __future__ import annotations

from ttbr.boot.arm64.crash_area import is_deferred, is_possible, reserve_crashkernel
from ttbr.boot.arm64.kaslr import SEED16
from ttbr.boot.arm64.state import ADDRESS_MASK, MIN_KIMG_ALIGN, Arm64
from ttbr.boot.params import memparse
from ttbr.boot.reserved_mem import early_init_fdt_scan_reserved_mem
from ttbr.errors import InputError

FUNCTION = "arm64_memblock_init"
PHYS_ADDR_MAX = (1 << 64) - 1


def memblock(state: Arm64) -> None:
    """arm64_memblock_init, from the memory nodes to the last early reservation."""
    machine, layout = state.machine, state.layout
    memory = machine.memblock
    linear = layout.linear_size
    if layout.va_bits_actual == 52 and machine.kernel.config.enabled("KVM"):
        if machine.placement.el is None:
            machine.unknowns.append(
                "the kernel is taken to be started at EL1, or at EL2 with VHE: without VHE, KVM "
                "would limit its linear map to 51 bits (--el 2 says so)"
            )
        elif state.runs_nvhe:
            machine.log.say(
                "Capping linear region to 51 bits for KVM in nVHE mode on LVA capable hardware."
            )
            linear = min(linear, 1 << 51)
    align = layout.geometry.memstart_align

    memory.remove(1 << state.phys_mask_shift, PHYS_ADDR_MAX, FUNCTION)
    start = memory.start_of_dram() // align * align
    if memory.end_of_dram() - start > linear:
        machine.log.say("Memory doesn't fit in the linear mapping, VA_BITS too small")
    memory.remove(max(start + linear, state.pa("_end")), PHYS_ADDR_MAX, FUNCTION)
    if start + linear < memory.end_of_dram():
        start = -(-(memory.end_of_dram() - linear) // align) * align
        memory.remove(0, start, FUNCTION)
    # A 52-bit kernel on a CPU without keeps PAGE_OFFSET: memory moves up in its linear map.
    start -= layout.linear_start - layout.page_offset

    limit = _memory_limit(state)
    if limit != PHYS_ADDR_MAX:
        memory.mem_limit_remove_map(limit, "memblock_mem_limit_remove_map")
        size = state.pa("_end") - state.pa("_text")
        memory.add(state.pa("_text"), size, FUNCTION)
    _reserve_initrd(state, linear)
    state.memstart = (start - _randomized(state, start, linear)) & ADDRESS_MASK

    first = "_text" if machine.kernel.release.has("arm64_text_head_mapped") else "_stext"
    memory.reserve(state.pa(first), state.pa("_end") - state.pa(first), FUNCTION)
    early_init_fdt_scan_reserved_mem(machine)
    if is_possible(state) and not is_deferred(state):
        reserve_crashkernel(state)


def early_mem(state: Arm64) -> None:
    """What is said of every mem= while the parameters are parsed."""
    for value in state.machine.params.all("mem"):
        if value is not None:
            state.machine.log.say(f"Memory limited to {memparse(value)[0] >> 20}MB")


def _memory_limit(state: Arm64) -> int:
    """What the last mem= leaves, in whole pages (early_mem)."""
    limit = PHYS_ADDR_MAX
    for value in state.machine.params.all("mem"):
        if value is not None:
            limit = memparse(value)[0] // state.layout.geometry.page_size
            limit *= state.layout.geometry.page_size
    return limit


def _reserve_initrd(state: Arm64, linear: int) -> None:
    """Add and reserve the initrd's whole pages, or drop it where the linear map does not reach."""
    machine, memory = state.machine, state.machine.memblock
    if machine.initrd is None or not machine.kernel.config.enabled("BLK_DEV_INITRD"):
        return
    start, size = machine.initrd
    page = state.layout.geometry.page_size
    base = start // page * page
    length = -(-(start + size) // page) * page - base
    dram = memory.start_of_dram()
    if base < dram or base + length > dram + linear:
        machine.log.say(
            "initrd not fully accessible via the linear mapping -- please check your bootloader ..."
        )
        machine.initrd = None
        return
    memory.add(base, length, FUNCTION)
    memory.clear_nomap(base, length, FUNCTION)
    memory.reserve(base, length, FUNCTION)


def _randomized(state: Arm64, start: int, linear: int) -> int:
    """How far KASLR moves the linear map's beginning below ``start``, which memory gives it.

    By the seed, or as it was observed; `InputError` if it cannot be so.
    """
    machine = state.machine
    align = state.layout.geometry.memstart_align
    span = linear - (1 << machine.cpu.pa_bits)
    possible = machine.kernel.config.enabled("RANDOMIZE_BASE") and span >= align
    steps = span // align if possible else 0
    if machine.memstart is not None:
        moved = start - machine.memstart & ADDRESS_MASK
        if moved % align or moved > align * (steps * SEED16 >> 16):
            raise InputError(
                f"memstart_addr cannot be {machine.memstart:#x}: without KASLR it is "
                f"{start & ADDRESS_MASK:#x}, and it may lie up to {steps * SEED16 >> 16} times "
                f"{align:#x} below that"
            )
        return moved
    if steps and not state.memstart_seed and state.kaslr_offset >= MIN_KIMG_ALIGN:
        machine.unknowns.append(
            "the linear map of this kernel is randomised by a seed that the KASLR offset does not "
            "tell: it is shown where it would be without (memstart_addr, as observed, tells)"
        )
    return align * (steps * state.memstart_seed >> 16)
