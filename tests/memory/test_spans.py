"""Ranges of addresses, held against sets of addresses."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ttbr.memory.spans import ALL_ADDRESSES, Spans

TOP = ALL_ADDRESSES
places = st.integers(0, 40) | st.integers(TOP - 40, TOP)
ranges = st.lists(st.tuples(places, st.integers(0, 6)), max_size=8)


def made(given_ranges) -> tuple[Spans, set[int]]:
    pairs = [(first, min(first + more, TOP)) for first, more in given_ranges]
    columns = np.array(pairs, np.uint64).reshape(-1, 2)
    every = {at for first, last in pairs for at in range(first, last + 1)}
    return Spans.of(columns[:, 0], columns[:, 1]), every


def members(spans: Spans) -> set[int]:
    pairs = list(zip(spans.first.tolist(), spans.last.tolist(), strict=True))
    for (_, last), (first, _) in pairwise(pairs):
        assert last + 1 < first
    return {at for first, last in pairs for at in range(first, last + 1)}


@given(ranges, ranges)
def test_as_sets(one, other):
    (a, in_a), (b, in_b) = made(one), made(other)
    assert members(a) == in_a
    assert a.bytes == len(in_a)
    assert members(a.common(b)) == in_a & in_b
    assert members(a | b) == in_a | in_b
    assert members(a.without(b)) == in_a - in_b
    back = a.inverted().inverted()
    assert (back.first.tolist(), back.last.tolist()) == (a.first.tolist(), a.last.tolist())


@given(ranges, ranges)
def test_pairs(one, other):
    spans, _ = made(one)
    rows = np.array([(f, min(f + m, TOP)) for f, m in other], np.uint64).reshape(-1, 2)
    row, span, whole = spans.pairs(rows[:, 0], rows[:, 1], 1000)
    wanted = {
        (i, k)
        for i, (first, last) in enumerate(rows.tolist())
        for k in range(len(spans))
        if first <= int(spans.last[k]) and last >= int(spans.first[k])
    }
    assert set(zip(row.tolist(), span.tolist(), strict=True)) == wanted
    assert whole
    row, _, whole = spans.pairs(rows[:, 0], rows[:, 1], 2)
    assert len(row) <= 2
    assert whole == (len(wanted) <= 2)


def test_nothing_is_of_no_size():
    none = np.zeros(2, np.uint64)
    assert len(Spans.sized(none, none)) == 0
