"""Memory made of pieces: what Ram with the same content says, it must say, too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.physical import Bank, OutsideMemory
from ttbr.memory.ram import Ram


def piece(base: int, data: bytes) -> Piece:
    return Piece(base, len(data), np.frombuffer(data, np.uint8))


@st.composite
def layouts(draw):
    """Pieces with holes, some of zeros, some adjacent, at odd places; and where to read."""
    at = draw(st.integers(0, 5000))
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        size = draw(st.one_of(st.integers(1, 40), st.sampled_from([4096, 8192, 6000])))
        zeros = draw(st.booleans())
        data = bytes((at + n * 7) % 251 for n in range(size))
        pieces.append(Piece(at, size, None) if zeros else piece(at, data))
        at += size + draw(st.sampled_from([0, 0, 1, 8, 4096]))
    reads = draw(st.lists(st.integers(0, at + 100), min_size=1, max_size=20))
    edges = [p.base + draw(st.integers(-20, p.size)) for p in pieces]
    return pieces, [max(0, place) for place in reads + edges]


@given(layouts(), st.sampled_from([1, 2, 3, 16, 512]), st.sampled_from([4, 8]))
def test_pieces_against_ram(layout, count, word):
    pieces, places = layout
    memory = BankedMemory(reversed(pieces))
    ram = Ram(p.bank for p in pieces)
    for p in pieces:
        if p.data is not None:
            ram.write(p.base, p.data.tobytes())
    for places_of in (places, [place & ~(word - 1) for place in places]):
        pa = np.array(places_of, np.uint64)
        words, present = memory.read_words(pa, count, word)
        other_words, other_present = ram.read_words(pa, count, word)
        assert (present == other_present).all()
        assert (words == other_words).all()
        assert (memory.contains(pa) == ram.contains(pa)).all()
        for place in places_of:
            if ram.contains(np.array([place], np.uint64))[0]:
                size = count * word
                try:
                    expected = ram.read(place, size)
                except OutsideMemory as error:
                    with pytest.raises(OutsideMemory) as caught:
                        memory.read(place, size)
                    assert caught.value.address == error.address
                else:
                    assert memory.read(place, size) == expected


def test_adjacent_pieces_are_one_bank():
    memory = BankedMemory(
        [piece(0x2000, b"b" * 16), piece(0x1FF0, b"a" * 16), Piece(0x2010, 8, None)]
    )
    assert memory.banks == (Bank(0x1FF0, 0x28),)
    assert memory.written() == [Bank(0x1FF0, 0x20)]
    assert memory.read(0x1FFE, 0x14) == b"aa" + b"b" * 16 + b"\0\0"


def test_zeros_cost_nothing():
    memory = BankedMemory([Piece(0, 1 << 60, None)])
    assert memory.read(1 << 59, 3) == bytes(3)
    assert memory.written() == []


def test_overlap():
    with pytest.raises(InputError, match="0x1000-0x1fff and 0x1800-0x27ff overlap"):
        BankedMemory([Piece(0x1800, 0x1000, None), Piece(0x1000, 0x1000, None)])


def test_no_memory_at_all():
    memory = BankedMemory([])
    words, present = memory.read_words(np.array([0], np.uint64), 2, 8)
    assert not present.any() and not words.any()
    with pytest.raises(OutsideMemory):
        memory.read(0, 1)
