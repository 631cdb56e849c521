"""create_mapping against a model that maps page by page, and the table page's four halves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttbr.boot.arm.mapping import MapDesc, Mapper, static_vm_layout
from ttbr.boot.arm.mem_types import build_mem_type_table
from ttbr.boot.arm.tables import KernelTables
from ttbr.boot.events import EventLog
from ttbr.boot.memblock import BootPanic, Memblock
from ttbr.kernel.arm_layout import ArmLayout
from ttbr.kernel.arm_prot import Domains, prot_bits
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram

K = 1 << 10
M = 1 << 20
PAGE = 4 * K
PHYS = 0x4000_0000
END = PHYS + 64 * M
ROOT = PHYS + 0x4000
DOMAINS = Domains(kernel=0, user=1, io=2, vectors=3)


def mapper(lpae=False):
    layout = ArmLayout(lpae, 0xC000_0000, 0x8000, 0xBF00_0000, 0xBFE0_0000, 0xBFE0_0000)
    bits = prot_bits(lpae)
    ram = Ram([Bank(PHYS, END - PHYS)])
    memblock = Memblock(EventLog(), 64 if lpae else 32)
    memblock.add(PHYS, END - PHYS, "test")
    memblock.reserve(ROOT, layout.pg_dir_size, "test")
    tables = KernelTables(ram, layout, bits, ROOT)
    tables.clear_all()
    types = build_mem_type_table(bits, DOMAINS, smp=True)
    vm = static_vm_layout(lpae=lpae, requested_size=True)
    return Mapper(tables, types, memblock, vm, 0xF000_0000)


def walk(made, virtual):
    """(physical, ends at a section?) by reading descriptors one by one; None for a fault."""
    lpae = made.tables.layout.lpae
    read = made.ram.read
    if lpae:
        entry = int.from_bytes(read(ROOT + PAGE + (virtual >> 21) * 8, 8), "little")
        if entry & 3 == 1:
            return (entry & 0xFF_FFE0_0000) + virtual % (2 * M), True
        if entry & 3 != 3:
            return None
        at = (entry & 0xFF_FFFF_F000) + (virtual >> 12) % 512 * 8
        page = int.from_bytes(read(at, 8), "little")
        return ((page & 0xFF_FFFF_F000) + virtual % PAGE, False) if page & 3 == 3 else None
    entry = int.from_bytes(read(ROOT + (virtual >> 20) * 4, 4), "little")
    if entry & 3 == 2:
        return (entry & 0xFFF0_0000) + virtual % M, True
    if entry & 3 != 1:
        return None
    at = (entry & ~0x3FF) + (virtual >> 12) % 256 * 4
    page = int.from_bytes(read(at, 4), "little")
    return ((page & ~0xFFF) + virtual % PAGE, False) if page & 2 else None


def test_table_page_holds_two_linux_and_two_hardware_tables():
    made = mapper()
    made.create_mapping(MapDesc(0xFEF0_0000, 0x1C00_0000, 2 * PAGE, "DEVICE"), "test")
    page = END - PAGE
    assert made.tables.pmd(0xFEF0_0000) == page + 0x800 | 0x41
    assert made.tables.section(0xFEF0_0000) == page + 0xC00 | 0x41
    raw = made.ram.read(page, PAGE)
    words = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, PAGE, 4)]
    assert {i: word for i, word in enumerate(words) if word} == {
        256: 0x1C00_0653,
        257: 0x1C00_1653,
        256 + 512: 0x1C00_0453,
        257 + 512: 0x1C00_1453,
    }


def test_pieces_of_2m_become_sections_or_pages_each_for_itself():
    made = mapper()
    made.create_mapping(MapDesc(0xC010_0000, PHYS + M, 5 * M + PAGE, "MEMORY_RW"), "test")
    assert walk(made, 0xC010_0000) == (PHYS + M, True), "the odd first megabyte is a section"
    assert walk(made, 0xC020_0000)[1] and walk(made, 0xC050_0000)[1]
    assert walk(made, 0xC060_0000) == (PHYS + 6 * M, False), "the last piece is a page"
    assert walk(made, 0xC060_1000) is None
    made = mapper()
    made.create_mapping(MapDesc(0xC000_0000, PHYS, M + PAGE, "MEMORY_RW"), "test")
    assert walk(made, 0xC000_0000) == (PHYS, False), "and so is all of its 2 MiB"


def test_first_table_keeps_its_domain():
    made = mapper()
    made.create_mapping(MapDesc(0xFFEF_F000, 0x900_0000, PAGE, "DEVICE"), "test")
    made.create_mapping(MapDesc(0xFFFF_0000, PHYS, PAGE, "HIGH_VECTORS"), "test")
    assert made.tables.pmd(0xFFFF_0000) & 0x3FF == 0x41
    assert len([event for event in made.memblock.log if event.kind == "map"]) == 2


def test_dma_ready_never_uses_sections():
    made = mapper()
    made.iotable_init([MapDesc(0xC100_0000, PHYS + 16 * M, 4 * M, "MEMORY_DMA_READY")], "test")
    assert walk(made, 0xC100_0000) == (PHYS + 16 * M, False)
    reserved = [(e.start, e.end + 1 - e.start) for e in made.memblock.log if "alloc" in e.function]
    assert reserved == [(END - 44, 44), (END - 2 * PAGE, PAGE), (END - 3 * PAGE, PAGE)]


def test_supersections_above_4g():
    made = mapper()
    made.create_mapping(MapDesc(0xF000_0000, 0x9_4000_0000, 16 * M, "MEMORY_RW"), "test")
    entries = {made.tables.section(0xF000_0000 + step * M) for step in range(16)}
    assert entries == {0x4090_0000 | 0x1141E | 1 << 18}
    made.create_mapping(MapDesc(0xF100_0000, 0x9_4000_0000, 16 * M, "DEVICE"), "test")
    made.create_mapping(MapDesc(0xF110_0000, 0x9_4000_0000, 16 * M, "MEMORY_RW"), "test")
    assert not made.tables.section(0xF100_0000)
    texts = [message.text for message in made.memblock.log.messages]
    assert "invalid domain" in texts[0]
    assert "invalid alignment" in texts[1]


def test_messages_of_refused_mappings():
    made = mapper()
    made.create_mapping(MapDesc(0x1000_0000, PHYS, PAGE, "MEMORY_RW"), "test")
    made.create_mapping(MapDesc(0xF010_0000, 0, PAGE, "ROM"), "test")
    made.create_mapping(MapDesc(0xC200_0000, 0x1000_0000, M, "DEVICE"), "test")
    texts = [message.text for message in made.memblock.log.messages]
    assert ["user region" in texts[0], "using pages" in texts[1]] == [True, True]
    assert "out of vmalloc space" in texts[2]
    assert made.tables.section(0xC200_0000) == 0x1001_1452, "a warning only"


def test_what_stops_the_kernel_is_one_clear_error():
    made = mapper()
    made.create_mapping(MapDesc(0xC000_0000, PHYS, 2 * M, "MEMORY_RW"), "test")
    with pytest.raises(BootPanic, match="BUG in arm_pte_alloc: 0xc0000000"):
        made.early_pte_alloc(0xC000_0000, 0x11)
    with pytest.raises(BootPanic, match="does not fit"):
        made.create_mapping(MapDesc(0xFFFF_F000, PHYS, 2 * PAGE, "MEMORY_RW"), "test")
    made.vm_reserve_area_early(0xFEE0_0000, 2 * M)
    with pytest.raises(BootPanic, match="overlap"):
        made.vm_reserve_area_early(0xFEF0_0000, M)
    made.memblock.current_limit = PHYS
    with pytest.raises(BootPanic, match="early_alloc: Failed to allocate 4096 bytes"):
        made.early_alloc(PAGE)


def test_pmd_clear_range_steps_as_the_kernel_does():
    made = mapper()
    made.create_mapping(MapDesc(0xC000_0000, PHYS, 8 * M, "MEMORY_RW"), "test")
    made.tables.pmd_clear_range(0xC030_0000, 0xC060_0000)
    left = [step for step in range(8) if made.tables.section(0xC000_0000 + step * M)]
    assert left == [0, 1, 6, 7], "from inside 2 MiB on, all of them; the end's only by steps"


MAPPINGS = st.tuples(
    st.integers(0, 0x17FF).map(lambda page: 0xF100_0000 + page * PAGE),
    st.integers(0, 0x3FFFF).map(lambda page: page * PAGE),
    st.one_of(st.integers(1, 600).map(lambda n: n * PAGE), st.integers(1, 6).map(lambda n: n * M)),
    st.sampled_from(["DEVICE", "MEMORY_RW", "MEMORY_DMA_READY", "MEMORY_RWX"]),
    st.sampled_from([1, PAGE, M, 2 * M]),
)


@settings(max_examples=60, deadline=None)
@given(MAPPINGS, st.booleans())
def test_mapping_agrees_with_a_page_by_page_model(mapping, lpae):
    virtual, physical, length, kind, align = mapping
    virtual, physical = virtual // align * align, physical // align * align
    made = mapper(lpae)
    made.create_mapping(MapDesc(virtual, physical, length, kind), "test")
    section = made.tables.layout.section_size
    first, behind = virtual & ~(PAGE - 1), -(-(virtual + length) // PAGE) * PAGE
    physical &= ~(PAGE - 1)
    for page in range(first - 2 * PAGE, behind + 2 * PAGE, PAGE):
        found = walk(made, page)
        if not first <= page < behind:
            assert found is None
            continue
        assert found is not None
        assert found[0] == physical + page - first
        # the kernel's rule: all of the piece within 2 MiB, both ends and the physical address
        low, high = max(first, page // (2 * M) * 2 * M), min(behind, (page // (2 * M) + 1) * 2 * M)
        fits = not (low | high | (physical + low - first)) % section
        assert found[1] == (fits and kind != "MEMORY_DMA_READY")
