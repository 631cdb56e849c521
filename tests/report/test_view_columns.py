"""Columns of a document are what they were before they were written."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ttbr.report.relations.relation import Coded, Column, Known, Relation
from ttbr.report.view.columns import Body, decode, encode

WORDS = st.lists(st.integers(0, (1 << 64) - 1))


@given(WORDS)
def test_words_of_all_64_bits(values):
    column = np.array(values, np.uint64)
    assert decode(*encode(column)).tolist() == values


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_signed_numbers(values):
    data, width = encode(np.array(values, np.int64))
    assert decode(data, width).view(np.int64).tolist() == values


def test_what_grows_evenly_takes_a_byte_a_row():
    data, width = encode(np.arange(0, 1 << 20, 64, dtype=np.uint64) + np.uint64(5))
    assert width == 1 and len(data) == 1 << 14


def test_a_relation_keeps_types_and_what_is_not_known():
    columns = (
        Column("at", "uint64", "where"),
        Column("pid", "int64", "who"),
        Column("kind", "category", "what"),
        Column("name", "string", "called"),
    )
    relation = Relation("rows", "some rows", "", columns, lambda source: None)
    body = Body()
    table = body.relation(
        relation,
        {
            "at": np.array([1 << 63, 2], np.uint64),
            "pid": Known(np.array([-1, 7]), np.array([False, True])),
            "kind": Coded(np.array([1, -1]), ["a", "</script>\u2028"]),
            "name": [None, "\x1b[31m\u202e"],
        },
    )
    found = table["columns"]
    assert table["rows"] == 2 and table["meaning"] == "some rows"
    assert [found[name]["is"] for name in found] == ["word", "int", "code", "text"]
    assert body.joined()[found["pid"]["known"]] == 0b10
    assert found["kind"]["values"] == ["a", "</script>\\u2028"]
    assert found["name"]["values"] == [None, "\\x1b[31m\\u202e"]
    assert found["at"]["meaning"] == "where"
