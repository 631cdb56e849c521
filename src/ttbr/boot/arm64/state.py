"""What the arm64 stages carry from one to the next, beside the machine itself."""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.arm64.feature_override import HVHE, Overrides, overrides
from ttbr.boot.arm64.registers import DS, actual_va_bits
from ttbr.boot.arm64.tables import DESCRIPTOR_SIZE, Root, Span, Tables
from ttbr.boot.board import c_string
from ttbr.boot.machine import Machine
from ttbr.errors import InputError
from ttbr.kernel.arm64_geometry import IDMAP_VA_BITS, Geometry
from ttbr.kernel.arm64_layout import Layout, layout
from ttbr.kernel.arm64_prot import Protections, output_address, physical_bits, protections
from ttbr.kernel.cpu import Cpu
from ttbr.kernel.structs import struct_size
from ttbr.mmu.writer import TableWriter

MIN_KIMG_ALIGN = 2 << 20
ADDRESS_MASK = (1 << 64) - 1


@dataclass(slots=True)
class Arm64:
    """An arm64 machine on its way up.

    `cpu`: the machine's, as far as the command line lets the kernel see it (`overrides`).
    `kaslr_offset`: how
    far above its link address the kernel runs. `memstart_seed`: the 16 bits that the linear map is
    randomised with. `memstart`: physical address that PAGE_OFFSET stands for; it wraps below zero.
    `non_global`: kernel mappings get nG (arm64_use_ng_mappings). `earlycon`: physical address of a
    console that is only set up after paging_init. `crash_area`: (address, bytes) of what
    crashkernel= got, `crash_low` of the second area in low memory. `dma_limit`: the address behind
    the lowest DMA zone (arm64_dma_phys_limit).
    """

    machine: Machine
    layout: Layout
    cpu: Cpu
    overrides: Overrides
    kaslr_offset: int = 0
    memstart_seed: int = 0
    memstart: int = 0
    non_global: bool = False
    earlycon: int | None = None
    crash_area: tuple[int, int] | None = None
    crash_low: tuple[int, int] | None = None
    dma_limit: int = 0

    @classmethod
    def of(cls, machine: Machine) -> Arm64:
        """The state for a machine that was just handed over; `InputError` for KASAN kernels.

        Also for one that is not relocatable and lies where its own code cannot run.
        """
        kernel = machine.kernel
        if machine.placement.kernel % MIN_KIMG_ALIGN and not kernel.config.enabled("RELOCATABLE"):
            raise InputError(
                f"the kernel cannot run at {machine.placement.kernel:#x}: without "
                f"CONFIG_RELOCATABLE _text must be {MIN_KIMG_ALIGN >> 20} MiB aligned"
            )
        geometry = layout(kernel.config, kernel.release).geometry
        found = overrides(
            bootargs(machine) or "",
            kernel.config,
            kernel.release,
            machine.cpu,
            machine.placement.el or 1,
        )
        cpu = found.cpu(machine.cpu)
        _check_granule(machine, geometry)
        actual = actual_va_bits(kernel.config, geometry, cpu)
        page = struct_size(kernel, "page")
        return cls(machine, layout(kernel.config, kernel.release, actual, page), cpu, found)

    @property
    def runs_nvhe(self) -> bool:
        """Whether the kernel runs at EL1 although it was started at EL2 (finalise_el2)."""
        capable = bool(self.cpu.field("ID_AA64MMFR1_EL1", 8))
        return self.machine.placement.el == 2 and not (capable and not self.overrides.is_set(HVHE))

    @property
    def lpa2(self) -> bool:
        """Whether LPA2 descriptors are in force (TCR_EL1.DS)."""
        return bool(self.machine.registers.get("TCR_EL1", 0) & DS)

    @property
    def phys_mask_shift(self) -> int:
        """PHYS_MASK_SHIFT: physical address bits that the kernel's descriptors hold."""
        config = self.machine.kernel.config
        if config.enabled("ARM64_LPA2") and not self.lpa2:
            return 48
        return physical_bits(config)

    @property
    def tables(self) -> Tables:
        """What to write tables with at this moment."""
        geometry = self.layout.geometry
        output = output_address(self.machine.kernel.config, geometry.page_shift, self.lpa2)
        return Tables(TableWriter(self.machine.ram, DESCRIPTOR_SIZE), geometry, output)

    @property
    def protections(self) -> Protections:
        """The kernel's page protections at this moment."""
        return protections(self.machine.kernel.release, non_global=self.non_global, lpa2=self.lpa2)

    def link(self, symbol: str) -> int:
        """Link address of a symbol; `InputError` if the kernel's symbols lack it."""
        try:
            return self.machine.kernel.symbols[symbol]
        except KeyError:
            raise InputError(
                f"the kernel's symbols have no {symbol}: is the System.map complete, and of "
                f"release {self.machine.kernel.release}?"
            ) from None

    def pa(self, symbol: str) -> int:
        """Physical address of a symbol of the kernel image."""
        return self.machine.link_to_physical(self.link(symbol))

    def va(self, symbol: str) -> int:
        """Virtual address at which a symbol of the kernel image runs."""
        return self.link(symbol) + self.kaslr_offset

    def static_array(self, name: str) -> int | None:
        """Physical address of a static array, whose symbol may be numbered; None without it."""
        found = self.machine.kernel.symbols.local(name)
        return self.machine.link_to_physical(found[0]) if found else None

    def phys_to_virt(self, phys: int) -> int:
        """Linear address of a physical one (__phys_to_virt)."""
        return (phys - self.memstart) & ADDRESS_MASK | self.layout.page_offset

    def root(self, symbol: str) -> Root:
        """A root for kernel addresses, such as swapper_pg_dir."""
        return Root(self.pa(symbol), self.layout.root_level, self.layout.root_entries)

    def idmap_root(self, symbol: str) -> Root:
        """A root for identity maps of 48 bits (IDMAP_ROOT_LEVEL of 6.9 and later)."""
        geometry = self.layout.geometry
        return Root(self.pa(symbol), geometry.root_level(IDMAP_VA_BITS), geometry.entries)

    def segment(self, first: str, end: str) -> Span:
        """A part of the kernel image, between two symbols, where it runs and where it lies."""
        return Span(self.va(first), self.pa(first), self.link(end) - self.link(first))

    def mapped(self, span: Span, function: str, what: str) -> None:
        """Note a mapping in the machine's events."""
        detail = f"to {span.phys:#x}, {what}"
        self.machine.log.add("map", span.virt, span.end - 1, function, detail)


def _check_granule(machine: Machine, geometry: Geometry) -> None:
    """Refuse a page size that the CPU lacks: the kernel parks it (__no_granule_support).

    What the CPU is like must be known for that, not assumed.
    """
    if machine.cpu.compatible not in machine.board.cpu_compatible:
        return
    if not machine.cpu.granule(geometry.page_shift):
        raise InputError(
            f"the kernel stops before it turns the MMU on: {machine.cpu.name} has no pages of "
            f"{geometry.page_size >> 10}K (ID_AA64MMFR0_EL1; --registers says otherwise)"
        )


def bootargs(machine: Machine) -> str | None:
    """The tree's command line as it stands there; None if there is none."""
    chosen = machine.tree.find("/chosen")
    found = chosen.prop("bootargs") if chosen else None
    return c_string(found) if found else None
