"""Linux on arm64, from the loader's jump to the end of setup_arch: its stages, in order."""

from __future__ import annotations

from collections.abc import Callable

from ttbr.boot.arm64 import (
    bootmem_init,
    head,
    map_kernel,
    mem_init,
    memblock_init,
    paging_init,
    setup,
)
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.machine import Machine
from ttbr.kernel.arm64_layout import markers

ROOTS = ("idmap_pg_dir", "init_pg_dir", "swapper_pg_dir", "reserved_pg_dir", "tramp_pg_dir")
# Symbols whose run-time addresses images carry.
SYMBOLS = ("_text", "_stext", "_etext", "__start_rodata", "__init_begin", "__init_end", "_end")


def _state(machine: Machine) -> Arm64:
    """What the stages share; the first one finds out what they need to know of kernel and CPU."""
    if isinstance(machine.arch_state, Arm64):
        return machine.arch_state
    machine.arch_state = state = Arm64.of(machine)
    machine.page_offset = state.layout.page_offset
    machine.markers = markers(machine.kernel, state.layout.va_bits_actual)
    machine.roots = {name: state.pa(name) for name in ROOTS if name in machine.kernel.symbols}
    return state


def _stage(run: Callable[[Arm64], None]) -> Callable[[Machine], None]:
    def stage(machine: Machine) -> None:
        state = _state(machine)
        run(state)
        known = machine.kernel.symbols
        machine.symbols = {name: state.va(name) for name in (*SYMBOLS, *ROOTS) if name in known}

    return stage


STAGES: tuple[tuple[str, Callable[[Machine], None]], ...] = (
    ("head", _stage(head.head)),
    ("early_map", _stage(map_kernel.early_map)),
    ("fixmap", _stage(setup.fixmap)),
    ("memblock", _stage(memblock_init.memblock)),
    ("paging_init", _stage(paging_init.paging_init)),
    ("bootmem_init", _stage(bootmem_init.late_setup)),
    ("mm_init", _stage(mem_init.hand_over)),
)
"""(name, what it does to the machine), in order."""
