"""Sections of sparse memory, the buffer for their maps, and arrays without a virtual map."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import G, M, board_tree, kernel, machine

from ttbr.boot.machine import Machine
from ttbr.boot.sparse import (
    SectionArrays,
    SparseBuffer,
    memblocks_present,
    sparse_init,
    usage_size,
)

SPARSE = {"SPARSEMEM": "y", "SPARSEMEM_EXTREME": "y", "SPARSEMEM_VMEMMAP": "y", "SMP": "y"}
SPARSE |= {"HAVE_ALIGNED_STRUCT_PAGE": "y"}
SECTION = 128 * M


def there(*banks: tuple[int, int], **options: str) -> Machine:
    made = machine(board_tree(), kernel(**(SPARSE | options)))
    for bank in banks or ((G, G),):
        made.memblock.add(*bank, "f")
    return made


def taken(made: Machine) -> list[tuple[str, int]]:
    return [
        (event.detail.rpartition(" ")[2], event.end - event.start + 1)
        for event in made.log
        if event.function == "memblock_alloc_range_nid"
    ]


def test_sections_of_memory_and_their_arrays() -> None:
    made = there((G, 300 * M))
    assert memblocks_present(made, 48) == {8: 0, 9: 0, 10: 0}
    # 2^21 sections, 256 of 16 bytes in a page; one page for all of them.
    assert taken(made) == [("sparse_init", 65536), ("sparse_init", 4096)]
    far = there((G, 64 * M), (1 << 40, 4096))
    assert memblocks_present(far, 48) == {8: 0, 1 << 13: 0}
    assert taken(far)[1:] == [("sparse_init", 4096)] * 2


def test_page_extensions_double_a_section() -> None:
    made = there(PAGE_EXTENSION="y")
    memblocks_present(made, 48)
    assert taken(made)[0] == ("sparse_init", 131072)


def test_a_static_array_takes_nothing() -> None:
    made = there(SPARSEMEM_EXTREME="n")
    assert len(memblocks_present(made, 48)) == 8
    assert not taken(made)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"TRANSPARENT_HUGEPAGE": "y"}, 56),
        ({"HUGETLB_PAGE": "y"}, 56),
        ({"ARCH_FORCE_MAX_ORDER": "13"}, 32),
        ({"SPARSEMEM_VMEMMAP": "n", "HUGETLB_PAGE": "y"}, 48),
        ({"ARM64_64K_PAGES": "y", "HUGETLB_PAGE": "y"}, 56),
    ],
)
def test_what_a_section_needs_beside_its_map(options: dict[str, str], size: int) -> None:
    """Two pointers, a bit for each 2 MiB, four bits for each page block."""
    assert usage_size(there(**options)) == size


def test_the_buffer_gives_back_what_it_skips_and_what_is_left() -> None:
    made = there()
    buffer = SparseBuffer.of(made, 16 * M, 2 * M, G, 0)
    start = buffer.at
    assert buffer.alloc(4096) == start
    assert buffer.run(4096, 3) == (start + 4096, 3)
    assert buffer.alloc(2 * M) == start + 2 * M
    assert buffer.run(4 * M, 9) == (start + 4 * M, 3)
    assert buffer.alloc(4096) == 0
    buffer.close()
    freed = [(e.start - start, e.end + 1 - start) for e in made.log if "free" in e.kind]
    assert freed == [(4 * 4096, 2 * M)]
    half = SparseBuffer.of(made, 16 * M, 2 * M, G, 0)
    assert half.alloc(8 * M)
    half.close()
    assert [e.end - e.start + 1 for e in made.log if "free" in e.kind][-1] == 8 * M


def test_no_room_for_a_buffer() -> None:
    made = there((G, 64 * M))
    buffer = SparseBuffer.of(made, G, G, G, 0)
    assert (buffer.at, buffer.alloc(4096), buffer.run(4096, 4)) == (0, 0, (0, 0))
    buffer.close()
    assert not [e for e in made.log if "free" in e.kind]


def test_arrays_of_sections_from_the_buffer() -> None:
    made = there((G, 256 * M), SPARSEMEM_VMEMMAP="n")
    arrays = SectionArrays(made, goal=G)
    sparse_init(made, arrays, physmem_bits=48, goal=G)
    assert arrays.section_map_size() == 64 * 32768
    first, second = arrays.arrays[8], arrays.arrays[9]
    assert second == first + arrays.section_map_size()
    assert made.memmap_bytes == 2 * arrays.section_map_size()
    assert list(made.sections) == [8, 9]


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 300)), min_size=1, max_size=12))
def test_every_page_of_memory_is_in_a_section(banks: list[tuple[int, int]]) -> None:
    made = there(*((G + base * M, size * M) for base, size in banks))
    found = memblocks_present(made, 48)
    for region in made.memblock.memory.list:
        sections = range(region.base // SECTION, (region.end - 1) // SECTION + 1)
        assert set(sections) <= set(found)
    for section in found:
        start = section * SECTION
        assert made.memblock.memory.overlaps(start, SECTION)
