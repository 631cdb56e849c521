"""A whole space as Linux sees it: the same as address by address, in runs, and bounded."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttbr.arch.faults import FaultKind
from ttbr.arch.regime import make_regime
from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.writer import TableWriter
from ttbr.recover.linux_reading import KINDS, LinuxReader
from ttbr.recover.linux_view import LinuxView, linux_view
from ttbr.recover.software import linux_entry

BASE = 0x4000_0000
LAST = BASE + 0x10000
NEW, OLD = Release.parse("6.12.117"), Release.parse("6.1.176")


def space_with(name: str, words: dict[int, tuple[int, int]]) -> AddressSpace:
    """A space whose first last-level table has (hardware's, Linux's) words by index."""
    regime = make_regime(name, va_bits=32 if name in ("lpae", "short") else 39)
    ram = Ram([Bank(BASE, 1 << 20)])
    writer = TableWriter(ram, regime.format.entry_size)
    tables = [BASE + 0x4000 * at for at in range(len(regime.levels) - 1)] + [LAST + 0x800]
    for table, below in pairwise(tables):
        word = below if name == "short" else below & ~0xFFF
        writer.write(table, 0, word | (1 if name == "short" else 3))
    place = tables[-1] if name == "short" else LAST
    for index, (hardware, linux) in words.items():
        writer.write(place, index, hardware)
        if name == "short":
            writer.write(place - 0x800, index, linux)
    return AddressSpace(regime, BASE, ram)


def view_of(name: str, words: dict[int, int], release: Release = NEW) -> LinuxView:
    space = space_with(name, {index: (word, word) for index, word in words.items()})
    return linux_view(space, LinuxReader(space.regime, release))


def test_runs_of_every_kind() -> None:
    page, none = 0x8000_0000 | 0x7C3 | 1 << 51, 0x9000_0000 | 0xF82 | 1 << 54
    words = {index: page + 0x1000 * index for index in range(4)}
    words |= {4 + index: none + 0x1000 * index for index in range(3)}
    words |= {7 + index: (0x100 + index) << 12 | 2 << 6 for index in range(5)}
    words |= {12: 0x105 << 12 | 1 << 6, 13: 0x77777 << 12 | 30 << 6}
    view = view_of("arm64-4k", words)
    assert view.runs().tolist() == [0, 4, 7, 12, 13]
    assert view.counts() == {"present": 4, "PROT_NONE": 3, "swap": 6, "migration-write": 1}
    read = view.readings
    assert read.pa[view.runs()].tolist() == [0x8000_0000, 0x9000_0000, 0, 0, 0x7777_7000]
    assert read.swap_type[view.runs()].tolist() == [-1, -1, 2, 1, 30]
    assert read.swap_offset[view.runs()].tolist() == [0, 0, 0x100, 0x105, 0x77777]


def test_the_linux_half_of_a_table() -> None:
    """What Linux says counts even where the hardware's half is empty, and the other way round."""
    space = space_with(
        "short",
        {
            0: (0x8000_047E, 0x8000_05DF),  # young and dirty
            1: (0, 0x8000_15DD),  # old
            2: (0, 5 << 8 | 1 << 7 | 3 << 2),  # swapped, exclusive
            3: (0x9000_047E, 0),  # a table that is not Linux's
        },
    )
    view = linux_view(space, LinuxReader(space.regime, NEW))
    assert [KINDS[code] for code in view.readings.kind] == ["present", "old", "swap", "present"]
    assert view.readings.pa.tolist() == [0x8000_0000, 0x8000_1000, 0, 0x9000_0000]
    assert view.entry.tolist() == [0x8000_05DF, 0x8000_15DD, 0x58C, 0]
    assert view.va.tolist() == [0, 0x1000, 0x2000, 0x3000]


def test_a_part() -> None:
    space = space_with("arm64-4k", {at: ((at + 1) << 12, 0) for at in range(16)})
    reader = LinuxReader(space.regime, NEW)
    part = linux_view(space, reader, 0x4000, 0x6000)
    assert part.va.tolist() == [0x4000, 0x5000]
    assert not len(linux_view(space, reader, 0x100000))
    assert not len(linux_view(space, reader, 0x100000).runs())


@pytest.mark.parametrize("name", ["arm64-4k", "lpae", "short"])
@given(data=st.data())
@settings(max_examples=60)
def test_the_whole_is_what_each_address_says(name: str, data: st.DataObject) -> None:
    width = 32 if name == "short" else 64
    word = st.one_of(
        st.integers(0, (1 << width) - 1),
        st.tuples(st.integers(0, (1 << 20) - 1), st.integers(0, 0xFFF)).map(
            lambda parts: parts[0] << 12 | parts[1]
        ),
    )
    words = data.draw(st.dictionaries(st.integers(0, 40), st.tuples(word, word), max_size=8))
    space = space_with(name, words)
    release = data.draw(st.sampled_from([NEW, OLD]))
    reader = LinuxReader(space.regime, release)
    view = linux_view(space, reader)
    assert (np.diff(view.va.astype(object)) > 0).all()
    rows = {int(va): at for at, va in enumerate(view.va)}
    for index in range(41):
        va = index << 12
        translation = space.translate(va)
        single = linux_entry(space, translation, reader)
        at = rows.get(va)
        if translation.pa is not None:
            assert at is not None
            assert KINDS[view.readings.kind[at]] == "present"
            assert view.readings.pa[at] == translation.pa
        elif single is None:
            assert translation.fault is not None
            assert at is None or translation.fault.kind is FaultKind.ADDRESS_SIZE
        else:
            assert at is not None
            assert KINDS[view.readings.kind[at]] == single.kind
            assert single.pa == (int(view.readings.pa[at]) if view.readings.has_page[at] else None)
            assert single.entry == int(view.entry[at])
            offset = None if single.swap_type is None else int(view.readings.swap_offset[at])
            assert single.swap_offset == offset
