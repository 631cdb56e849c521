"""Windows of a space, and what their bands say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_images import booted

from ttbr.mmu.mappings import Mappings
from ttbr.report.regions import RegionNames
from ttbr.report.table_tree import TableTree
from ttbr.report.zoom import BANDS, PAGE_BITS, Window, Zoom

ADDRESSES = st.integers(0, (1 << 64) - 1)
PAGE = 1 << PAGE_BITS


@pytest.fixture(scope="module", params=["arm64", "arm32"])
def mappings(request: pytest.FixtureRequest) -> Mappings:
    return booted(request.param).images["mm_init"].address_space("kernel").mappings()


@given(ADDRESSES, ADDRESSES, ADDRESSES)
def test_windows_lead_to_a_page_and_back(one, other, address):
    whole = Window.around(min(one, other), max(one, other))
    assert whole.start <= min(one, other) and max(one, other) <= whole.last
    address = whole.start + address % whole.size
    path = [whole]
    while (smaller := path[-1].inside(address)) != path[-1]:
        assert smaller.start <= address <= smaller.last
        assert smaller.size == path[-1].step
        path.append(smaller)
    assert path[-1].step == PAGE
    back = path[-1]
    for window in reversed(path[:-1]):
        back = back.outside(whole)
        assert back.start <= address <= back.last and back.size >= window.size
    assert back == whole and whole.outside(whole) == whole


@settings(max_examples=20)
@given(st.data())
def test_bands_agree_with_the_columns(mappings, data):
    zoom = Zoom(mappings, RegionNames([]))
    row = data.draw(st.integers(0, len(mappings) - 1))
    bits = data.draw(st.integers(PAGE_BITS + 4, 44))
    va = int(mappings.va[row])
    window = Window(va >> bits << bits, 1 << bits)
    bands = zoom.bands(window)
    assert len(bands) == BANDS
    for band in bands:
        low = np.maximum(mappings.va, np.uint64(band.start))
        high = np.minimum(mappings.last, np.uint64(band.last))
        inside = low <= high
        assert band.mapped == int((high - low + np.uint64(1))[inside].sum())
        assert (band.attributes is None) == (not inside.any())
        if inside.any():
            first = int(np.flatnonzero(inside)[0])
            assert band.va == int(low[first])
            assert band.pa == int(mappings.pa[first]) + band.va - int(mappings.va[first])


def test_the_tree_has_every_table_once_and_counts_every_leaf(mappings):
    tree = TableTree(mappings)
    root = tree.root()
    assert root is not None
    found, left = [], [root]
    while left:
        node = left.pop()
        found.append(node)
        children, more = tree.children(node)
        assert more == 0 and len(children) == node.tables
        left += children
    tables = mappings.tables
    assert sorted((n.pa, n.level, n.va) for n in found) == sorted(
        zip(tables.address.tolist(), tables.level.tolist(), tables.va.tolist(), strict=True)
    )
    assert sum(node.leaves for node in found) == len(mappings)
