"""Layouts: tiling, coding, addresses in pieces."""

import numpy as np
import pytest

from ttbr.arch.fields import Field, Layout, ignored, res0, tile

SPLIT = Layout(
    "split",
    16,
    tile(16, (Field("high", 15, 8, "address"), Field("low", 3, 2, "address, bits 3:2"))),
    "a test",
    (("high", 8), ("low", 2)),
)


def test_gaps_are_filled_so_that_every_bit_has_a_name() -> None:
    assert [field.name for field in SPLIT.fields] == ["high", "RES0[7:4]", "low", "RES0[1:0]"]
    assert sum(field.mask for field in SPLIT.fields) == 0xFFFF


@pytest.mark.parametrize(
    "fields",
    [
        (Field("a", 15, 8, ""), Field("b", 6, 0, "")),  # a gap
        (Field("a", 15, 8, ""), Field("b", 8, 0, "")),  # an overlap
        (Field("a", 15, 8, ""), Field("b", 7, 1, "")),  # an end too early
        (Field("a", 15, 8, ""), Field("a", 7, 0, "")),  # one name twice
        (),
    ],
)
def test_a_table_that_does_not_tile_is_refused(fields: tuple[Field, ...]) -> None:
    with pytest.raises(ValueError, match="torn"):
        Layout("torn", 16, fields, "a test")


def test_encode_sets_named_fields_and_keeps_the_rest() -> None:
    assert SPLIT.encode({"low": 2}, base=0xAB03) == 0xAB0B
    assert SPLIT.decode(0xAB0B) == {"high": 0xAB, "RES0[7:4]": 0, "low": 2, "RES0[1:0]": 3}


def test_encode_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="no field middle"):
        SPLIT.encode({"middle": 0})
    with pytest.raises(ValueError, match=r"split\.low has 2 bits"):
        SPLIT.encode({"low": 4})
    with pytest.raises(ValueError, match="16 bits"):
        SPLIT.encode({}, base=1 << 16)
    with pytest.raises(ValueError, match="16 bits"):
        SPLIT.decode(-1)


def test_addresses_are_assembled_and_placed_by_the_same_pieces() -> None:
    assert SPLIT.address_mask == 0xFF0C
    assert SPLIT.address(0xAB0F) == 0xAB0C
    assert SPLIT.place(0xAB0C) == 0xAB0C
    words = np.array([0xAB0F, 0x0104], dtype=np.uint64)
    assert SPLIT.addresses(words).tolist() == [SPLIT.address(int(word)) for word in words]


@pytest.mark.parametrize("address", [0x1, 0x10, 0x10000])
def test_an_address_that_the_pieces_cannot_hold_is_refused(address: int) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        SPLIT.place(address)


def test_explain_names_place_value_and_meaning() -> None:
    layout = Layout("one", 2, (Field("f", 1, 1, "a flag", {1: "set"}), ignored(0, 0)), "a test")
    first, second = layout.explain(2)
    assert (first.bits, first.name, first.value, first.text) == ("[1]", "f", 1, "a flag: set")
    assert (second.bits, second.name) == ("[0]", "IGNORED[0]")
    assert res0(3, 2).name == "RES0[3:2]"
