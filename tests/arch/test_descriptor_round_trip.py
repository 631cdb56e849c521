"""For every descriptor of every format: coding is exact, and arrays agree with single words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.arch.explain import explain_descriptor, explain_register
from ttbr.arch.fields import Layout
from ttbr.arch.format import Kind
from ttbr.arch.regime import FORMATS, make_regime
from ttbr.arch.registers import LARGE_FORMS, REGISTERS
from ttbr.arch.short import short

PLACES = [
    pytest.param(name, level.number, id=f"{name}-L{level.number}")
    for name in FORMATS
    for level in make_regime(name).levels
]
LEAVES = (Kind.BLOCK, Kind.PAGE)


def words(name: str) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 8 * make_regime(name).format.entry_size) - 1)


def array(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(values, dtype=np.uint64)


@pytest.mark.parametrize(("name", "level"), PLACES)
@given(data=st.data())
def test_encode_inverts_decode(name: str, level: int, data: st.DataObject) -> None:
    desc = data.draw(words(name))
    layout = make_regime(name).format.layout(desc, level)
    assert layout.width == 8 * make_regime(name).format.entry_size
    assert layout.encode(layout.decode(desc)) == desc
    assert layout.encode(layout.decode(desc), base=(1 << layout.width) - 1) == desc


@pytest.mark.parametrize(("name", "level"), PLACES)
@given(data=st.data())
def test_attribute_bits_and_address_are_the_whole_descriptor(
    name: str, level: int, data: st.DataObject
) -> None:
    fmt = make_regime(name).format
    desc = data.draw(words(name))
    layout = fmt.layout(desc, level)
    bits = int(fmt.attribute_bits(array(desc), level)[0])
    assert bits | layout.place(layout.address(desc)) == desc
    assert bits & layout.address_mask == 0


@pytest.mark.parametrize(("name", "level"), PLACES)
@given(data=st.data())
def test_arrays_agree_with_single_words(name: str, level: int, data: st.DataObject) -> None:
    fmt = make_regime(name).format
    descs = data.draw(st.lists(words(name), min_size=1, max_size=8))
    va = data.draw(st.integers(0, (1 << 32) - 1))
    kinds = fmt.kinds(array(*descs), level)
    for desc, number in zip(descs, kinds, strict=True):
        layout, kind = fmt.layout(desc, level), Kind(int(number))
        if kind is Kind.TABLE:
            assert int(fmt.table_address(array(desc), level)[0]) == layout.address(desc)
            assert int(fmt.limits(array(desc), level)[0]) < 64
        elif kind in LEAVES:
            span = fmt.span(desc, level)
            pa = int(fmt.output_address(array(desc), level, array(va))[0])
            assert pa & layout.address(desc) == layout.address(desc)
            assert pa - layout.address(desc) == va & (pa - layout.address(desc))
            assert span.bit_count() == 1
            assert fmt.span(int(fmt.attribute_bits(array(desc), level)[0]), level) == span
        else:
            assert layout.address_mask == 0


@pytest.mark.parametrize("name", FORMATS)
def test_arrays_of_any_shape_keep_it(name: str) -> None:
    regime = make_regime(name)
    for level in regime.levels:
        desc = np.arange(12, dtype=np.uint64).reshape(3, 4)
        for result in (
            regime.format.kinds(desc, level.number),
            regime.format.attribute_bits(desc, level.number),
            regime.format.limits(desc, level.number),
        ):
            assert result.shape == (3, 4)


@pytest.mark.parametrize(("name", "level"), PLACES)
@given(data=st.data())
def test_attributes_never_fail_on_a_leaf(name: str, level: int, data: st.DataObject) -> None:
    mair = data.draw(st.none() | st.integers(0, (1 << 64) - 1))
    regime = make_regime(name, mair=mair)
    desc, limits = data.draw(words(name)), data.draw(st.integers(0, 63))
    if Kind(int(regime.format.kinds(array(desc), level)[0])) not in LEAVES:
        return
    attributes = regime.attributes(desc, level, limits)
    assert attributes.as_dict()["memory"] == attributes.memory
    assert attributes.summary().startswith(f"el{attributes.exception_levels[0]}:")
    bits = int(regime.format.attribute_bits(array(desc), level)[0])
    without_address = regime.attributes(bits, level, limits)
    assert without_address == attributes


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_explain_never_fails_on_a_descriptor(name: str, data: st.DataObject) -> None:
    desc = data.draw(words(name))
    readings = explain_descriptor(desc, name, mair=data.draw(st.none() | st.just(0xFF440C0400)))
    levels = [level for reading in readings for level in reading.levels]
    assert len(levels) == len(set(levels)) >= 1
    for reading in readings:
        assert sum(row.value << row.low for row in reading.rows) == desc
        assert reading.as_dict()["value"] == hex(desc)
    for level in make_regime(name).levels:
        (only,) = explain_descriptor(desc, name, level.number)
        assert only.levels == (level.number,)


@pytest.mark.parametrize("layout", [*REGISTERS.values(), *LARGE_FORMS.values()])
@given(data=st.data())
def test_registers_round_trip_and_explain(layout: Layout, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << layout.width) - 1))
    assert layout.encode(layout.decode(value)) == value
    assert sum(row.value << row.low for row in layout.explain(value)) == value


@pytest.mark.parametrize("name", REGISTERS)
@given(data=st.data())
def test_explain_never_fails_on_a_register(name: str, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << REGISTERS[name].width) - 1))
    form = data.draw(st.none() | st.sampled_from(FORMATS))
    explained = explain_register(name, value, form)
    assert sum(row.value << row.low for row in explained.rows) == value


@given(data=st.data())
def test_sections_with_pxn_are_reserved_without_it(data: st.DataObject) -> None:
    desc = data.draw(st.integers(0, (1 << 30) - 1)) << 2 | 0b11
    assert short(pxn=True).kinds(array(desc), 1).tolist() == [Kind.BLOCK]
    assert short(pxn=False).kinds(array(desc), 1).tolist() == [Kind.RESERVED]
    assert short(pxn=False).layout(desc, 1).address_mask == 0
