"""The kernel's sort."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.heapsort import heapsort


@given(st.lists(st.tuples(st.integers(0, 5), st.integers())))
def test_it_sorts(items: list[tuple[int, int]]) -> None:
    result = list(items)
    heapsort(result, lambda item: item[0])
    assert sorted(result) == sorted(items)
    assert [key for key, _ in result] == sorted(key for key, _ in items)


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ([0, 0], [1, 0]),
        ([0, 0, 0], [1, 2, 0]),
        ([0, 0, 0, 0], [1, 2, 3, 0]),
        ([0, 5, 0, 0, 7], [0, 2, 3, 1, 4]),
        ([0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 0]),
    ],
)
def test_equals_get_the_order_that_they_get_in_the_kernel(
    keys: list[int], order: list[int]
) -> None:
    """The orders are what lib/sort.c of 6.1 made of these keys."""
    items = list(enumerate(keys))
    heapsort(items, lambda item: item[1])
    assert [number for number, _ in items] == order
