"""setup_arch up to arm64_memblock_init: fixmap, device tree, early parameters.

Source: arch/arm64/kernel/setup.c of 6.1 and 6.12; 6.1 kernel/head.S (__primary_switched).
"""

from __future__ import annotations

from ttbr.boot.arm64 import kaslr, registers
from ttbr.boot.arm64.fixmap import early_fixmap_init, fdt_address, fixmap_remap_fdt, set_fixmap_io
from ttbr.boot.arm64.head import set_ttbr0
from ttbr.boot.arm64.memblock_init import early_mem
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import Span
from ttbr.boot.early_fdt import early_init_dt_scan, machine_name
from ttbr.boot.earlycon import find_earlycon
from ttbr.boot.efi.efi_init import efi_init


def fixmap(state: Arm64) -> None:
    """From the end of head to the point where memblock knows all memory."""
    machine = state.machine
    if not machine.kernel.release.has("arm64_early_map_in_c"):
        early_fixmap_init(state)
        fixmap_remap_fdt(state, state.protections.kernel)
        state.non_global = kaslr.uses_non_global(state)
    else:
        kaslr.report(state)
    early_fixmap_init(state)
    setup_machine_fdt(state)
    machine.parse_early_param()
    early_mem(state)
    console = find_earlycon(machine.params, machine.kernel.config, machine.tree)
    if console is not None and not console.deferred:
        set_fixmap_io(state, state.layout.fixmap.earlycon, console.address)
    elif console is not None:
        state.earlycon = console.address
    cpu_uninstall_idmap(state)
    efi_init(machine)


def setup_machine_fdt(state: Arm64) -> None:
    """Reserve the device tree, scan it, and leave it mapped read-only."""
    machine = state.machine
    size = fixmap_remap_fdt(state, state.protections.kernel)
    function = machine.kernel.caller("setup_machine_fdt", "setup_arch")
    machine.memblock.reserve(machine.dtb, size, function)
    early_init_dt_scan(machine)
    fixmap_remap_fdt(state, state.protections.kernel_ro)
    virt = fdt_address(state)
    state.mapped(Span(virt, machine.dtb, size), "fixmap_remap_fdt", "PAGE_KERNEL_RO")
    name = machine_name(machine.tree)
    if name is not None:
        machine.log.say(f"Machine model: {name}")


def cpu_uninstall_idmap(state: Arm64) -> None:
    """Nothing is mapped through TTBR0 from here on."""
    set_ttbr0(state, "reserved_pg_dir")
    state.machine.roots.pop("init_idmap_pg_dir")
    tcr = state.machine.registers["TCR_EL1"]
    tcr = registers.with_t0sz(tcr, 64 - state.layout.va_bits_actual)
    state.machine.registers["TCR_EL1"] = tcr
