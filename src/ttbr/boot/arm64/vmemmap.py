"""The virtual memory map: struct page of every section, mapped in one array of addresses.

Source: arch/arm64/mm/mmu.c (vmemmap_populate), mm/sparse-vmemmap.c.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ttbr.boot.arm64.state import ADDRESS_MASK, Arm64
from ttbr.boot.arm64.tables import Root, Span
from ttbr.boot.memblock import BootPanic
from ttbr.boot.sparse import SparseBuffer
from ttbr.kernel.arm64_geometry import LAST_LEVEL, PMD_LEVEL
from ttbr.kernel.arm64_prot import TABLE, TYPE_BLOCK, TYPE_MASK, WRITE, leaf
from ttbr.kernel.structs import section_shift, struct_size

FUNCTION = "__earlyonly_bootmem_alloc"


@dataclass(slots=True)
class Vmemmap:
    """The map of one machine."""

    state: Arm64
    _page: int = field(init=False)
    _section_shift: int = field(init=False)

    def __post_init__(self) -> None:
        # A large machine asks for each of its sections.
        kernel = self.state.machine.kernel
        self._page = struct_size(kernel, "page")
        self._section_shift = section_shift(kernel)

    def section_map_size(self) -> int:
        """A section's struct pages, rounded up to what an entry of the PMD spans."""
        unit = self.state.layout.geometry.size(PMD_LEVEL)
        return -(-self._section_bytes // unit) * unit

    @property
    def _section_bytes(self) -> int:
        pages = (1 << self._section_shift) // self.state.machine.kernel.page_size
        return self._page * pages

    def address(self, phys: int) -> int:
        """Virtual address of the struct page of a physical address (pfn_to_page)."""
        state = self.state
        page, size = state.layout.geometry.page_size, self._page
        start = state.memstart - (ADDRESS_MASK + 1 if state.memstart >> 63 else 0)
        offset = (phys // page - start // page) * size
        return (state.layout.vmemmap_start + offset) & ADDRESS_MASK

    def populate(self, section: int, nid: int, buffer: SparseBuffer) -> None:
        """``vmemmap_populate``: blocks with 4K pages, pages otherwise."""
        geometry = self.state.layout.geometry
        start = self.address(section << self._section_shift)
        end = start + self._section_bytes
        unit = geometry.size(PMD_LEVEL)
        at = start
        while at < end:
            following = min(at // unit * unit + unit, end)
            if geometry.page_shift != 12 or not self._block(at, nid, buffer):
                self._base_pages(at, following, nid, buffer)
            at = following
        span = Span(start, section << self._section_shift, end - start)
        self.state.machine.log.add(
            "map", span.virt, span.end - 1, "vmemmap_populate", f"struct pages of {span.phys:#x}"
        )

    def _block(self, at: int, nid: int, buffer: SparseBuffer) -> bool:
        """Map what the entry of the PMD spans by a block; False if there is none to be had."""
        state, tables = self.state, self.state.tables
        table = self._table(at, PMD_LEVEL, nid)
        index = tables.index(at, PMD_LEVEL, table.entries)
        entry = tables.writer.read(table.address, index)
        if entry:
            # One that is there already serves this section, too.
            return entry & TYPE_MASK == TYPE_BLOCK
        unit = state.layout.geometry.size(PMD_LEVEL)
        found = buffer.alloc(unit) or self._alloc(unit, nid)
        if not found:
            return False
        protection = state.protections.normal()
        if not state.machine.kernel.release.has("arm64_sect_normal_write"):
            protection &= ~WRITE
        bits = leaf(protection, PMD_LEVEL)
        tables.leaves(table.address, index, found, bits, step=unit, count=1)
        state.machine.memmap_bytes += unit
        return True

    def _base_pages(self, start: int, end: int, nid: int, buffer: SparseBuffer) -> None:
        """``vmemmap_populate_basepages``, within one table of the last level."""
        state, tables = self.state, self.state.tables
        page = state.layout.geometry.page_size
        table = self._table(start, LAST_LEVEL, nid)
        bits = leaf(state.protections.kernel, LAST_LEVEL)
        at = start // page * page
        while at < end:
            index = tables.index(at, LAST_LEVEL, table.entries)
            if tables.writer.read(table.address, index):
                at += page
                continue
            # From the second page on entries are empty: no section but this one reaches there.
            found, count = buffer.run(page, -(-(end - at) // page))
            if not found:
                found, count = self._alloc(page, nid), 1
            if not found:
                raise BootPanic("the kernel has no memory for the struct pages of all its memory")
            tables.leaves(table.address, index, found, bits, step=page, count=count)
            state.machine.memmap_bytes += count * page
            at += count * page

    def _table(self, at: int, level: int, nid: int) -> Root:
        """The table of a level for an address, made with those above it if need be."""
        state, tables = self.state, self.state.tables
        table = state.root("swapper_pg_dir")

        def alloc() -> int:
            page = state.layout.geometry.page_size
            found = self._alloc(page, nid)
            if not found:
                raise BootPanic("the kernel has no memory for the tables of its memory map")
            tables.clear(found)
            return found

        while table.level < level:
            index = tables.index(at, table.level, table.entries)
            below = tables.next_table(table.address, index, table.level, TABLE, alloc)
            table = Root(below, table.level + 1, state.layout.geometry.entries)
        return table

    def _alloc(self, size: int, nid: int) -> int:
        """``vmemmap_alloc_block``: from memblock, aligned to its size."""
        memblock = self.state.machine.memblock
        function = self.state.machine.kernel.caller(FUNCTION, "vmemmap_alloc_block")
        return memblock.alloc_try_nid_raw(size, size, function, start=self.state.memstart, nid=nid)
