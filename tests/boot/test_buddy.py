"""The page allocator's free lists: blocks as large as alignment allows, in the kernel's order."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.buddy import Buddies, FreeBlocks, Rules, columns
from ttbr.boot.free_area import CMA, MOVABLE, UNMOVABLE, Runs

MAX_ORDER = 4


def freed(*ranges: tuple[int, int], to_tail: bool = True) -> Buddies:
    lists = Buddies(Rules(MAX_ORDER, 2))
    for start, end in ranges:
        lists.free_range(start, end, to_tail=to_tail)
    return lists


def listed(*lists: Buddies) -> FreeBlocks:
    return columns([(node, "Normal", each) for node, each in enumerate(lists)])


def blocks(lists: Buddies) -> set[tuple[int, int]]:
    found = listed(lists)
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


@given(apart(), st.booleans())
def test_pages_one_by_one_end_as_the_same_blocks_in_the_same_order(
    ranges: list[tuple[int, int]], tail: bool
) -> None:
    """Freeing a range at once is short for freeing its pages one by one."""
    one_by_one = [(pfn, pfn + 1) for start, end in ranges for pfn in range(start, end)]
    at_once = listed(freed(*ranges, to_tail=tail))
    singly = listed(freed(*one_by_one, to_tail=tail))
    for order in range(MAX_ORDER + 1):
        lists = [found.of(0, "Normal", order).tolist() for found in (at_once, singly)]
        assert lists[0] == lists[1]


def test_lists_are_columns_with_zone_and_type() -> None:
    found = listed(freed((0, 16)), freed((33, 36)))
    assert found.zones == ((0, "Normal"), (1, "Normal"))
    assert found.pages == 19
    assert found.of(0, "Normal", 4).tolist() == [0]
    assert found.of(1, "Normal", 0).tolist() == [33]
    assert found.of(1, "Normal", 1).tolist() == [34]
    assert set(found.migratetype.tolist()) == {MOVABLE}


def test_boot_memory_goes_to_the_tail_single_pages_to_the_head() -> None:
    assert listed(freed((0, 48))).of(0, "Normal", 4).tolist() == [0, 16, 32]
    heads = listed(freed((0, 48), to_tail=False))
    assert heads.of(0, "Normal", 4).tolist() == [32, 16, 0]
    # Page 6 is likely to merge: its buddy one order up is free, so it waits at the tail.
    likely = listed(freed((9, 10), (0, 7), to_tail=False))
    assert likely.of(0, "Normal", 0).tolist() == [9, 6]


def test_a_block_is_on_the_lists_of_the_page_block_freed_last() -> None:
    lists = Buddies(Rules(MAX_ORDER, 2), [0])
    lists.free_range(2, 4, to_tail=True)
    assert listed(lists).migratetype.tolist() == [UNMOVABLE]
    lists.free_range(8, 16, to_tail=True)
    found = listed(lists)
    assert found.order.tolist() == [1, 3]
    assert found.migratetype.tolist() == [UNMOVABLE, MOVABLE]
    # The buddies of movable page blocks that are freed later take the others along.
    lists.free_range(0, 2, to_tail=True)
    assert listed(lists).migratetype.tolist() == [UNMOVABLE, MOVABLE]
    lists.free_range(4, 8, to_tail=True)
    found = listed(lists)
    assert (found.pfn.tolist(), found.order.tolist()) == ([0], [4])
    assert found.migratetype.tolist() == [MOVABLE]


@pytest.mark.parametrize("splits", [False, True])
def test_page_blocks_of_contiguous_areas_stay_apart(splits: bool) -> None:
    lists = Buddies(Rules(MAX_ORDER, 2, splits))
    lists.set_block_type(4, CMA)
    lists.free_range(0, 16, to_tail=True)
    found = listed(lists)
    assert found.pfn.tolist() == ([0, 4, 8] if splits else [0])
    assert lists.area.pages[CMA] == (4 if splits else 0)


def test_page_blocks_that_merge_get_one_type_where_lists_follow_them() -> None:
    for splits, left in ((False, {0}), (True, set())):
        lists = Buddies(Rules(MAX_ORDER, 2, splits), [0])
        lists.free_block(0, 2)
        lists.free_block(4, 2)
        assert lists.unmovable == left
        assert listed(lists).migratetype.tolist() == [MOVABLE]


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30), st.data())
def test_lists_of_the_largest_blocks_are_lists(pushed, data: st.DataObject) -> None:
    runs, model = Runs(3), deque()
    for block, to_tail in pushed:
        if model and data.draw(st.booleans()):
            assert runs.head() == model[0]
            assert runs.pop() == model.popleft()
        if model and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(list(model)))
            assert gone in runs
            runs.remove(gone)
            model.remove(gone)
        assert (block * 8 in runs) == (block * 8 in model)
        if block * 8 in model:
            continue
        runs.add(block * 8, to_tail=to_tail)
        (model.append if to_tail else model.appendleft)(block * 8)
        assert runs.array().tolist() == list(model)
        assert len(runs) == len(model)
