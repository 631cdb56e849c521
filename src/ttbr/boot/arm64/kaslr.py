"""Where the kernel runs: the KASLR offset, from the device tree's seed or as it was observed.

Source: arch/arm64/kernel/pi/kaslr_early.c, kernel/pi/map_kernel.c (6.12), kernel/head.S (6.1),
include/asm/mmu.h and kernel/cpufeature.c (kaslr_requires_kpti).
"""

from __future__ import annotations

from ttbr.boot.arm64.feature_override import kaslr_disabled
from ttbr.boot.arm64.registers import RNDR
from ttbr.boot.arm64.state import MIN_KIMG_ALIGN, Arm64, bootargs
from ttbr.boot.events import RUNNING
from ttbr.errors import InputError

SEED_SIZE = 8
SEED16 = 0xFFFF

# CPUs with Cavium erratum 27456: MIDR_EL1 without variant and revision, and the last variant and
# revision that have it (arch/arm64/kernel/cpu_errata.c).
CAVIUM_27456 = {0x430F_0A10: 0x11, 0x430F_0A20: 0x00}


def choose_offset(state: Arm64) -> None:
    """Set the kernel's displacement and the linear map's seed; consume the tree's kaslr-seed.

    The low 21 bits come from where the loader put the image. `InputError` if the offset asked for
    is not possible for this kernel and command line.
    """
    machine = state.machine
    kernel = machine.kernel
    low = machine.placement.kernel % MIN_KIMG_ALIGN
    wanted = machine.kaslr_offset
    if wanted % MIN_KIMG_ALIGN not in (0, low):
        raise InputError(
            f"KASLR offset {wanted:#x} does not fit a kernel at {machine.placement.kernel:#x}: "
            f"they must be equal modulo {MIN_KIMG_ALIGN:#x}"
        )
    randomized = wanted - wanted % MIN_KIMG_ALIGN
    refused = _refused(state)
    possible = kernel.config.enabled("RANDOMIZE_BASE") and not refused
    if randomized and not possible:
        reason = "nokaslr is on its command line" if refused else "it has no RANDOMIZE_BASE"
        raise InputError(f"the kernel cannot run at KASLR offset {wanted:#x}: {reason}")
    if possible:
        randomized = _randomized(state, randomized)
    state.kaslr_offset = machine.kaslr_offset = randomized | low


def _refused(state: Arm64) -> bool:
    """Whether the command line keeps the kernel where it is."""
    kernel, line = state.machine.kernel, bootargs(state.machine)
    return kaslr_disabled(state.overrides, line, kernel.config, kernel.release)


def _randomized(state: Arm64, observed: int) -> int:
    """The offset that the seed gives, or the one that was observed; a multiple of 2 MiB."""
    seed = _take_seed(state)
    if seed:
        offset, memstart_seed = from_seed(state, seed)
        offset -= offset % MIN_KIMG_ALIGN
        if observed in (0, offset):
            state.memstart_seed = memstart_seed
            return offset
    if not observed and state.machine.cpu.field(*RNDR):
        state.machine.unknowns.append(
            "the CPU's random numbers (RNDR) give this kernel its KASLR seed: it is shown at "
            "offset 0 (give the offset that was observed)"
        )
    return observed


def _take_seed(state: Arm64) -> int:
    """The tree's kaslr-seed, which the kernel overwrites with zero; 0 without one."""
    machine = state.machine
    chosen = machine.tree.find("/chosen")
    found = chosen.prop("kaslr-seed") if chosen else None
    if found is None or len(found.data) != SEED_SIZE:
        return 0
    machine.ram.write(machine.dtb + found.offset, bytes(SEED_SIZE))
    return found.u64


def from_seed(state: Arm64, seed: int) -> tuple[int, int]:
    """(displacement of the image, seed of the linear map) from a seed (kaslr_early_init)."""
    layout = state.layout
    if state.machine.kernel.release.has("arm64_kaslr_scaled"):
        room = (layout.vmalloc_end - layout.kimage_vaddr) // 2
        return room // 2 + (room * seed >> 64), seed & SEED16
    offset = (1 << layout.va_bits_min - 3) + (seed & (1 << layout.va_bits_min - 2) - 1)
    return offset, offset & SEED16


def report(state: Arm64) -> None:
    """kaslr_init(): the line about whether the kernel is randomised."""
    machine = state.machine
    if not machine.kernel.config.enabled("RANDOMIZE_BASE"):
        return
    early = machine.kernel.release.has("arm64_early_map_in_c")
    if _refused(state):
        text = "KASLR disabled on command line"
    elif state.kaslr_offset < (MIN_KIMG_ALIGN if early else 1):
        text = "KASLR disabled due to lack of seed"
    else:
        text = "KASLR enabled"
    machine.log.say(text, stage=None if early else RUNNING)


def uses_non_global(state: Arm64) -> bool:
    """Whether kernel mappings get nG from here on, because KASLR will want KPTI."""
    machine = state.machine
    config, release, cpu = machine.kernel.config, machine.kernel.release, machine.cpu
    least = 1 if release.has("arm64_any_offset_is_kaslr") else MIN_KIMG_ALIGN
    if not config.enabled("RANDOMIZE_BASE") or state.kaslr_offset < least:
        return False
    if config.enabled("ARM64_E0PD") and cpu.e0pd:
        return False
    if config.enabled("CAVIUM_ERRATUM_27456"):
        midr = cpu.registers.get("MIDR_EL1", 0)
        revision = midr >> 16 & 0xF0 | midr & 0xF
        if revision <= CAVIUM_27456.get(midr & 0xFF0F_FFF0, -1):
            return False
    return True
