"""Table bytes as the forward model writes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.memory.physical import Bank, OutsideMemory
from ttbr.memory.ram import Ram
from ttbr.mmu.writer import TableWriter

BASE = 0x4000_0000


def writer(size: int = 8) -> TableWriter:
    return TableWriter(Ram([Bank(BASE, 0x3000)]), size)


@given(st.sampled_from([4, 8]), st.integers(0, 511), st.data())
def test_what_is_written_is_read(size: int, index: int, data: st.DataObject) -> None:
    tables = writer(size)
    word = data.draw(st.integers(0, (1 << 8 * size) - 1))
    tables.write(BASE, index, word)
    assert tables.read(BASE, index) == word
    raw = tables.ram.read(BASE + index * size, size)
    assert raw == word.to_bytes(size, "little")


@given(st.integers(0, 500), st.integers(1, 12), st.integers(0, 1 << 40), st.integers(-4096, 4096))
def test_fill_steps(index: int, count: int, first: int, step: int) -> None:
    first += 1 << 20  # room for a negative step
    tables = writer()
    tables.fill(BASE, index, first, step, count)
    got = [tables.read(BASE, index + i) for i in range(count)]
    assert got == [first + i * step for i in range(count)]


def test_clear_and_copy() -> None:
    tables = writer()
    tables.fill(BASE, 0, 1, 1, 512)
    tables.copy_page(BASE, BASE + 0x1000, 0x1000)
    tables.clear(BASE, 10, 5)
    assert [tables.read(BASE, i) for i in (9, 10, 14, 15)] == [10, 0, 0, 16]
    assert tables.read(BASE + 0x1000, 12) == 13
    tables.fill(BASE, 0, 7, 0, 0)
    assert tables.read(BASE, 0) == 1


@pytest.mark.parametrize("word", [-1, 1 << 32])
def test_a_descriptor_must_fit(word: int) -> None:
    with pytest.raises(ValueError, match="does not fit into 4 bytes"):
        writer(4).write(BASE, 0, word)
    with pytest.raises(ValueError, match="does not fit"):
        writer(4).fill(BASE, 0, 0xFFFF_FFFF, 1, 2)


def test_entry_sizes() -> None:
    with pytest.raises(ValueError, match="4 or 8 bytes"):
        writer(2)


def test_outside_memory() -> None:
    with pytest.raises(OutsideMemory):
        writer().write(BASE + 0x3000, 0, 1)
    with pytest.raises(OutsideMemory):
        writer().fill(BASE + 0x2000, 511, 1, 1, 2)
    assert np.array_equal(writer().ram.read_words(np.array([BASE], np.uint64), 1, 8)[0], [[0]])
