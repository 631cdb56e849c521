"""memblock against a model that knows no regions: sets of units of memory."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ttbr.boot.events import EventLog
from ttbr.boot.memblock import ACCESSIBLE, BootPanic, Flags, Memblock, Regions

UNIT = 0x400
UNITS = 96
PAGE = 4096
POSITION = st.integers(0, UNITS - 1)
LENGTH = st.integers(0, 24)


class Model(RuleBasedStateMachine):
    """memblock does what sets of units do, and its arrays stay in their canonical form."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: dict[int, Flags] = {}
        self.reserved: set[int] = set()

    @initialize(near=st.booleans(), bottom_up=st.booleans())
    def start(self, near: bool, bottom_up: bool) -> None:
        self.block = Memblock(EventLog(), merge_near=near)
        self.block.bottom_up = bottom_up

    @rule(at=POSITION, length=LENGTH)
    def add(self, at: int, length: int) -> None:
        self.block.add(at * UNIT, length * UNIT, "f")
        for unit in range(at, at + length):
            self.memory.setdefault(unit, Flags.NONE)

    @rule(at=POSITION, length=LENGTH)
    def remove(self, at: int, length: int) -> None:
        self.block.remove(at * UNIT, length * UNIT, "f")
        for unit in range(at, at + length):
            self.memory.pop(unit, None)

    @rule(at=POSITION, length=LENGTH)
    def reserve(self, at: int, length: int) -> None:
        self.block.reserve(at * UNIT, length * UNIT, "f")
        self.reserved |= set(range(at, at + length))

    @rule(at=POSITION, length=LENGTH)
    def free(self, at: int, length: int) -> None:
        self.block.phys_free(at * UNIT, length * UNIT, "f")
        self.reserved -= set(range(at, at + length))

    @rule(at=POSITION, length=LENGTH, value=st.booleans(), hotplug=st.booleans())
    def flag(self, at: int, length: int, value: bool, hotplug: bool) -> None:
        mark = self.block.mark_nomap if value else self.block.clear_nomap
        flag = Flags.NOMAP
        if hotplug and value:
            mark, flag = self.block.mark_hotplug, Flags.HOTPLUG
        mark(at * UNIT, length * UNIT, "f")
        for unit in self.memory.keys() & set(range(at, at + length)):
            old = self.memory[unit]
            self.memory[unit] = old | flag if value else old & ~flag

    @rule(at=POSITION, length=LENGTH)
    def cap(self, at: int, length: int) -> None:
        self.block.cap_memory_range(at * UNIT, length * UNIT, "f")
        if not length or not self.memory:
            return
        kept = range(at, at + length)
        self.memory = {u: f for u, f in self.memory.items() if u in kept or f & Flags.NOMAP}
        self.reserved &= set(kept)

    @rule(limit=LENGTH)
    def limit(self, limit: int) -> None:
        seen = sorted(self.memory)[:limit]
        self.block.mem_limit_remove_map(limit * UNIT, "f")
        if limit and len(seen) == limit:
            last = seen[-1]
            self.memory = {u: f for u, f in self.memory.items() if u <= last or f & Flags.NOMAP}
            self.reserved &= set(range(last + 1))

    @rule(
        length=st.integers(1, 12),
        align=st.sampled_from([UNIT, 2 * UNIT, PAGE, 4 * PAGE]),
        start=st.sampled_from([0, 0, 7, 40]),
        end=st.sampled_from([0, 0, 20, 50, UNITS]),
    )
    def allocate(self, length: int, align: int, start: int, end: int) -> None:
        found = self.block.phys_alloc_range(length * UNIT, align, start * UNIT, end * UNIT, "f")
        fits = [
            at
            for at in range(max(start * UNIT, PAGE) // UNIT, (end or UNITS * 2) - length + 1)
            if not at * UNIT % align and self.is_one_free_gap(at, length)
        ]
        assert found == (UNIT * (fits[0] if self.block.bottom_up else fits[-1]) if fits else 0)
        if fits:
            self.reserved |= set(range(found // UNIT, found // UNIT + length))

    def is_one_free_gap(self, at: int, length: int) -> bool:
        units = range(at, at + length)
        flags = {self.memory.get(unit) for unit in units}
        # A request does not reach across two regions, even if both are free.
        return (
            self.reserved.isdisjoint(units)
            and len(flags) == 1
            and None not in flags
            and not next(iter(flags)) & Flags.NOMAP  # type: ignore[operator]
            and not any(unit * UNIT in self.starts() for unit in units[1:])
        )

    def starts(self) -> set[int]:
        return {region.base for region in self.block.memory.list}

    @invariant()
    def arrays_say_the_same(self) -> None:
        memory = {
            unit: region.flags
            for region in self.block.memory.list
            for unit in range(region.base // UNIT, region.end // UNIT)
        }
        assert memory == self.memory
        reserved = [
            unit
            for region in self.block.reserved.list
            for unit in range(region.base // UNIT, region.end // UNIT)
        ]
        assert reserved == sorted(self.reserved)

    @invariant()
    def arrays_are_sorted_and_apart(self) -> None:
        for array in (self.block.memory, self.block.reserved):
            for lower, upper in pairwise(array.list):
                assert lower.base < lower.end <= upper.base

    @invariant()
    def questions_are_answered(self) -> None:
        size = self.block.phys_mem_size()
        assert size == len(self.memory) * UNIT
        for unit in (0, 13, 50, 95):
            assert self.block.is_memory(unit * UNIT + 1) == (unit in self.memory)
            mapped = unit in self.memory and not self.memory[unit] & Flags.NOMAP
            assert self.block.is_map_memory(unit * UNIT) == mapped
            taken = not self.reserved.isdisjoint({unit, unit + 1})
            assert self.block.is_region_reserved(unit * UNIT, 2 * UNIT) == taken
        if self.memory:
            assert self.block.start_of_dram() == min(self.memory) * UNIT
            assert self.block.end_of_dram() == (max(self.memory) + 1) * UNIT


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def fresh(phys_bits: int = 64, **options: bool | int) -> Memblock:
    return Memblock(EventLog(), phys_bits, **options)  # type: ignore[arg-type]


def ranges(regions: Regions) -> list[tuple[int, int]]:
    return [(region.base, region.end) for region in regions.list]


def test_events_are_as_the_kernel_prints_them() -> None:
    block = fresh()
    block.log.printing = True
    block.remove(1 << 48, (1 << 64) - 1, "arm64_memblock_init")
    block.reserve(0x1000, 0, "f")
    block.mark_nomap(0x1000, 0x1000, "f")
    wrapped, empty, marked = block.log
    assert (wrapped.start, wrapped.end) == (0x0001_0000_0000_0000, 0x0000_FFFF_FFFF_FFFE)
    assert (wrapped.kind, wrapped.function) == ("memblock_remove", "arm64_memblock_init")
    assert (empty.start, empty.end) == (0x1000, 0xFFF)
    assert [event.logged for event in block.log] == [True, True, False]
    assert marked.as_dict()["kind"] == "memblock_mark_nomap"


def test_events_before_the_parameter_is_parsed_are_not_printed() -> None:
    block = fresh()
    block.add(0x40000000, 0x1000, "f")
    block.log.printing = True
    block.log.stage = "memblock"
    block.add(0x50000000, 0x1000, "f")
    assert [(event.logged, event.stage) for event in block.log] == [
        *((False, "handoff"), (True, "memblock"))
    ]


def test_the_request_is_the_detail_of_the_reservation() -> None:
    block = fresh()
    block.add(0x40000000, 0x10000, "f")
    assert block.phys_alloc_range(4096, 4096, 0, 1, "early_pgtable_alloc") == 0x4000F000
    assert block.alloc(40, 4, "iotable_init") == 0x4000EFD8
    assert [event.function for event in block.log[1:]] == ["memblock_alloc_range_nid"] * 2
    assert "4096 bytes align=0x1000" in block.log[1].detail
    assert "early_pgtable_alloc" in block.log[1].detail
    assert "memblock_alloc_try_nid: 40 bytes align=0x4 nid=-1" in block.log[2].detail


def test_an_alignment_of_zero_is_a_cache_line() -> None:
    block = fresh(cache_line=128)
    block.add(0x40000000, 0x10000, "f")
    assert block.alloc(1, 0, "f") == 0x4000FF80


def test_the_first_page_is_never_given_away() -> None:
    block = fresh(page_size=65536)
    block.add(0, 65536, "f")
    assert block.alloc(16, 16, "f") == 0


def test_the_last_byte_of_a_32_bit_space_is_lost() -> None:
    block = fresh(32)
    block.add(0xC0000000, 0x40000000, "f")
    assert ranges(block.memory) == [(0xC0000000, 0xFFFFFFFF)]
    assert block.alloc(4096, 4096, "f") == 0xFFFFE000


def test_current_limit_bounds_accessible_requests_only() -> None:
    block = fresh()
    block.add(0x40000000, 0x20000, "f")
    block.current_limit = 0x40010000
    assert block.phys_alloc_range(4096, 4096, 0, ACCESSIBLE, "f") == 0x4000F000
    assert block.phys_alloc_range(4096, 4096, 0, block.address_max, "f") == 0x4001F000


def test_hotpluggable_memory_is_used_unless_nodes_are_movable() -> None:
    for movable, expected in ((False, 0x4000F000), (True, 0x40007000)):
        block = fresh()
        block.movable_node = movable
        block.add(0x40000000, 0x10000, "f")
        block.mark_hotplug(0x40008000, 0x8000, "f")
        assert block.alloc(4096, 4096, "f") == expected
        assert list(block.for_each_mem_range()) == [
            *((0x40000000, 0x40008000), (0x40008000, 0x40010000))
        ]


def test_capping_without_memory_does_nothing_but_talk() -> None:
    block = fresh()
    block.reserve(0x1000, 0x1000, "f")
    block.cap_memory_range(0x8000, 0x1000, "f")
    assert ranges(block.reserved) == [(0x1000, 0x2000)]
    assert "No memory registered yet" in block.log.messages[0].text


def test_a_full_array_panics_or_forgets() -> None:
    forgets, panics = fresh(full_panics=False), fresh(full_panics=True)
    for block in (forgets, panics):
        block.add(0, 0x10000000, "f")
        for number in range(128):
            assert block.reserve(number * 0x2000, 0x1000, "f")
    # Room is needed even for what would be merged in the end.
    for base in (0x1000000, 0x1000):
        assert not forgets.reserve(base, 0x1000, "f")
        with pytest.raises(BootPanic, match="cannot resize reserved array"):
            panics.reserve(base, 0x1000, "f")
    assert forgets.alloc(4096, 4096, "f") == 0
    assert not forgets.phys_free(0x800, 0x100, "f")
    assert len(forgets.reserved.list) == 128


@pytest.mark.parametrize(("near", "regions"), [(True, 4), (False, 2)])
def test_merging_near_leaves_what_was_split_elsewhere(near: bool, regions: int) -> None:
    block = fresh(merge_near=near)
    block.add(0x1000, 0x4000, "f")
    block.memory.isolate(0x2000, 0x1000)
    block.add(0x100000, 0x1000, "f")
    assert len(block.memory.list) == regions


def test_many_pages_take_no_time_to_speak_of() -> None:
    block = fresh()
    block.add(0x40000000, 1 << 30, "f")
    block.reserve(0x48000000, 0x1000, "f")
    for _ in range(20000):
        last = block.phys_alloc_range(4096, 4096, 0, 1, "f")
    assert last == 0x80000000 - 20000 * 4096
    assert len(block.reserved.list) == 2
