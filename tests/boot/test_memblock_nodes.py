"""memblock's regions on nodes, requests for a node, and arrays that grow."""

from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.events import Event, EventLog, Message
from ttbr.boot.memblock import Memblock
from ttbr.boot.memblock_dump import configuration, dump_all

M = 1 << 20
BASE = 0x4000_0000


def two_nodes(**options: int) -> Memblock:
    """32 MiB, half of it on node 0, half on node 1."""
    block = Memblock(EventLog(), numa=True, **options)  # type: ignore[arg-type]
    block.add(BASE, 32 * M, "f")
    block.set_node(BASE, 16 * M, block.memory, 0)
    block.set_node(BASE + 16 * M, 16 * M, block.memory, 1)
    return block


def test_regions_of_two_nodes_do_not_merge() -> None:
    block = two_nodes()
    assert [(r.base, r.nid) for r in block.memory.list] == [(BASE, 0), (BASE + 16 * M, 1)]
    block.set_node(BASE, 32 * M, block.memory, 0)
    assert [(r.base, r.end, r.nid) for r in block.memory.list] == [(BASE, BASE + 32 * M, 0)]
    block.set_node(BASE + 4 * M, 4 * M, block.memory, 3)
    assert [r.nid for r in block.memory.list] == [0, 3, 0]


def test_a_kernel_without_numa_ignores_nodes() -> None:
    block = Memblock(EventLog())
    block.add(BASE, 32 * M, "f")
    assert block.set_node(BASE, 16 * M, block.memory, 1)
    assert len(block.memory.list) == 1
    assert list(block.mem_pfn_ranges()) == list(block.mem_pfn_ranges(0))
    assert list(block.mem_pfn_ranges()) == [(BASE >> 12, (BASE >> 12) + 0x2000, 0)]
    assert block.alloc_exact_nid_raw(4096, 4096, "f", nid=0) == BASE + 32 * M - 4096


def test_a_request_for_a_node_is_met_there_or_anywhere() -> None:
    block = two_nodes()
    assert block.alloc_try_nid(4096, 4096, "f", nid=0) == BASE + 16 * M - 4096
    assert block.alloc_try_nid(4096, 4096, "f", nid=1) == BASE + 32 * M - 4096
    # Too much for node 0, and for its rest once another has it.
    assert block.alloc_try_nid(16 * M - 8192, 4096, "f", nid=0) == BASE + 4096
    assert block.alloc_try_nid(8192, 4096, "f", nid=0) == BASE + 32 * M - 12288
    assert block.alloc_exact_nid_raw(8192, 4096, "f", nid=0) == 0
    assert block.phys_alloc_try_nid(8192, 4096, 0) == BASE + 32 * M - 20480


def test_the_lower_bound_is_given_up() -> None:
    block = two_nodes()
    above = BASE + 64 * M
    assert block.alloc_try_nid_raw(4096, 4096, "f", start=above) == BASE + 32 * M - 4096
    assert block.alloc_exact_nid_raw(4096, 4096, "f", start=above, nid=0) == BASE + 16 * M - 4096
    # First a place above it on any node, then the node.
    start = BASE + 16 * M
    assert block.alloc_try_nid(4096, 4096, "f", start=start, nid=0) == BASE + 32 * M - 8192


def test_the_upper_bound_is_at_most_the_current_limit() -> None:
    block = two_nodes()
    block.current_limit = BASE + 8 * M
    assert block.alloc_try_nid(4096, 4096, "f", end=BASE + 32 * M) == BASE + 8 * M - 4096


def test_words_of_requests_in_order() -> None:
    block = two_nodes()
    block.log.printing = True
    block.alloc_try_nid(4096, 64, "sparse_index_alloc", nid=0)
    block.alloc_exact_nid_raw(64 * M, 2 * M, "memmap_alloc", start=BASE, nid=1)
    *_, taken, refused = block.log.in_order()
    assert isinstance(taken, Event) and isinstance(refused, Message)
    assert taken.detail == (
        "memblock_alloc_try_nid: 4096 bytes align=0x40 nid=0 from=0x0000000000000000 "
        "max_addr=0x0000000000000000 sparse_index_alloc"
    )
    assert refused.text == (
        "memblock_alloc_exact_nid_raw: 67108864 bytes align=0x200000 nid=1 "
        "from=0x0000000040000000 max_addr=0x0000000000000000 memmap_alloc"
    )


def test_the_configuration_block() -> None:
    block = two_nodes()
    dump_all(block)
    assert not block.log.messages  # not without memblock=debug
    block.log.printing = True
    block.reserve(BASE, 0x123, "f")
    block.mark_nomap(BASE + 31 * M, M, "f")
    dump_all(block)
    assert [message.text for message in block.log.messages] == configuration(block)
    assert configuration(block) == [
        "MEMBLOCK configuration:",
        " memory size = 0x0000000002000000 reserved size = 0x0000000000000123",
        " memory.cnt  = 0x3",
        " memory[0x0]\t[0x0000000040000000-0x0000000040ffffff], 0x0000000001000000 bytes "
        "on node 0 flags: 0x0",
        " memory[0x1]\t[0x0000000041000000-0x0000000041efffff], 0x0000000000f00000 bytes "
        "on node 1 flags: 0x0",
        " memory[0x2]\t[0x0000000041f00000-0x0000000041ffffff], 0x0000000000100000 bytes "
        "on node 1 flags: 0x4",
        " reserved.cnt  = 0x1",
        " reserved[0x0]\t[0x0000000040000000-0x0000000040000122], 0x0000000000000123 bytes "
        "flags: 0x0",
    ]


def test_a_full_array_moves_to_free_memory() -> None:
    block = Memblock(EventLog(), 32)
    block.log.printing = True
    block.add(BASE, 16 * M, "f")
    block.growth.allow()
    for number in range(129):
        assert block.reserve(BASE + number * 8192, 4096, "f")
    # 256 regions of 12 bytes take a page, which lies above what was to be reserved.
    assert block.reserved.list[-1].base == BASE + 16 * M - 4096
    *_, asked, doubled, reserved = block.log.in_order()
    assert isinstance(asked, Event) and asked.start == BASE + 128 * 8192
    assert isinstance(doubled, Message)
    assert doubled.text == "memblock: reserved is doubled to 256 at [0x40fff000-0x40fffbff]"
    assert isinstance(reserved, Event) and reserved.function == "memblock_double_array"
    # The next array takes two pages, and the old one is given back.
    for number in range(129, 256):
        assert block.reserve(BASE + number * 8192, 4096, "f")
    kinds = [(e.kind, e.start, e.end) for e in block.log if e.function == "memblock_double_array"]
    assert kinds == [
        ("memblock_reserve", BASE + 16 * M - 4096, BASE + 16 * M - 1),
        ("memblock_phys_free", BASE + 16 * M - 4096, BASE + 16 * M - 1),
        ("memblock_reserve", BASE + 16 * M - 12288, BASE + 16 * M - 4097),
    ]
    assert block.reserved.capacity == 512


def test_an_array_that_nothing_is_left_for() -> None:
    block = Memblock(EventLog())
    block.add(BASE, 256 * 4096, "f")
    block.growth.allow()
    for number in range(128):
        assert block.reserve(BASE + number * 8192, 4096, "f")
    # The pages left over are all single ones: 256 regions need two in a row.
    assert not block.reserve(BASE + 4096 * 511, 4096, "f")
    assert block.log.messages[-1].text == (
        "memblock: Failed to double reserved array from 128 to 256 entries !"
    )
    assert len(block.reserved.list) == 128


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), max_size=300))
def test_growing_loses_nothing(ranges: list[tuple[int, int]]) -> None:
    # Arrays come from the top, where nothing else is asked for.
    block = Memblock(EventLog(), reserved_capacity=4)
    block.add(BASE, 16 * M, "f")
    block.growth.allow()
    asked = set()
    for at, length in ranges:
        assert block.reserve(BASE + at * 8192, length * 4096, "f")
        asked |= {BASE + at * 8192 + page * 4096 for page in range(length)}
    held = {page for r in block.reserved.list for page in range(r.base, r.end, 4096)}
    assert asked <= held
    assert len(block.reserved.list) <= block.reserved.capacity
    # Beside what was asked for there is the array, once it has left the image.
    extra = sum(r.size for r in block.reserved.list) - len(asked) * 4096
    assert extra <= -(-24 * block.reserved.capacity // 4096) * 4096
