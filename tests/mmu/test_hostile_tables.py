"""Tables that no kernel would write: answers stay exact or say what was cut, and stay small."""

import time

import numpy as np
import pytest

from ttbr.arch.faults import FaultKind
from ttbr.arch.regime import make_regime
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.attribute_table import MOST_VALUES
from ttbr.mmu.tables import FAULTS
from ttbr.mmu.walk import Budget
from ttbr.mmu.writer import TableWriter

pytestmark = pytest.mark.usefixtures("kernels")

M = 1 << 20
BASE = 0x4000_0000
PAGE = 0x1000
ENTRIES = 512
TABLE, LEAF = 3, 0x403
TOP = (1 << 64) - 1
SECONDS = 20  # far more than it takes, far less than without bounds


def space_of(
    name: str = "arm64-4k", bits: int = 48, size: int = M
) -> tuple[AddressSpace, TableWriter]:
    regime = make_regime(name, va_bits=bits, upper=name.startswith("arm64"))
    ram = Ram([Bank(BASE, size)])
    return AddressSpace(regime, BASE, ram), TableWriter(ram, regime.format.entry_size)


@pytest.mark.parametrize("size", [PAGE, 64 * M])
def test_a_table_of_itself(size: int) -> None:
    space, writer = space_of(size=size)
    writer.fill(BASE, 0, BASE | TABLE, 0, ENTRIES)
    began = time.monotonic()
    mappings = space.mappings()
    assert time.monotonic() - began < SECONDS
    # Each level's table is listed once at least, and the leaves that it has there.
    assert set(mappings.tables.level.tolist()) == {0, 1, 2, 3}
    assert ENTRIES <= len(mappings) <= Budget.of(space.memory).rows
    assert mappings.shared.level.tolist() == [1, 2, 3]
    assert mappings.shared.reached.tolist() == [ENTRIES, ENTRIES**2, ENTRIES**3]
    assert mappings.truncated is not None
    assert f"{BASE:#x} in {ENTRIES**3} places" in mappings.truncated
    # The hardware has no trouble with it, and neither has a single translation.
    assert space.translate(TOP).pa == BASE + PAGE - 1


def test_one_table_shared_by_all_beside_an_honest_one() -> None:
    """As with KASAN: what is behind the shadow memory must not be lost."""
    space, writer = space_of(size=64 * M)
    for level in range(3):
        writer.fill(BASE + level * PAGE, 0, BASE + (level + 1) * PAGE | TABLE, 0, ENTRIES)
    writer.fill(BASE + 3 * PAGE, 0, BASE | LEAF, 0, ENTRIES)
    writer.write(BASE, ENTRIES - 1, BASE + 4 * PAGE | TABLE)
    writer.write(BASE + 4 * PAGE, ENTRIES - 1, BASE + 0x12345000 & -(1 << 30) | 0x401)
    began = time.monotonic()
    mappings = space.mappings()
    assert time.monotonic() - began < SECONDS
    assert mappings.truncated is not None
    assert len(mappings) < Budget.of(space.memory).rows
    assert int(mappings.last[-1]) == TOP
    for row in (0, len(mappings) // 2, len(mappings) - 1):
        assert space.translate(int(mappings.va[row])).pa == mappings.pa[row]


def test_a_table_shared_as_often_as_memory_allows_is_complete() -> None:
    """A zero page's table, used 256 times: every use is a real mapping, and is listed."""
    space, writer = space_of(size=4 * M)
    for level in range(2):
        writer.write(BASE + level * PAGE, 0, BASE + (level + 1) * PAGE | TABLE)
    writer.fill(BASE + 2 * PAGE, 0, BASE + 3 * PAGE | TABLE, 0, 256)
    writer.fill(BASE + 3 * PAGE, 0, BASE | LEAF, 0, ENTRIES)
    mappings = space.mappings()
    assert mappings.truncated is None
    assert len(mappings) == 256 * ENTRIES
    assert (np.diff(mappings.va) == PAGE).all()
    shared = mappings.shared
    assert (shared.address.tolist(), shared.level.tolist()) == ([BASE + 3 * PAGE], [3])
    assert shared.reached.tolist() == shared.listed.tolist() == [256]


def test_the_same_table_under_other_limits_is_another() -> None:
    space, writer = space_of()
    writer.fill(BASE, 0, BASE + PAGE | TABLE, 1 << 61, 4)
    writer.write(BASE + PAGE, 1, BASE | 0x401 | 1 << 6)
    mappings = space.mappings()
    assert len(mappings) == 4
    values = [mappings.attribute_values[code] for code in mappings.attributes]
    assert [value.permissions(0) for value in values] == ["rwx", "--x", "r-x", "--x"]
    assert not len(mappings.shared)


def test_many_tables_shared_by_all() -> None:
    """More places than may be visited, none of the tables used more often than the others."""
    space, writer = space_of(size=64 * M)
    some = 100
    for level in range(1, 4):
        for table in range(some):
            place = BASE + (level * some + table) * PAGE
            down = place - table * PAGE + some * PAGE
            word, step = (down | TABLE, PAGE) if level < 3 else (BASE | LEAF, PAGE)
            writer.fill(place, 0, word, step, some)
    writer.fill(BASE, 0, BASE + some * PAGE | TABLE, PAGE, some)
    began = time.monotonic()
    mappings = space.mappings()
    assert time.monotonic() - began < SECONDS
    budget = Budget.of(space.memory)
    assert mappings.truncated is not None
    assert len(mappings) <= budget.rows
    assert len(mappings.tables) * ENTRIES <= budget.entries


def test_a_part_of_what_is_shared() -> None:
    """The uses outside the range count for nothing."""
    space, writer = space_of(size=64 * M)
    writer.fill(BASE, 0, BASE | TABLE, 0, ENTRIES)
    base = space.regime.base
    part = space.mappings(base + (1 << 39) - PAGE, base + (1 << 39) + 3 * PAGE)
    assert part.truncated is None
    assert len(part) == 4
    assert not len(part.shared)


def test_a_budget_of_ones_own() -> None:
    space, writer = space_of()
    for table in range(1, 4):
        writer.write(BASE + (table - 1) * PAGE, 0, BASE + table * PAGE | TABLE)
    writer.fill(BASE + 3 * PAGE, 0, BASE | LEAF, PAGE, ENTRIES)
    assert space.mappings(budget=Budget(4 * ENTRIES)).truncated is None
    writer.write(BASE, 1, BASE + PAGE | TABLE)
    both = space.mappings(budget=Budget(7 * ENTRIES))
    assert (len(both), both.truncated) == (2 * ENTRIES, None)
    half = space.mappings(budget=Budget(6 * ENTRIES))
    assert len(half) == ENTRIES
    assert half.truncated is not None
    assert "not followed in 1 of 2 places: shared, or referring to themselves" in half.truncated
    assert f"{BASE + PAGE:#x} in 2 places" in half.truncated
    assert len(space.tables(Budget(6 * ENTRIES))) == 4


def test_more_tables_than_may_be_read() -> None:
    space, writer = space_of()
    writer.fill(BASE, 0, BASE + PAGE | TABLE, PAGE, 8)
    some = space.mappings(budget=Budget(5 * ENTRIES))
    assert len(some.tables) == 1 + 5
    assert some.truncated is not None
    assert f"3 tables of level 1 not read, the first at {BASE + 6 * PAGE:#x}" in some.truncated


def test_tables_outside_memory_are_reported() -> None:
    space, writer = space_of()
    writer.write(BASE, 5, 0x8000_0000 | TABLE)
    mappings = space.mappings()
    assert mappings.truncated is None
    assert mappings.unreadable.address.tolist() == [0x8000_0000]
    assert mappings.unreadable.va.tolist() == [space.regime.base + (5 << 39)]
    assert [FAULTS[code] for code in mappings.unreadable.fault] == [FaultKind.EXTERNAL]
    fault = space.translate(space.regime.base + (5 << 39)).fault
    assert fault is not None
    assert (fault.kind, fault.level, fault.address) == (FaultKind.EXTERNAL, 1, 0x8000_0000)


def test_a_root_outside_memory() -> None:
    space, _ = space_of()
    outside = AddressSpace(space.regime, 0x1000, space.memory)
    assert len(outside.mappings().unreadable) == 1
    fault = outside.translate(TOP).fault
    assert fault is not None
    assert fault.kind is FaultKind.EXTERNAL


def test_a_root_beyond_the_output_size() -> None:
    space, _ = space_of()
    high = AddressSpace(space.regime, 1 << 48, space.memory)
    assert [FAULTS[code] for code in high.mappings().unreadable.fault] == [FaultKind.ADDRESS_SIZE]
    many = high.translate_many(np.array([TOP], np.uint64))
    assert FAULTS[many.fault[0]] is FaultKind.ADDRESS_SIZE
    fault = high.translate(TOP).fault
    assert fault is not None
    assert fault.kind is FaultKind.ADDRESS_SIZE


def test_noise_is_not_decoded_without_end() -> None:
    space, writer = space_of(size=4 * M)
    for level in range(3):
        writer.fill(BASE + level * PAGE, 0, BASE + (level + 1) * PAGE | TABLE, 0, 1)
    writer.fill(BASE + 2 * PAGE, 0, BASE + 3 * PAGE | TABLE, PAGE, ENTRIES)
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 1 << 64, ENTRIES * ENTRIES, np.uint64) | np.uint64(3)
    space.memory.write_words(BASE + 3 * PAGE, noise, 8)
    mappings = space.mappings()
    assert len(mappings.attribute_values) <= MOST_VALUES
    assert mappings.truncated is not None
    assert "hardly translation tables" in mappings.truncated


@pytest.mark.parametrize(
    ("name", "bits", "entries"),
    [("arm64-4k-lpa2", 52, 16), ("arm64-64k", 48, 64), ("arm64-16k", 48, 2), ("lpae", 32, 4)],
)
def test_what_lies_behind_a_small_root_is_not_read(name: str, bits: int, entries: int) -> None:
    space, writer = space_of(name, bits)
    root = space.regime.levels[0]
    assert root.entries == entries
    writer.fill(BASE, 0, (1 << 64) - 1, 0, 2 * entries)
    assert len(space.mappings().unreadable) == entries


def test_the_last_page_of_all() -> None:
    space, writer = space_of()
    for table in range(1, 4):
        writer.write(BASE + (table - 1) * PAGE, ENTRIES - 1, BASE + table * PAGE | TABLE)
    writer.fill(BASE + 3 * PAGE, ENTRIES - 2, BASE | LEAF, PAGE, 2)
    mappings = space.mappings()
    assert mappings.last.tolist() == [TOP - PAGE, TOP]
    regions = mappings.regions()
    assert (regions.va.tolist(), regions.last.tolist()) == ([TOP - 2 * PAGE + 1], [TOP])
    assert regions.size.tolist() == [2 * PAGE]
    assert space.mappings(TOP, TOP + 1).va.tolist() == [TOP - PAGE + 1]
    assert mappings.reverse(BASE + PAGE + 5).tolist() == [TOP - PAGE + 1 + 5]


def test_supersections_and_large_pages() -> None:
    space, writer = space_of("short", 32)
    # 16 MiB at 0x12_3400_0000: PA[39:36] in bits 8:5, PA[35:32] in bits 23:20 (trap 10).
    word = 0x3400_0000 | 0x2 << 20 | 1 << 18 | 0x1 << 5 | 0x402
    writer.fill(BASE, 0x10, word, 0, 16)
    writer.write(BASE, 0x20, BASE + 0x4000 | 1)
    writer.fill(BASE + 0x4000, 0x30, 0x5678_0000 | 0x11, 0, 16)
    answer = space.translate(0x1A_BCDE0)
    assert (answer.pa, answer.size) == (0x12_34AB_CDE0, 1 << 24)
    answer = space.translate(0x203_ABCD)
    assert (answer.pa, answer.size) == (0x5678_ABCD, 1 << 16)
    regions = space.mappings().regions()
    assert regions.pa.tolist() == [0x12_3400_0000, 0x5678_0000]
    assert regions.size.tolist() == [1 << 24, 1 << 16]
