"""Ram against a plain array of bytes, with snapshots."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from ttbr.errors import InputError
from ttbr.memory.physical import Bank, OutsideMemory
from ttbr.memory.ram import Ram

BASE = 0x4000_0000
BANKS = (Bank(BASE, 0x3000), Bank(BASE + 0x3000, 0x2800), Bank(BASE + 0x8000, 0x1800))
END = 0xA000
INSIDE = [(0, 0x5800), (0x8000, 0x9800)]  # the first two banks touch


def inside(offset: int, size: int) -> bool:
    return any(start <= offset and offset + size <= end for start, end in INSIDE)


def array(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def check(entry: tuple[Ram, bytearray, set[int]], offset: int, size: int, word: int) -> None:
    ram, model, pages = entry
    if inside(offset, size):
        assert ram.read(BASE + offset, size) == bytes(model[offset : offset + size])
    else:
        with pytest.raises(OutsideMemory):
            ram.read(BASE + offset, size)
    starts = np.array([offset, 0, 0x2000, 0x57F8, 0x8000, offset + 4, END], np.int64)
    count = max(1, size // word)
    words, present = ram.read_words((starts + BASE).astype(np.uint64), count, word)
    for row, start in enumerate(starts.tolist()):
        assert bool(present[row]) == inside(start, count * word)
        expected = np.zeros(count, np.uint64)
        if present[row]:
            expected = np.frombuffer(bytes(model[start : start + count * word]), f"<u{word}")
        assert (words[row] == expected).all()
    expected_runs = {BASE // 4096 + page for page in pages}
    runs = ram.written()
    frames = {f for run in runs for f in range(run.base >> 12, ((run.end - 1) >> 12) + 1)}
    assert frames == expected_runs
    assert runs == sorted(runs)


class RamAgainstBytes(RuleBasedStateMachine):
    rams = Bundle("rams")

    @initialize(target=rams)
    def empty(self):
        self.all = []
        return self._add(Ram(BANKS), bytearray(END), set())

    def _add(self, ram, model, pages):
        entry = (ram, model, pages)
        self.all.append(entry)
        return entry

    @rule(
        entry=rams,
        offset=st.integers(0, END),
        data=st.binary(max_size=48),
        times=st.integers(1, 200),
    )
    def write(self, entry, offset, data, times):
        ram, model, pages = entry
        data *= times
        if not data:
            return
        if inside(offset, len(data)):
            ram.write(BASE + offset, data)
            model[offset : offset + len(data)] = data
            pages.update(range(offset >> 12, (offset + len(data) - 1 >> 12) + 1))
        else:
            with pytest.raises(OutsideMemory):
                ram.write(BASE + offset, data)

    @rule(
        entry=rams,
        offset=st.integers(0, 0x2000).map(lambda n: n * 4),
        values=st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=20),
        word=st.sampled_from([4, 8]),
    )
    def write_words(self, entry, offset, values, word):
        ram, model, pages = entry
        data = np.array(values, f"<u{word}").tobytes()
        if not inside(offset, len(data)):
            return
        ram.write_words(BASE + offset, array(*values), word)
        model[offset : offset + len(data)] = data
        pages.update(range(offset >> 12, (offset + len(data) - 1 >> 12) + 1))

    @rule(entry=rams, offset=st.integers(0, END), size=st.integers(1, 0x5000))
    def zero(self, entry, offset, size):
        ram, model, pages = entry
        if inside(offset, size):
            ram.zero(BASE + offset, size)
            model[offset : offset + size] = bytes(size)
            pages.difference_update(range(-(-offset // 4096), (offset + size) // 4096))
        else:
            with pytest.raises(OutsideMemory):
                ram.zero(BASE + offset, size)

    @rule(target=rams, entry=rams)
    def snapshot(self, entry):
        ram, model, pages = entry
        return self._add(ram.snapshot(), bytearray(model), set(pages))

    @rule(
        entry=rams,
        offset=st.integers(0, END - 1),
        size=st.sampled_from([1, 4, 8, 24, 100, 512, 4096, 8192, 9000]),
        word=st.sampled_from([4, 8]),
    )
    def read(self, entry, offset, size, word):
        check(entry, offset, size, word)
        check(entry, offset & ~(size - 1), size, word)

    @invariant()
    def all_content_is_the_models(self):
        for ram, model, _ in getattr(self, "all", []):
            for start, end in INSIDE:
                assert ram.read(BASE + start, end - start) == bytes(model[start:end])


TestRamAgainstBytes = RamAgainstBytes.TestCase
TestRamAgainstBytes.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_unwritten_memory_is_zero_and_costs_nothing():
    ram = Ram([Bank(0, 1 << 50)])
    assert ram.read(1 << 49, 4) == bytes(4)
    assert ram.written() == []
    words, present = ram.read_words(array(0, 1 << 40, 1 << 50, (1 << 64) - 8), 1, 8)
    assert words.tolist() == [[0], [0], [0], [0]]
    assert present.tolist() == [True, True, False, False]
    ram.write((1 << 50) - 1, b"\1")
    assert ram.written() == [Bank((1 << 50) - 4096, 4096)]


def test_bounds_name_the_address_and_the_banks():
    ram = Ram(BANKS)
    for read, first in (((0, 4), 0), ((BASE + 0x57FF, 2), BASE + 0x5800)):
        with pytest.raises(OutsideMemory) as caught:
            ram.read(*read)
        assert caught.value.address == first
        assert f"{first:#x} is outside memory, which is 0x40000000-0x40002fff, " in str(
            caught.value
        )
    with pytest.raises(OutsideMemory, match="which is empty"):
        Ram([]).read(0, 1)
    many = Ram([Bank(n << 20, 0x1000) for n in range(9)])
    with pytest.raises(OutsideMemory, match="0x300000-0x300fff and 5 more"):
        many.read(0x1000, 1)
    assert ram.banks == BANKS
    assert ram.contains(array(BASE - 1, BASE, BASE + 0x57FF, BASE + 0x5800)).tolist() == [
        False, True, True, False,
    ]  # fmt: skip


def test_a_write_that_sticks_out_writes_nothing():
    ram = Ram(BANKS)
    with pytest.raises(OutsideMemory):
        ram.write(BASE + 0x57FF, b"ab")
    assert ram.written() == []


def test_the_top_of_64_bits():
    ram = Ram([Bank((1 << 64) - 0x1000, 0x1000)])
    ram.write((1 << 64) - 8, b"12345678")
    words, present = ram.read_words(array((1 << 64) - 8, (1 << 64) - 4, 0), 1, 8)
    assert present.tolist() == [True, False, False]
    assert words[0, 0] == int.from_bytes(b"12345678", "little")


def test_words_that_do_not_fit():
    with pytest.raises(ValueError, match="more than 32 bits"):
        Ram(BANKS).write_words(BASE, array(1, 1 << 32), 4)


@pytest.mark.parametrize(
    ("banks", "words"),
    [
        ([Bank(0, 0x2000), Bank(0x1000, 0x1000)], "0x0-0x1fff and 0x1000-0x1fff overlap"),
        ([Bank(0, 0)], "at least one byte"),
        ([Bank(-1, 5)], "at least one byte"),
        ([Bank((1 << 64) - 1, 2)], "within 64 address bits"),
    ],
)
def test_bad_banks(banks, words):
    with pytest.raises(InputError) as caught:
        Ram(banks)
    assert words in str(caught.value)


def test_large_tables_and_many_of_them():
    ram = Ram([Bank(0, 1 << 30)])
    rng = np.random.default_rng(1)
    tables = rng.permutation(2000)[:300].astype(np.uint64) * np.uint64(0x10000)
    content = rng.integers(0, 1 << 63, (300, 8192), np.uint64)
    for table, row in zip(tables.tolist(), content, strict=True):
        ram.write_words(table, row, 8)
    words, present = ram.read_words(tables, 8192, 8)
    assert present.all() and (words == content).all()
    assert (ram.read_words(tables, 16384, 4)[0][:, ::2] == content & np.uint64(0xFFFFFFFF)).all()
