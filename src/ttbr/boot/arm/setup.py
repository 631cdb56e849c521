"""setup_arch() up to arm_memblock_init(): device tree, fixmap, command line, lowmem.

Source: arch/arm/kernel/{setup,devtree}.c, arch/arm/mm/mmu.c (early_fixmap_init,
early_cachepolicy, early_ecc, __set_fixmap).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ttbr.boot.arm.lowmem import adjust_lowmem_bounds, early_vmalloc
from ttbr.boot.arm.mem_types import build_mem_type_table, cache_policy
from ttbr.boot.board import memory_entries
from ttbr.boot.early_fdt import early_init_dt_scan, machine_name
from ttbr.boot.earlycon import find_earlycon
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import with_limited_memory
from ttbr.boot.params import memparse
from ttbr.errors import InputError
from ttbr.kernel.arm_layout import FIX_EARLYCON_MEM_BASE, FIXADDR_TOP, PAGE_SIZE
from ttbr.kernel.arm_machines import WITHOUT_ROW, machine_desc
from ttbr.kernel.arm_prot import domains, fixmap_page_io, kernel_table

if TYPE_CHECKING:
    from ttbr.boot.arm.state import ArmBoot
    from ttbr.boot.machine import Machine

EXYNOS_MEMORY_ENTRIES = 8  # exynos_dt_fixup: of_fdt_limit_memory(8)
ULONG_MAX = 0xFFFF_FFFF
SCTLR_TRE = 1 << 28
CACHE_POLICIES = ("uncached", "buffered", "writethrough", "writeback", "writealloc")


def setup_machine_fdt(boot: ArmBoot) -> None:
    """Pick the machine descriptor, and fill memblock.memory from the device tree."""
    boot.mdesc = machine_desc(boot.machine.board.compatible, boot.config)
    unmapped = WITHOUT_ROW.intersection(boot.machine.board.compatible)
    if unmapped:
        boot.unknown(
            f"the static device mappings of {', '.join(sorted(unmapped))}: they and their tables "
            "are missing"
        )
    if boot.mdesc.dt_fixup:
        exynos_dt_fixup(boot.machine)
    if boot.mdesc.pv_fixup and boot.layout.lpae:
        raise InputError(
            f"{boot.mdesc.name}: with LPAE the kernel moves to the alias of its RAM above 4 GiB, "
            "which is not covered"
        )
    chosen = boot.tree.find("/chosen")
    if chosen is not None and chosen.prop("linux,uefi-system-table") is not None:
        raise InputError("a boot through UEFI is not covered on 32-bit ARM")
    boot.memblock.log.say(f"OF: fdt: Machine model: {machine_name(boot.tree) or '(null)'}")
    early_init_dt_scan(boot.machine)


def exynos_dt_fixup(machine: Machine) -> None:
    """of_fdt_limit_memory(): boot loaders are known to put rubbish behind the eighth entry."""
    blob = with_limited_memory(machine.tree, EXYNOS_MEMORY_ENTRIES)
    if blob is machine.tree.blob:
        return
    machine.tree = DeviceTree.parse(blob)
    machine.ram.write(machine.dtb, blob)
    machine.board = replace(machine.board, memory=tuple(memory_entries(machine.tree)))


def early_fixmap_init(boot: ArmBoot) -> None:
    """Put the image's own table page under the top of the fixmap."""
    boot.tables.pmd_populate(FIXADDR_TOP, boot.bm_pte, kernel_table(boot.bits, boot.config))


def parse_early_param(boot: ArmBoot) -> None:
    """The early parameters that move memory, in the order of the command line."""
    machine = boot.machine
    usermem = False
    for name, value in machine.params.arguments:
        if name == "memblock":
            machine.parse_early_param()
        elif name == "vmalloc" and value is not None:
            boot.vmalloc_size = early_vmalloc(memparse(value)[0], boot.layout, boot.memblock)
        elif name == "mem" and value is not None:
            early_mem(boot, value, first=not usermem)
            usermem = True
        elif name == "cachepolicy" and value is not None:
            early_cachepolicy(boot, value)
    console = find_earlycon(machine.params, boot.config, machine.tree)
    if console is not None:
        set_earlycon(boot, console.address)


def early_mem(boot: ArmBoot, text: str, *, first: bool) -> None:
    """mem=size[@start]: the first one forgets what the device tree says."""
    memblock = boot.memblock
    if first:
        base = memblock.start_of_dram()
        memblock.remove(base, memblock.end_of_dram() - base, "early_mem")
    size, rest = memparse(text)
    start = memparse(rest[1:])[0] if rest.startswith("@") else boot.phys_offset
    arm_add_memory(boot, start, size)


def early_cachepolicy(boot: ArmBoot, text: str) -> None:
    """cachepolicy=: on ARMv6 and later only the policy that head.S chose will do."""
    say = boot.memblock.log.say
    chosen = cache_policy(boot.smp)
    # The first name of the kernel's table that the text begins with.
    selected = next((name for name in CACHE_POLICIES if text.startswith(name)), None)
    if selected is None:
        say("ERROR: unknown or unsupported cache policy")
    if selected != chosen:
        say(f"Only cachepolicy={chosen} supported on ARMv6 and later")


def arm_add_memory(boot: ArmBoot, start: int, size: int) -> None:
    """Add a bank: whole pages, not beyond 32 bits without LPAE, not below PHYS_OFFSET."""
    log = boot.memblock.log
    aligned = -(-start // PAGE_SIZE) * PAGE_SIZE
    size = max(0, size - (aligned - start))
    if not boot.layout.lpae:
        if aligned > ULONG_MAX:
            log.say(f"Ignoring memory at {start:#010x} outside 32-bit physical address space")
            return
        if aligned + size > ULONG_MAX:
            log.say(f"Truncating memory at {start:#010x} to fit in 32-bit physical address space")
            size = ULONG_MAX - aligned
    if aligned < boot.phys_offset:
        end = min(aligned + size, boot.phys_offset)
        log.say(f"Ignoring memory below PHYS_OFFSET: {aligned:#010x}-{end:#010x}")
        if aligned + size <= boot.phys_offset:
            return
        size -= boot.phys_offset - aligned
        aligned = boot.phys_offset
    size = size // PAGE_SIZE * PAGE_SIZE
    if size:
        boot.memblock.add(aligned, size, "arm_add_memory")


def set_earlycon(boot: ArmBoot, physical: int) -> None:
    """set_fixmap_io() of the early console's page."""
    virtual = FIXADDR_TOP - FIX_EARLYCON_MEM_BASE * PAGE_SIZE
    page = physical // PAGE_SIZE * PAGE_SIZE
    boot.tables.set_ptes(boot.bm_pte, virtual, page, fixmap_page_io(boot.bits), 1)
    if boot.memblock.log.printing:
        boot.unknown(
            "earlycon and memblock=debug together hang a 32-bit ARM kernel inside paging_init: it "
            "prints while the console's mapping is away"
        )


def early_mm_init(boot: ArmBoot) -> None:
    """Decide what each memory type looks like on this CPU."""
    ecc = (boot.machine.params.last("ecc") or "").startswith("on") and not boot.layout.lpae
    boot.mem_types = build_mem_type_table(
        boot.bits,
        domains(boot.config),
        smp=boot.smp,
        ecc=ecc,
        tex_remap=bool(boot.registers["SCTLR"] & SCTLR_TRE),
        architecture=boot.machine.cpu.architecture,
    )
    words = "ECC enabled, " if ecc else ""
    boot.memblock.log.say(f"Memory policy: {words}Data cache {cache_policy(boot.smp)}")


def adjust_bounds(boot: ArmBoot) -> None:
    """adjust_lowmem_bounds() of this machine."""
    boot.lowmem = adjust_lowmem_bounds(
        boot.memblock,
        boot.layout,
        boot.phys_offset,
        boot.vmalloc_size,
        highmem=boot.config.enabled("HIGHMEM"),
    )
