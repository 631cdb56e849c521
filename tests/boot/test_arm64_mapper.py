"""Both arm64 mappers against a model that decides for one page at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttbr.boot.arm64.create_pgd_mapping import Flags, create_pgd_mapping
from ttbr.boot.arm64.map_range import PageArray, map_range
from ttbr.boot.arm64.tables import Root, Span, Tables
from ttbr.errors import TtbrError
from ttbr.kernel.arm64_geometry import CONT_SHIFTS, Geometry
from ttbr.kernel.arm64_prot import CONT, TABLE_PXN, TABLE_UXN, OutputAddress
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.writer import TableWriter

G = 1 << 30
POOL = 0x4000_0000
PROT = 0x00E8_0000_0000_0703
CUTS = [(12, 39), (12, 48), (14, 47), (14, 36), (16, 42), (16, 48)]


@dataclass
class Bench:
    """Tables in an empty RAM, and what is in them."""

    page_shift: int
    va_bits: int
    taken: int = 1
    tables: Tables = field(init=False)
    root: Root = field(init=False)

    def __post_init__(self) -> None:
        geometry = Geometry(self.page_shift, self.va_bits, *CONT_SHIFTS[self.page_shift])
        plain = OutputAddress((1 << 48) - (1 << self.page_shift), 0)
        self.tables = Tables(TableWriter(Ram([Bank(POOL, G)]), 8), geometry, plain)
        level = geometry.root_level(self.va_bits)
        self.root = Root(POOL, level, 1 << self.va_bits - geometry.shift(level))

    def alloc(self) -> int:
        page = POOL + self.taken * self.tables.geometry.page_size
        self.taken += 1
        return page

    def leaf(self, va: int) -> tuple[int, int, int] | None:
        """(level, output address of `va`, descriptor without address), or None."""
        geometry, table, level = self.tables.geometry, POOL, self.root.level
        while True:
            entries = self.root.entries if level == self.root.level else geometry.entries
            entry = self.tables.writer.read(table, va >> geometry.shift(level) & (entries - 1))
            address = entry & (1 << 48) - (1 << self.page_shift)
            bits = entry & ~((1 << 48) - (1 << self.page_shift))
            if not entry & 1:
                return None
            if level == 3 or not entry & 2:
                return level, address + va % geometry.size(level), bits
            assert not bits & ~(TABLE_UXN | TABLE_PXN | 3)
            table, level = address, level + 1


def expected_create(
    geometry: Geometry, root: int, span: Span, flags: Flags, va: int
) -> tuple[int, bool]:
    """(level, contiguous) of the leaf for one page, by the text of alloc_init_*."""
    start, end, delta = span.virt, span.end, span.phys - span.virt
    for level in range(root, 4):
        size, cont = geometry.size(level), geometry.cont_size(level)
        hint = False
        if cont:
            first, last = max(start, va // cont * cont), min(end, va // cont * cont + cont)
            hint = not flags & Flags.NO_CONT and not (first | last | first + delta) % cont
        start, end = max(start, va // size * size), min(end, va // size * size + size)
        whole = not (start | end | start + delta) % size
        if level == 3 or (whole and geometry.blocks_at(level) and not flags & Flags.NO_BLOCK):
            return level, hint
    raise AssertionError


def expected_range(geometry: Geometry, root: int, span: Span, cont_ok: bool, va: int):
    """(level, contiguous) of the leaf for one page, by the text of map_range."""
    start, end, delta = span.virt, span.end, span.phys - span.virt
    for level in range(root, 4):
        size = geometry.size(level)
        low, high = max(start, va // size * size), min(end, va // size * size + size)
        if level < 3 and (low | high | low + delta) % size:
            start, end = low, high
            continue
        hint, cont = False, geometry.cont_size(3)
        if level == 3:
            for page in range(start, va + 1, size):
                if not (page | page + delta) % cont and cont_ok:
                    hint = True
                if end // cont * cont <= page:
                    hint = False
        return level, hint
    raise AssertionError


def edges(geometry: Geometry, span: Span) -> list[int]:
    """Pages at which something may change: around every boundary that the span touches."""
    page = geometry.page_size
    units = {geometry.size(level) for level in (1, 2, 3)} | {geometry.cont_size(2)}
    units |= {geometry.cont_size(3)}
    found = {span.virt, span.end - page}
    for unit in units:
        for at in (span.virt // unit * unit + unit, span.end // unit * unit):
            found |= {at - page, at}
    return sorted(va for va in found if span.virt <= va < span.end)


@st.composite
def spans(draw, most: int = 3 * G):
    """A cut, and a span whose ends are near boundaries more often than not."""
    cut = draw(st.sampled_from(CUTS))
    bench = Bench(*cut)
    geometry = bench.tables.geometry
    page = geometry.page_size
    units = [page, geometry.cont_size(3), geometry.size(2), geometry.cont_size(2), G]
    units = [unit for unit in units if unit <= most]

    def point(limit: int) -> int:
        unit = draw(st.sampled_from(units))
        slack = draw(st.sampled_from([0, 0, 1, -1])) * page
        return max(draw(st.integers(0, limit // unit)) * unit + slack, page)

    virt = point(1 << min(cut[1] - 1, 36))
    size = max(point(most), page)
    size = min(size, (1 << cut[1]) - virt)
    delta = draw(st.sampled_from([0, *units])) * draw(st.integers(0, 7))
    return bench, Span(virt, virt + delta, size)


@settings(max_examples=150, deadline=None)
@given(spans(), st.integers(0, 7).map(Flags))
def test_create_pgd_mapping_is_its_model(drawn, flags) -> None:
    bench, span = drawn
    geometry = bench.tables.geometry
    create_pgd_mapping(bench.tables, bench.root, span, PROT, alloc=bench.alloc, flags=flags)
    for va in edges(geometry, span):
        level, cont = expected_create(geometry, bench.root.level, span, flags, va)
        bits = PROT & ~3 | (3 if level == 3 else 1) | (CONT if cont else 0)
        assert bench.leaf(va) == (level, va + span.phys - span.virt, bits), hex(va)
    for va in (span.virt - geometry.page_size, span.end):
        if 0 <= va < 1 << bench.va_bits:
            assert bench.leaf(va) is None


@settings(max_examples=150, deadline=None)
@given(spans(most=64 << 20), st.booleans())
def test_map_range_is_its_model(drawn, cont_ok) -> None:
    bench, span = drawn
    geometry = bench.tables.geometry
    pages = PageArray(bench.tables, POOL + geometry.page_size, POOL + G, "pool")
    map_range(bench.tables, bench.root, span, PROT, pages=pages, may_use_cont=cont_ok)
    for va in edges(geometry, span):
        level, cont = expected_range(geometry, bench.root.level, span, cont_ok, va)
        bits = PROT & ~3 | (3 if level == 3 else 1) | (CONT if cont else 0)
        assert bench.leaf(va) == (level, va + span.phys - span.virt, bits), hex(va)
    for va in (span.virt - geometry.page_size, span.end):
        if 0 <= va < 1 << bench.va_bits:
            assert bench.leaf(va) is None


def test_tables_come_in_walk_order_and_keep_their_attributes() -> None:
    bench = Bench(12, 48)
    linear = Span(0x4000_0000, 0x4000_0000, 4 << 20)
    pages_only = Flags.NO_BLOCK | Flags.NO_CONT | Flags.NO_EXEC
    create_pgd_mapping(bench.tables, bench.root, linear, PROT, alloc=bench.alloc, flags=pages_only)
    read = bench.tables.writer.read
    limits = TABLE_UXN | TABLE_PXN | 3
    assert read(POOL, 0) == POOL + 0x1000 | limits
    assert read(POOL + 0x1000, 1) == POOL + 0x2000 | limits
    assert [read(POOL + 0x2000, i) for i in range(2)] == [
        POOL + 0x3000 | limits,
        POOL + 0x4000 | limits,
    ]
    # A later mapping without NO_EXEC uses the tables that are there, and makes others.
    beside = Span(0x4040_0000, 0x4040_0000, 0x1000)
    create_pgd_mapping(bench.tables, bench.root, beside, PROT, alloc=bench.alloc)
    assert read(POOL + 0x2000, 2) == POOL + 0x5000 | TABLE_UXN | 3


def test_what_the_kernel_would_stop_at_is_an_error() -> None:
    bench = Bench(12, 48)
    block = Span(0x4000_0000, 0x8000_0000, 2 << 20)
    create_pgd_mapping(bench.tables, bench.root, block, PROT, alloc=bench.alloc)
    with pytest.raises(TtbrError, match="below a block"):
        create_pgd_mapping(
            bench.tables, bench.root, Span(0x4000_1000, 0, 4096), PROT, alloc=bench.alloc
        )
    with pytest.raises(TtbrError, match="cannot allocate"):
        create_pgd_mapping(bench.tables, bench.root, Span(1 << 40, 0, 4096), PROT, alloc=None)
    with pytest.raises(TtbrError, match="differ within a page"):
        create_pgd_mapping(bench.tables, bench.root, Span(0x10, 0, 4096), PROT, alloc=None)
    page = Span(0x4020_0000, 0x4020_0000, 4096)
    create_pgd_mapping(bench.tables, bench.root, page, PROT, alloc=bench.alloc)
    over = Span(0x4020_0000, 0x4020_0000, 2 << 20)
    with pytest.raises(TtbrError, match="block over a table"):
        create_pgd_mapping(bench.tables, bench.root, over, PROT, alloc=bench.alloc)
    pages = PageArray(bench.tables, POOL + (1 << 20), POOL + (1 << 20) + 4096, "few_ptes")
    with pytest.raises(TtbrError, match="few_ptes has no page left"):
        map_range(bench.tables, bench.root, Span(1 << 41, 0, 4096), PROT, pages=pages)


def test_high_addresses_are_packed_into_the_low_field() -> None:
    bench = Bench(16, 48)
    high = OutputAddress((1 << 48) - (1 << 16) | 0xF000, 36)
    tables = Tables(bench.tables.writer, bench.tables.geometry, high)
    start = (1 << 48) - (64 << 10)
    span = Span(1 << 40, start, 128 << 10)
    create_pgd_mapping(tables, bench.root, span, PROT, alloc=bench.alloc)
    table, level = POOL, bench.root.level
    while level < 3:
        index = span.virt >> tables.geometry.shift(level) & (tables.geometry.entries - 1)
        table, level = high.decode(tables.writer.read(table, index)), level + 1
    assert high.decode(tables.writer.read(table, 0)) == start
    assert tables.writer.read(table, 1) == 0x1000 | PROT
    assert high.decode(0x1000 | PROT) == 1 << 48
