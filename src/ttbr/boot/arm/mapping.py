"""create_mapping() and what it is made of: map_desc in, entries of swapper_pg_dir out.

Source: arch/arm/mm/{mmu,ioremap}.c (create_mapping … alloc_init_pte, create_36bit_mapping,
iotable_init, vm_reserve_area_early, add_static_vm_early), mm/vmalloc.c (vm_area_add_early).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.memblock import BootPanic
from ttbr.kernel.arm_layout import (
    FIXADDR_START,
    PAGE_SIZE,
    PMD_SIZE,
    VECTORS_BASE,
    VMALLOC_END,
)
from ttbr.kernel.arm_prot import SECT_SUPER

if TYPE_CHECKING:
    from ttbr.boot.arm.mem_types import MemType
    from ttbr.boot.arm.tables import KernelTables
    from ttbr.boot.memblock import Memblock
    from ttbr.memory.ram import Ram

SUPERSECTION_SIZE = 1 << 24
SUPERSECTION_ENTRIES = 16
LIMIT_32_BIT = 1 << 32


@dataclass(frozen=True, slots=True)
class MapDesc:
    """struct map_desc: virtual and physical address, bytes, and memory type without `MT_`."""

    virtual: int
    physical: int
    length: int
    type: str


@dataclass(frozen=True, slots=True)
class StaticVm:
    """A static_vm: virtual addresses that vmalloc and ioremap must leave alone.

    `mapped`: what lies there; None where the addresses are only kept free.
    """

    address: int
    size: int
    mapped: MapDesc | None = None


@dataclass(frozen=True, slots=True)
class StaticVmLayout:
    """What one static_vm costs: sizeof and alignment in bytes."""

    size: int
    align: int


def static_vm_layout(*, lpae: bool, requested_size: bool) -> StaticVmLayout:
    """sizeof(struct static_vm): a vm_struct of eight or nine words and a list_head of two.

    `requested_size`: the release has vm_struct_requested_size. LPAE's phys_addr has 8 bytes and is
    aligned to them, which leaves room for the ninth word in any case.
    """
    if lpae:
        return StaticVmLayout(48, 8)
    return StaticVmLayout(44 if requested_size else 40, 4)


def page_align(value: int) -> int:
    """Round up to whole pages."""
    return -(-value // PAGE_SIZE) * PAGE_SIZE


class Mapper:
    """Maps into swapper_pg_dir, taking table pages from memblock.

    `vmalloc_start` is VMALLOC_START, which follows from the end of lowmem.
    """

    def __init__(
        self,
        tables: KernelTables,
        mem_types: Mapping[str, MemType],
        memblock: Memblock,
        vm_layout: StaticVmLayout,
        vmalloc_start: int,
    ) -> None:
        self.tables = tables
        self.mem_types = mem_types
        self.memblock = memblock
        self.vm_layout = vm_layout
        self.vmalloc_start = vmalloc_start
        self.static_vms: list[StaticVm] = []

    @property
    def ram(self) -> Ram:
        """The memory that the tables lie in."""
        return self.tables.writer.ram

    def early_alloc(self, size: int) -> int:
        """early_alloc(): zeroed memory, aligned to its size; its physical address."""
        return self._alloc(size, size, "early_alloc")

    def _alloc(self, size: int, align: int, function: str) -> int:
        address = self.memblock.alloc(size, align, function)
        if not address:
            raise BootPanic(
                f"the kernel panics: '{function}: Failed to allocate {size} bytes "
                f"align={align:#x}' below {self.memblock.current_limit:#x}"
            )
        self.ram.write(address, bytes(size))
        return address

    def early_pte_alloc(self, virtual: int, prot: int) -> int:
        """early_pte_alloc(): the table page that serves `virtual`, made if there is none."""
        page = self.tables.table_page(virtual)
        if page is None:
            page = self.early_alloc(PAGE_SIZE)
            self.tables.pmd_populate(virtual, page, prot)
        return page

    def create_mapping(self, mapping: MapDesc, function: str) -> None:
        """create_mapping(): write the entries of one map_desc, and note it for `function`."""
        layout = self.tables.layout
        log = self.memblock.log
        virtual, physical = mapping.virtual, mapping.physical
        if virtual != VECTORS_BASE and virtual < layout.task_size:
            log.say(
                f"BUG: not creating mapping for {physical:#010x} at {virtual:#010x} in user region"
            )
            return
        in_vmalloc = self.vmalloc_start <= virtual < VMALLOC_END
        below_fixmap = layout.page_offset <= virtual < FIXADDR_START
        if mapping.type == "DEVICE" and below_fixmap and not in_vmalloc:
            log.say(f"BUG: mapping for {physical:#010x} at {virtual:#010x} out of vmalloc space")
        if self._create(mapping):
            start = virtual & ~(PAGE_SIZE - 1)
            end = start + page_align(mapping.length + virtual - start)
            log.add("map", start, end - 1, function, f"to {physical:#x} as {mapping.type}")

    def _create(self, mapping: MapDesc) -> bool:
        """__create_mapping(); False if the kernel refuses with a message."""
        layout = self.tables.layout
        kind = self.mem_types[mapping.type]
        if mapping.physical >= LIMIT_32_BIT and not layout.lpae:
            return self._create_36bit(mapping, kind)
        address = mapping.virtual & ~(PAGE_SIZE - 1)
        length = page_align(mapping.length + mapping.virtual - address)
        physical = mapping.physical & ~(PAGE_SIZE - 1)
        if length <= 0 or address + length > LIMIT_32_BIT:
            raise BootPanic(
                f"the kernel would map {mapping.length:#x} bytes at {mapping.virtual:#010x} to "
                f"{mapping.physical:#x}, which does not fit into its address space"
            )
        if not kind.prot_l1 and (address | physical | length) & (layout.section_size - 1):
            self.memblock.log.say(
                f"BUG: map for {physical:#010x} at {address:#010x} can not be mapped using pages, "
                "ignoring."
            )
            return False
        end = address + length
        offset = physical - address
        while address < end:
            following = self._same_size(address, end, offset, kind)
            if self._sections_fit(address, following, offset, kind):
                count = (following - address) // layout.section_size
                self.tables.set_sections(address, address + offset | kind.prot_sect, count)
            else:
                page = self.early_pte_alloc(address, kind.prot_l1)
                count = (following - address) // PAGE_SIZE
                self.tables.set_ptes(page, address, address + offset, kind.prot_pte, count)
            address = following
        return True

    def _same_size(self, address: int, end: int, offset: int, kind: MemType) -> int:
        """Where the piece from `address` on ends that the kernel maps alike.

        It decides 2 MiB by 2 MiB; whole aligned ones that become sections are taken in one go.
        """
        boundary = (address // PMD_SIZE + 1) * PMD_SIZE
        whole = end // PMD_SIZE * PMD_SIZE
        aligned = address % PMD_SIZE == 0 and whole > address
        if aligned and self._sections_fit(address, whole, offset, kind):
            return whole
        return min(boundary, end)

    def _sections_fit(self, address: int, end: int, offset: int, kind: MemType) -> bool:
        odd = (address | end | address + offset) & (self.tables.layout.section_size - 1)
        return bool(kind.prot_sect) and not odd

    def _create_36bit(self, mapping: MapDesc, kind: MemType) -> bool:
        """create_36bit_mapping(): supersections for what lies above 4 GiB."""
        virtual, physical, length = mapping.virtual, mapping.physical, page_align(mapping.length)
        log = self.memblock.log
        if kind.prot_sect >> 5 & 0xF:
            log.say(
                f"MM: invalid domain in supersection mapping for {physical:#010x} "
                f"at {virtual:#010x}"
            )
            return False
        if (virtual | length | physical) & (SUPERSECTION_SIZE - 1):
            log.say(
                f"MM: cannot create mapping for {physical:#010x} at {virtual:#010x} "
                "invalid alignment"
            )
            return False
        high = (physical >> 32 & 0xF) << 20
        for step in range(0, length, SUPERSECTION_SIZE):
            low = physical + step & 0xFFFF_FFFF
            entry = low | high | kind.prot_sect | SECT_SUPER
            self.tables.set_equal_sections(virtual + step, entry, SUPERSECTION_ENTRIES)
        return True

    def iotable_init(self, mappings: Sequence[MapDesc], function: str) -> None:
        """iotable_init(): one allocation for the static_vms, then each mapping and its static_vm.

        The memory of the static_vms is not filled in: their pointers are not predicted.
        """
        if not mappings:
            return
        self._alloc(self.vm_layout.size * len(mappings), self.vm_layout.align, "iotable_init")
        for mapping in mappings:
            self.create_mapping(mapping, function)
            start = mapping.virtual & ~(PAGE_SIZE - 1)
            size = page_align(mapping.length + mapping.virtual - start)
            self._add_static_vm_early(StaticVm(start, size, mapping))

    def vm_reserve_area_early(self, address: int, size: int) -> None:
        """vm_reserve_area_early(): keep virtual addresses free without mapping them."""
        self._alloc(self.vm_layout.size, self.vm_layout.align, "vm_reserve_area_early")
        self._add_static_vm_early(StaticVm(address, size))

    def static_vm_at(self, address: int) -> StaticVm | None:
        """find_static_vm_vaddr(): the static_vm that holds a virtual address."""
        for vm in self.static_vms:
            if vm.address <= address < vm.address + vm.size:
                return vm
        return None

    def _add_static_vm_early(self, vm: StaticVm) -> None:
        """add_static_vm_early(): keep the list sorted; overlaps are a BUG()."""
        for other in self.static_vms:
            if other.address < vm.address + vm.size and vm.address < other.address + other.size:
                raise BootPanic(
                    f"BUG in vm_area_add_early: static mappings at {other.address:#010x} "
                    f"({other.size:#x} bytes) and {vm.address:#010x} ({vm.size:#x} bytes) overlap"
                )
        place = bisect_right(self.static_vms, vm.address, key=lambda known: known.address)
        self.static_vms.insert(place, vm)
