"""Parts of different kinds as one memory: what pieces of the same content say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.joined import JoinedMemory
from ttbr.memory.physical import Bank, OutsideMemory


def piece(base: int, size: int) -> Piece:
    return Piece(base, size, np.arange(base, base + size).astype(np.uint8))


LAYOUT = [piece(0x100, 0x80), piece(0x180, 0x28), piece(0x1A8, 8), piece(0x200, 0x100)]
OWNERS = [0, 1, 0, 1]


def both() -> tuple[JoinedMemory, BankedMemory]:
    parts = [
        BankedMemory(p for p, owner in zip(LAYOUT, OWNERS, strict=True) if owner == number)
        for number in (0, 1)
    ]
    return JoinedMemory(parts), BankedMemory(LAYOUT)


@given(
    st.lists(st.integers(0xF0, 0x310), min_size=1, max_size=30),
    st.sampled_from([1, 4, 20]),
    st.sampled_from([4, 8]),
)
def test_against_pieces(places, count, word):
    joined, plain = both()
    assert joined.banks == plain.banks == (Bank(0x100, 0xB0), Bank(0x200, 0x100))
    assert joined.written() == plain.written()
    pa = np.array(places, np.uint64)
    for got, expected in zip(
        joined.read_words(pa, count, word), plain.read_words(pa, count, word), strict=True
    ):
        assert (got == expected).all()
    assert (joined.contains(pa) == plain.contains(pa)).all()
    for place in places:
        try:
            expected = plain.read(place, count * word)
        except OutsideMemory as error:
            with pytest.raises(OutsideMemory) as caught:
                joined.read(place, count * word)
            assert caught.value.address == error.address
        else:
            assert joined.read(place, count * word) == expected


def test_overlap():
    with pytest.raises(InputError, match="overlap"):
        JoinedMemory([BankedMemory([piece(0, 9)]), BankedMemory([piece(8, 9)])])
