"""Groups of entries that say they are one mapping: agreeing, and in every way not."""

from itertools import pairwise

import pytest

from ttbr.arch.regime import make_regime
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.contiguous import REASONS, Disagreements, disagreements
from ttbr.mmu.writer import TableWriter

BASE = 0x4000_0000
CONTIGUOUS, AF, DBM, READ_ONLY, DIRTY = 1 << 52, 1 << 10, 1 << 51, 1 << 7, 1 << 55
MISSING, SCATTERED, UNLIKE = range(3)


class Pages:
    """Tables of a format down to one of the last level, whose entries a test writes."""

    def __init__(self, name: str = "arm64-4k") -> None:
        self.regime = make_regime(name, va_bits=None if name == "short" else 48)
        ram = Ram([Bank(BASE, 1 << 20)])
        self.space = AddressSpace(self.regime, BASE, ram)
        self.writer = TableWriter(ram, self.regime.format.entry_size)
        size = 0x10000 if name.startswith("arm64-64k") else 0x4000
        word = 1 if name == "short" else 3
        tables = [BASE + size * at for at in range(len(self.regime.levels))]
        for table, below in pairwise(tables):
            self.writer.write(table, 0, below | word)
        self.last = tables[-1]

    def fill(self, word: int, step: int, count: int, index: int = 0) -> "Pages":
        self.writer.fill(self.last, index, word, step, count)
        return self

    def wrong(self, start: int = 0, end: int = 1 << 64) -> Disagreements:
        return disagreements(self.space.mappings(start, end), start, end)


@pytest.mark.parametrize(
    ("name", "entries", "step"),
    [
        ("arm64-4k", 16, 0x1000),
        ("arm64-16k", 128, 0x4000),
        ("arm64-64k", 32, 0x10000),
        ("arm64-4k-stage2", 16, 0x1000),
        ("arm64-4k-el2", 16, 0x1000),
    ],
)
def test_groups_of_every_granule(name: str, entries: int, step: int) -> None:
    word = 0x8000_0000 | CONTIGUOUS | 0x703
    found = Pages(name).fill(word, step, 2 * entries).wrong()
    assert (len(found), found.groups, found.notes()) == (0, 2, [])
    found = Pages(name).fill(word, step, 2 * entries - 1).wrong()
    assert (found.va.tolist(), found.size.tolist()) == ([entries * step], [entries * step])
    assert found.reason.tolist() == [MISSING]
    assert REASONS[MISSING] in found.notes()[0]


@pytest.mark.parametrize(
    ("index", "word", "reason"),
    [
        (3, 0, MISSING),
        (3, 0x8000_3000 | 0x703, MISSING),  # there, but without the bit
        (3, 0x8000_4000 | CONTIGUOUS | 0x703, SCATTERED),
        (3, 0x8000_3000 | CONTIGUOUS | 0x703 | READ_ONLY, UNLIKE),
        (3, 0x8000_3000 | CONTIGUOUS | 0x303, None),  # old: the flag is each entry's own
        (3, 0x8000_3000 | CONTIGUOUS | 0x703 | DIRTY, None),
    ],
)
def test_one_entry_that_differs(index: int, word: int, reason: int | None) -> None:
    pages = Pages().fill(0x8000_0000 | CONTIGUOUS | 0x703, 0x1000, 16)
    pages.writer.write(pages.last, index, word)
    assert pages.wrong().reason.tolist() == ([] if reason is None else [reason])


def test_dirty_state_is_each_entrys_own() -> None:
    clean = 0x8000_0000 | CONTIGUOUS | DBM | READ_ONLY | 0x703
    pages = Pages().fill(clean, 0x1000, 16)
    pages.writer.write(pages.last, 5, (clean & ~READ_ONLY) + 0x5000)
    assert not len(pages.wrong())


def test_a_group_must_be_aligned_in_memory() -> None:
    found = Pages().fill(0x8000_1000 | CONTIGUOUS | 0x703, 0x1000, 16).wrong()
    assert found.reason.tolist() == [SCATTERED]


def test_a_group_that_the_range_cuts_is_not_called_wrong() -> None:
    pages = Pages().fill(0x8000_0000 | CONTIGUOUS | 0x703, 0x1000, 32)
    assert pages.wrong(0x4000, 0x14000).groups == 2
    assert not len(pages.wrong(0x4000, 0x14000))


def test_large_pages_and_supersections() -> None:
    pages = Pages("short").fill(0x8000_0000 | 0x11, 0, 16)
    pages.writer.fill(BASE, 0x10, 0x9000_0000 | 1 << 18 | 0x402, 0, 16)
    assert (pages.wrong().groups, len(pages.wrong())) == (2, 0)
    pages.writer.write(pages.last, 15, 0x8001_0000 | 0x11)
    pages.writer.write(BASE, 0x1F, 0)
    found = pages.wrong()
    assert found.level.tolist() == [1, 2]
    assert found.reason.tolist() == [MISSING, SCATTERED]
    assert found.va.tolist() == [0x100_0000, 0]


def test_nothing_mapped_has_no_groups() -> None:
    assert Pages().wrong().groups == 0
