"""The page allocator's free lists: blocks as large as alignment allows, in the kernel's order."""

from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.buddy import MOVABLE, UNMOVABLE, ZoneLists, columns
from ttbr.boot.zones import Zone

MAX_ORDER = 4


def freed(*ranges: tuple[int, int], to_tail: bool = True) -> ZoneLists:
    lists = ZoneLists(Zone("Normal"), MAX_ORDER)
    for start, end in ranges:
        lists.free_range(start, end, to_tail=to_tail)
    return lists


def blocks(lists: ZoneLists) -> set[tuple[int, int]]:
    found = columns([(0, lists)])
    return set(zip(found.pfn.tolist(), found.order.tolist(), strict=True))


@st.composite
def apart(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ascending ranges of frames with holes between them."""
    edges = sorted(draw(st.sets(st.integers(0, 400), min_size=2, max_size=16)))
    edges = edges[: len(edges) // 2 * 2]
    return list(zip(edges[::2], edges[1::2], strict=True))


@given(apart(), st.booleans())
def test_every_page_once_in_the_largest_blocks(ranges: list[tuple[int, int]], tail: bool) -> None:
    found = blocks(freed(*ranges, to_tail=tail))
    pages = sorted(pfn + i for pfn, order in found for i in range(1 << order))
    assert pages == [pfn for start, end in ranges for pfn in range(start, end)]
    for pfn, order in found:
        assert pfn % (1 << order) == 0
        buddy = (pfn ^ 1 << order, order)
        assert order == MAX_ORDER or buddy not in found


@given(apart())
def test_pages_one_by_one_end_as_the_same_blocks_in_the_same_order(
    ranges: list[tuple[int, int]],
) -> None:
    """Freeing a range at once is short for freeing its pages one by one."""
    one_by_one = [(pfn, pfn + 1) for start, end in ranges for pfn in range(start, end)]
    at_once = columns([(0, freed(*ranges, to_tail=False))])
    singly = columns([(0, freed(*one_by_one, to_tail=False))])
    for order in range(MAX_ORDER + 1):
        lists = [found.of(0, "Normal", order).tolist() for found in (at_once, singly)]
        assert lists[0] == lists[1]


def test_lists_are_columns_with_zone_and_type() -> None:
    found = columns([(0, freed((0, 16))), (1, freed((33, 36)))])
    assert found.zones == ((0, "Normal"), (1, "Normal"))
    assert found.pages == 19
    assert found.of(0, "Normal", 4).tolist() == [0]
    assert found.of(1, "Normal", 0).tolist() == [33]
    assert found.of(1, "Normal", 1).tolist() == [34]
    assert set(found.migratetype.tolist()) == {MOVABLE}


def test_boot_memory_goes_to_the_tail_single_pages_to_the_head() -> None:
    assert columns([(0, freed((0, 48)))]).of(0, "Normal", 4).tolist() == [0, 16, 32]
    heads = columns([(0, freed((0, 48), to_tail=False))])
    assert heads.of(0, "Normal", 4).tolist() == [32, 16, 0]
    # Page 6 is likely to merge: its buddy one order up is free, so it waits at the tail.
    likely = columns([(0, freed((9, 10), (0, 7), to_tail=False))])
    assert likely.of(0, "Normal", 0).tolist() == [9, 6]


def test_a_block_is_on_the_lists_of_the_page_block_freed_last() -> None:
    lists = ZoneLists(Zone("Normal"), MAX_ORDER, 4, frozenset({0}))
    lists.free_range(2, 4, to_tail=True)
    assert columns([(0, lists)]).migratetype.tolist() == [UNMOVABLE]
    lists.free_range(8, 16, to_tail=True)
    found = columns([(0, lists)])
    assert found.order.tolist() == [1, 3]
    assert found.migratetype.tolist() == [UNMOVABLE, MOVABLE]
    # The buddies of movable page blocks that are freed later take the others along.
    lists.free_range(0, 2, to_tail=True)
    assert columns([(0, lists)]).migratetype.tolist() == [UNMOVABLE, MOVABLE]
    lists.free_range(4, 8, to_tail=True)
    found = columns([(0, lists)])
    assert (found.pfn.tolist(), found.order.tolist()) == ([0], [4])
    assert found.migratetype.tolist() == [MOVABLE]
