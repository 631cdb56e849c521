"""What the stages of a 32-bit ARM boot know beside the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ttbr.boot.arm.lowmem import VMALLOC_DEFAULT, Lowmem
from ttbr.boot.arm.mapping import Mapper, static_vm_layout
from ttbr.boot.arm.tables import KernelTables
from ttbr.errors import InputError
from ttbr.kernel.arm_layout import PMD_SIZE, ArmLayout, arm_layout
from ttbr.kernel.arm_machines import GENERIC_DT, MachineDesc
from ttbr.kernel.arm_prot import ProtBits, prot_bits

if TYPE_CHECKING:
    from ttbr.boot.arm.mem_types import MemType
    from ttbr.boot.fdt import DeviceTree
    from ttbr.boot.loader import Placement
    from ttbr.boot.machine import Machine
    from ttbr.boot.memblock import Memblock
    from ttbr.kernel.config import Config

LPAE_VMSA = 5  # ID_MMFR0.VMSA of a CPU with long descriptors
LIMIT_32_BIT = 1 << 32
# Symbols whose addresses images carry; nothing slides on 32-bit ARM.
IMAGE_SYMBOLS = ("_text", "_stext", "_etext", "__init_begin", "__init_end", "_sdata", "_end")


@dataclass(frozen=True, slots=True)
class DebugUart:
    """The UART of CONFIG_DEBUG_LL: physical and virtual address."""

    physical: int
    virtual: int


@dataclass
class ArmBoot:
    """The machine, and the variables of arch/arm that its stages hand on.

    `kernel_sec_start` and `kernel_sec_end` bound the sections that head.S mapped for the image
    (physical); `dram_barrier` is the megabyte that omap_reserve stole, `crash_area` the (address,
    bytes) that crashkernel= got, `zero_page` the page of zeros that user space reads.
    """

    machine: Machine
    layout: ArmLayout
    tables: KernelTables
    smp: bool
    debug_uart: DebugUart | None
    mdesc: MachineDesc = GENERIC_DT
    kernel_sec_start: int = 0
    kernel_sec_end: int = 0
    vmalloc_size: int = VMALLOC_DEFAULT
    lowmem: Lowmem = field(default_factory=lambda: Lowmem(0, 0))
    mem_types: Mapping[str, MemType] = field(default_factory=dict)
    dram_barrier: int | None = None
    crash_area: tuple[int, int] | None = None
    zero_page: int = 0

    @property
    def config(self) -> Config:
        """The kernel's configuration."""
        return self.machine.kernel.config

    @property
    def memblock(self) -> Memblock:
        """The boot-time allocator."""
        return self.machine.memblock

    @property
    def placement(self) -> Placement:
        """Where the loader put things."""
        return self.machine.placement

    @property
    def tree(self) -> DeviceTree:
        """The device tree as handed over."""
        return self.machine.tree

    @property
    def registers(self) -> dict[str, int]:
        """The system registers, by name."""
        return self.machine.registers

    @property
    def symbols(self) -> Mapping[str, int]:
        """The kernel's symbols: virtual addresses, which are final without KASLR."""
        return self.machine.kernel.symbols

    @property
    def phys_offset(self) -> int:
        """PHYS_OFFSET: the physical address at PAGE_OFFSET."""
        return self.machine.phys_offset

    @property
    def bits(self) -> ProtBits:
        """The bits of the kernel's descriptor format."""
        return self.tables.bits

    @property
    def bm_pte(self) -> int:
        """Physical address of the fixmap's table page in the image."""
        return self.physical(self.symbol("bm_pte"))

    @property
    def vmalloc_start(self) -> int:
        """VMALLOC_START, once lowmem is known."""
        return self.layout.vmalloc_start(self.lowmem.high_memory)

    @cached_property
    def mapper(self) -> Mapper:
        """The mapper of paging_init(): not to be asked for before lowmem and mem_types are set."""
        requested_size = self.machine.kernel.release.has("vm_struct_requested_size")
        vm_layout = static_vm_layout(lpae=self.layout.lpae, requested_size=requested_size)
        return Mapper(self.tables, self.mem_types, self.memblock, vm_layout, self.vmalloc_start)

    def symbol(self, name: str) -> int:
        """Virtual address of a symbol; InputError if the kernel's symbols lack it."""
        if name not in self.symbols:
            raise InputError(f"the kernel's symbols have no {name}, which the boot needs")
        return self.symbols[name]

    def physical(self, virtual: int) -> int:
        """__pa(): physical address of a lowmem address."""
        return virtual - self.layout.page_offset + self.phys_offset

    def virtual(self, physical: int) -> int:
        """__va(): where lowmem has a physical address."""
        return physical - self.phys_offset + self.layout.page_offset

    def unknown(self, text: str) -> None:
        """Say what the prediction leaves out."""
        self.machine.unknowns.append(text)


def start(machine: Machine) -> ArmBoot:
    """The state at the kernel's entry; InputError for what this boot does not cover."""
    layout = arm_layout(machine.kernel)
    _check(machine, layout)
    bits = prot_bits(layout.lpae)
    root = machine.link_to_physical(layout.swapper_pg_dir)
    boot = ArmBoot(
        machine=machine,
        layout=layout,
        tables=KernelTables(machine.ram, layout, bits, root, v6=machine.cpu.proc == "v6"),
        smp=runs_smp(machine),
        debug_uart=_debug_uart(machine),
    )
    machine.arch_state = boot
    machine.page_offset = layout.page_offset
    machine.roots["swapper_pg_dir"] = root
    machine.symbols = {
        name: machine.kernel.symbols[name]
        for name in IMAGE_SYMBOLS
        if name in machine.kernel.symbols
    }
    machine.symbols["swapper_pg_dir"] = layout.swapper_pg_dir
    return boot


def state(machine: Machine) -> ArmBoot:
    """The state that `start` made."""
    assert isinstance(machine.arch_state, ArmBoot)
    return machine.arch_state


def runs_smp(machine: Machine) -> bool:
    """is_smp(): whether an SMP kernel stays one on this CPU (head.S, __fixup_smp).

    A CPU without the multiprocessing extensions makes it a uniprocessor kernel, and so does a
    Cortex-A9 whose snoop control unit counts one core.
    """
    config, cpu = machine.kernel.config, machine.cpu
    if not config.enabled("SMP"):
        return False
    if not config.enabled("SMP_ON_UP"):
        return True
    alone = cpu.scu and machine.board.cpus == 1
    return cpu.multiprocessing and not alone


def _check(machine: Machine, layout: ArmLayout) -> None:
    config, cpu = machine.kernel.config, machine.cpu
    if not cpu.runs("arm"):
        raise InputError(f"{cpu.name} cannot run a 32-bit kernel")
    if layout.lpae and cpu.vmsa < LPAE_VMSA:
        raise InputError(
            f"{cpu.name} has no long descriptors, which a kernel with CONFIG_ARM_LPAE needs"
        )
    if machine.phys_offset % PMD_SIZE:
        raise InputError(
            f"_text at {machine.placement.kernel:#x} gives PHYS_OFFSET {machine.phys_offset:#x}, "
            "which is not 2 MiB aligned"
        )
    if not config.enabled("ARM_PATCH_PHYS_VIRT"):
        fixed = config.integer("PHYS_OFFSET", 0)
        if fixed != machine.phys_offset:
            raise InputError(
                f"the kernel is built for RAM at {fixed:#x} (CONFIG_PHYS_OFFSET), but _text at "
                f"{machine.placement.kernel:#x} puts it at {machine.phys_offset:#x}"
            )
    if not machine.dtb:
        raise InputError("a device tree at address 0 is none to a 32-bit kernel (r2 is 0)")
    end = machine.placement.kernel + machine.kernel.image_size
    if max(end, machine.dtb + machine.tree.totalsize) > LIMIT_32_BIT:
        raise InputError("kernel and device tree must lie below 4 GiB on 32-bit ARM")


def _debug_uart(machine: Machine) -> DebugUart | None:
    """The UART of CONFIG_DEBUG_LL, where the configuration names its addresses."""
    config = machine.kernel.config
    silent = ("DEBUG_ICEDCC", "DEBUG_SEMIHOSTING")
    if not config.enabled("DEBUG_LL") or any(config.enabled(option) for option in silent):
        return None
    physical, virtual = config.integer("DEBUG_UART_PHYS"), config.integer("DEBUG_UART_VIRT")
    if physical is None or virtual is None:
        machine.unknowns.append(
            "CONFIG_DEBUG_LL: which UART the kernel maps early is found out at run time by the "
            "board's own code; its mapping and table are missing"
        )
        return None
    return DebugUart(physical, virtual)
