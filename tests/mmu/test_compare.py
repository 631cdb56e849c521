"""Two spaces compared, against looking at every page of both."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ttbr.arch.regime import make_regime
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.compare import Change, compare
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.writer import TableWriter

BASE, PAGE = 0x4000_0000, 0x1000
ENTRIES = 512
USED = 12  # pages at the end of each block that the tables differ in
READ_ONLY, CONTIGUOUS = 1 << 7, 1 << 52

Block = dict[int, tuple[int, int]] | int | None
leaf = st.tuples(st.integers(0, 3), st.sampled_from([0, 0, READ_ONLY, CONTIGUOUS]))
pages = st.dictionaries(st.integers(ENTRIES - USED, ENTRIES - 1), leaf)
blocks = st.lists(st.one_of(st.none(), st.integers(0, 1), pages), min_size=4, max_size=4)


def made(drawn: list[Block]) -> Mappings:
    """The last blocks of the space: nothing, a block, or single pages (frame, bits)."""
    ram = Ram([Bank(BASE, 1 << 20)])
    writer = TableWriter(ram, 8)
    writer.write(BASE, ENTRIES - 1, BASE + PAGE | 3)
    for number, block in enumerate(drawn):
        index, table = ENTRIES - len(drawn) + number, BASE + (2 + number) * PAGE
        if isinstance(block, int):
            writer.write(BASE + PAGE, index, block << 21 | 0x701)
        elif block is not None:
            writer.write(BASE + PAGE, index, table | 3)
            for page, (frame, bits) in block.items():
                # Neighbouring pages in neighbouring frames make runs.
                writer.write(table, page, (frame * ENTRIES + page) << 12 | 0x703 | bits)
    return AddressSpace(make_regime("arm64-4k", va_bits=39, upper=True), BASE, ram).mappings()


def page_by_page(space: Mappings) -> dict[int, tuple[int, int, int]]:
    """(PA, level, index of the attributes) of each page that is mapped."""
    found = {}
    for va, pa, size, level, attributes in zip(
        space.va.tolist(),
        space.pa.tolist(),
        space.size.tolist(),
        space.level.tolist(),
        space.attributes.tolist(),
        strict=True,
    ):
        for offset in range(0, size, PAGE):
            found[va + offset] = (pa + offset, level, attributes)
    return found


def expected(a: Mappings, b: Mappings) -> dict[int, Change]:
    """How each page differs, of those that do."""
    of_a, of_b = page_by_page(a), page_by_page(b)
    found = {}
    for va in of_a.keys() | of_b.keys():
        if va not in of_b:
            found[va] = Change.ONLY_A
        elif va not in of_a:
            found[va] = Change.ONLY_B
        else:
            (pa_a, level_a, at_a), (pa_b, level_b, at_b) = of_a[va], of_b[va]
            one, other = a.attribute_values[at_a], b.attribute_values[at_b]
            if pa_a != pa_b:
                found[va] = Change.MOVED
            elif one.el1_write != other.el1_write:
                found[va] = Change.ATTRIBUTES
            elif level_a != level_b or one.contiguous != other.contiguous:
                found[va] = Change.GRANULARITY
    return found


@settings(max_examples=60, deadline=None)
@given(blocks, blocks)
def test_every_page_is_told_apart(one: list[Block], other: list[Block]) -> None:
    a, b = made(one), made(other)
    of_a, of_b = page_by_page(a), page_by_page(b)
    found = compare(a, b)
    changes = {}
    for i, (va, last) in enumerate(zip(found.va.tolist(), found.last.tolist(), strict=True)):
        for page in range(va, last + 1, PAGE):
            assert page not in changes
            changes[page] = Change(found.change[i])
            for side, pa, at in (
                (of_a, found.pa_a[i], found.attributes_a[i]),
                (of_b, found.pa_b[i], found.attributes_b[i]),
            ):
                assert (page in side) == (at >= 0)
                if at >= 0:
                    assert side[page][0] == int(pa) + page - va
                    assert side[page][2] == at
    assert changes == expected(a, b)
    assert (np.diff(found.va.astype(object)) > 0).all()


@given(blocks)
def test_a_space_does_not_differ_from_itself(drawn: list[Block]) -> None:
    a = made(drawn)
    assert not len(compare(a, a))
