"""One address, many addresses, the whole space and the reverse: four answers, one truth."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_tables import Tables, tables

from ttbr.mmu.mappings import Mappings
from ttbr.mmu.tables import FAULTS

pytestmark = pytest.mark.usefixtures("kernels")
thorough = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def row_of(mappings: Mappings, va: int) -> int | None:
    """The row that maps ``va``, found without any of the package's own searching."""
    hits = np.flatnonzero((mappings.va <= np.uint64(va)) & (mappings.last >= np.uint64(va)))
    assert len(hits) <= 1
    return int(hits[0]) if len(hits) else None


@given(tables())
@thorough
def test_one_and_many_agree(given_tables: Tables) -> None:
    space = given_tables.space
    vas = np.array(given_tables.vas, np.uint64)
    many = space.translate_many(vas)
    for place, va in enumerate(given_tables.vas):
        one = space.translate(va)
        fault = FAULTS[many.fault[place]]
        assert (one.fault.kind if one.fault else None) == fault
        assert many.level[place] == one.level
        assert many.pa[place] == (one.pa or 0)
        assert many.size[place] == one.size
        if one.attributes is not None:
            assert many.attribute_values[many.attributes[place]] == one.attributes


@given(tables())
@thorough
def test_one_and_whole_agree(given_tables: Tables) -> None:
    space = given_tables.space
    mappings = space.mappings()
    assert mappings.truncated is None
    for va in given_tables.vas:
        one, row = space.translate(va), row_of(mappings, va)
        assert (row is None) == (one.pa is None)
        if row is not None:
            code = mappings.attributes[row]
            assert one.pa == int(mappings.pa[row]) + va - int(mappings.va[row])
            assert one.level == mappings.level[row]
            assert one.steps[-1].table == mappings.table[row]
            assert one.attributes == mappings.attribute_values[code]
            assert one.size == mappings.attribute_spans[code]


@given(tables())
@thorough
def test_every_row_translates_to_itself(given_tables: Tables) -> None:
    space = given_tables.space
    mappings = space.mappings()
    assert (np.diff(mappings.va.astype(object)) > 0).all()
    for edge in (mappings.va, mappings.last):
        many = space.translate_many(edge)
        assert not many.fault.any()
        assert (many.pa == mappings.pa + (edge - mappings.va)).all()
        assert (many.level == mappings.level).all()


@given(tables(), st.data())
@thorough
def test_reverse_is_the_inverse(given_tables: Tables, data: st.DataObject) -> None:
    mappings = given_tables.space.mappings()
    if not len(mappings):
        assert not len(mappings.reverse(0))
        return
    rows = data.draw(st.lists(st.integers(0, len(mappings) - 1), min_size=1, max_size=4))
    into = data.draw(st.integers(0, (1 << 30) - 1))
    pas = [int(mappings.pa[row]) + into % int(mappings.size[row]) for row in rows]
    index, vas = mappings.reverse_many(np.array(pas, np.uint64))
    for place, pa in enumerate(pas):
        inside = (mappings.pa <= np.uint64(pa)) & (np.uint64(pa) - mappings.pa < mappings.size)
        want = mappings.va[inside] + (np.uint64(pa) - mappings.pa[inside])
        assert vas[index == place].tolist() == want.tolist() == mappings.reverse(pa).tolist()


@given(tables(), st.data())
@thorough
def test_a_part_is_the_whole_cut(given_tables: Tables, data: st.DataObject) -> None:
    space = given_tables.space
    whole = space.mappings()
    ends = st.sampled_from([*given_tables.vas, 0, 1 << 64])
    start, end = sorted([data.draw(ends), data.draw(ends)])
    part = space.mappings(start, end)
    if start == end:
        assert not len(part)
        return
    inside = (whole.last >= np.uint64(start)) & (whole.va <= np.uint64(end - 1))
    assert part.va.tolist() == whole.va[inside].tolist()
    assert part.pa.tolist() == whole.pa[inside].tolist()
    keys = part.attribute_keys
    want = [whole.attribute_keys[code] for code in whole.attributes[inside]]
    assert [keys[code] for code in part.attributes] == want


@given(tables())
@thorough
def test_regions_are_the_same_bytes(given_tables: Tables) -> None:
    mappings = given_tables.space.mappings()
    for contiguous in (True, False):
        regions = mappings.regions(contiguous)
        assert regions.size.astype(object).sum() == mappings.size.astype(object).sum()
        assert regions.rows.sum() == len(mappings)
        assert (regions.last[:-1] < regions.va[1:]).all()
        levels = regions.levels()
        for place in range(len(regions)):
            first, rows = int(regions.first[place]), int(regions.rows[place])
            mine = slice(first, first + rows)
            values = {mappings.attribute_values[code] for code in mappings.attributes[mine]}
            assert len(values) == 1
            assert set(levels[place]) == set(mappings.level[mine].tolist())
            if contiguous:
                ahead = mappings.va[mine] - mappings.va[first]
                assert (mappings.pa[mine] == mappings.pa[first] + ahead).all()
