"""TLBs: what they hold, for whom, and what takes it away."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines_up import booted
from user_tables import CONTIGUOUS, UserTables

from ttbr.arch.faults import Access
from ttbr.errors import InputError
from ttbr.kernel.cpu import CORES
from ttbr.run import run
from ttbr.run.cpu.abort import Abort
from ttbr.run.cpu.core_text import parse_tlbs
from ttbr.run.cpu.cores import ALIKE, CORE_TLBS, TLBS, TlbShape, core_tlbs
from ttbr.run.cpu.cpus import Cpus
from ttbr.run.cpu.tlb_array import TlbArray

VA = 0x4000_0000
K, M = 1 << 10, 1 << 20


@pytest.fixture(params=["arm64", "arm"])
def kernel(request):
    return run(booted(request.param))


def cpu_with(kernel, **shapes: TlbShape):
    """A CPU with other TLBs than the board's."""
    core = replace(kernel.cpus.core, flushed=False, **shapes)
    kernel.cpus = Cpus(kernel.machine, kernel.tables, kernel.log, core=core)
    return kernel.cpu


def test_a_kernel_can_run_with_the_tlbs_of_another_core() -> None:
    kernel = run(booted("arm64"), tlbs=TLBS["Neoverse-V1"])
    assert kernel.cpu.tlb.core.main.entries == 2048


def test_the_first_access_walks_and_the_next_hits(kernel) -> None:
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    user.map(VA, execute=True)
    cpu = kernel.cpu
    for _ in range(3):
        cpu.load(VA + 8, 4)
    counts = cpu.tlb.counts
    levels = len(kernel.machine.image().user_regime.levels)
    assert (counts.walks, counts.first, counts.reads) == (1, 2, levels)
    cpu.fetch(VA)  # the first level for instructions does not have it, the main TLB has
    assert (counts.walks, counts.main) == (1, 1)
    assert counts.hit_rate == 3 / 4
    assert cpu.tlb.reach() == kernel.page_size
    assert cpu.tlb.core.main.reach == cpu.tlb.core.main.entries * 4 * K


def test_full_sets_lose_what_was_used_longest_ago(kernel) -> None:
    cpu = cpu_with(kernel, data=TlbShape(1, 1, (4 * K,)), main=TlbShape(2, 2, (4 * K,)))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    pages = [VA + at * 4 * K for at in range(3)]
    for va in pages:
        user.map(va)
    for va in (pages[0], pages[1], pages[0], pages[2]):
        cpu.load(va, 1)
    assert cpu.tlb.counts.evicted == 4  # page 1 from the main TLB, three from the first level
    walks = cpu.tlb.counts.walks
    cpu.load(pages[0], 1)
    assert cpu.tlb.counts.walks == walks
    cpu.load(pages[1], 1)
    assert cpu.tlb.counts.walks == walks + 1


def test_an_address_space_has_its_own_entries_and_the_global_ones(kernel) -> None:
    one, other = UserTables(kernel, 1), UserTables(kernel, 2)
    cpu = kernel.cpu
    for user, word in ((one, b"1"), (other, b"2")):
        kernel.ram.write(user.map(VA), word)
    kernel.cpus.switch_to(one.context)
    assert cpu.load(VA, 1) == b"1"
    kernel.cpus.switch_to(other.context)
    assert cpu.load(VA, 1) == b"2"
    kernel.cpus.switch_to(one.context)
    walks = cpu.tlb.counts.walks
    assert cpu.load(VA, 1) == b"1"
    assert cpu.tlb.counts.walks == walks
    kernel.tlb.flush_mm(one.context)
    cpu.load(VA, 1)
    kernel.cpus.switch_to(other.context)
    cpu.load(VA, 1)
    everything = kernel.arch == "arm"  # its kernel has the work-around for erratum 720789
    assert cpu.tlb.counts.walks == walks + (2 if everything else 1)


def test_a_contiguous_range_is_one_entry_where_the_core_has_the_size() -> None:
    reaches = {}
    for sizes in ((4 * K,), (4 * K, 64 * K)):
        kernel = run(booted("arm64"))
        shape = TlbShape(16, 16, sizes)
        cpu = cpu_with(kernel, data=shape, main=shape)
        user = UserTables(kernel)
        kernel.cpus.switch_to(user.context)
        pa = kernel.pages.alloc_pages(4) * 4 * K
        table, index = user.place(VA)
        kernel.tables.fill(table, index, user.desc(pa) | CONTIGUOUS, 4 * K, 16)
        for at in range(16):
            assert cpu.translate(VA + at * 4 * K + at, Access.EL0_READ) == pa + at * 4 * K + at
        reaches[sizes] = cpu.tlb.reach()
        assert cpu.tlb.counts.walks == (1 if len(sizes) == 2 else 16)
        kernel.tlb.flush_page(user.context, VA + 5 * 4 * K)
        assert cpu.tlb.reach() == 0
    assert reaches == {(4 * K,): 64 * K, (4 * K, 64 * K): 64 * K}


def test_a_block_that_is_held_in_pieces_goes_as_a_whole() -> None:
    kernel = run(booted("arm64"))
    cpu = cpu_with(kernel, data=TlbShape(8, 8, (4 * K,)), main=TlbShape(8, 8, (4 * K, 64 * K)))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    pa = kernel.pages.alloc_pages(9) * 4 * K
    kernel.tables.set(*user.place(VA, level=2), user.desc(pa) & ~2)
    for offset in (0, 64 * K, M):
        assert cpu.translate(VA + offset + 4, Access.EL0_READ) == pa + offset + 4
    assert (len(cpu.tlb.main), len(cpu.tlb.data), cpu.tlb.reach()) == (3, 3, 192 * K)
    kernel.tlb.flush_page(user.context, VA)
    assert not len(cpu.tlb.main) and not len(cpu.tlb.data) and not cpu.tlb.leaves


def test_the_walk_cache_saves_reads_until_a_table_goes() -> None:
    kernel = run(booted("arm64"))  # Cortex-A53 has one
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    counts = kernel.cpu.tlb.counts
    for at in range(4):
        user.map(VA + at * 4 * K)
    for at in range(2):
        kernel.cpu.load(VA + at * 4 * K, 1)
    assert (counts.walks, counts.walk_cache, counts.reads) == (2, 1, 5)
    kernel.tlb.flush_range(user.context, VA, VA + 4 * K, last_level=True)
    kernel.cpu.load(VA + 2 * 4 * K, 1)
    assert (counts.walks, counts.walk_cache) == (3, 2)
    kernel.tlb.flush_range(user.context, VA, VA + 4 * K)
    kernel.cpu.load(VA + 3 * 4 * K, 1)
    assert (counts.walks, counts.walk_cache) == (4, 2)


def test_maintenance_reaches_the_other_cpus() -> None:
    kernel = run(booted("arm64-smp"))
    cpus = kernel.cpus
    user = UserTables(kernel)
    user.map(VA)
    for number in (1, 0):
        cpus.select(number)
        cpus.switch_to(user.context)
        kernel.cpu.load(VA, 1)
    assert [len(cpu.tlb.main) for cpu in cpus.all.values()] == [1, 1]
    assert cpus.all[1].registers is not cpus.all[0].registers
    kernel.tlb.local_flush_all(kernel.cpu)
    assert [len(cpu.tlb.main) for cpu in cpus.all.values()] == [0, 1]
    kernel.tlb.flush_page(user.context, VA)
    assert [len(cpu.tlb.main) for cpu in cpus.all.values()] == [0, 0]


def test_every_core_has_tlbs_that_can_be_built() -> None:
    for core in CORE_TLBS:
        for shape in (core.instruction, core.data, core.main):
            assert shape.entries == shape.sets * shape.ways
            assert list(shape.sizes) == sorted(set(shape.sizes))
        assert core.source
    assert set(ALIKE.values()) <= set(TLBS)
    for cpu in CORES.values():
        found, assumption = core_tlbs(cpu)
        assert (found.name == cpu.name) is (assumption is None)


class Pages:
    """A few pages and what they map to, changed as Linux changes them."""

    def __init__(self, kernel) -> None:
        self.kernel = kernel
        self.users = [UserTables(kernel, pid) for pid in (1, 2, 3)]
        self.frames = [self.users[0].frame() for _ in range(4)]
        self.step = kernel.page_size
        for user in self.users:
            kernel.tables.set(*user.place(VA), 0)

    def unmap(self, user, va) -> None:
        self.kernel.tables.set(*user.place(va), 0)
        self.kernel.tlb.flush_range(user.context, va, va + self.step, last_level=True)


COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["map", "unmap", "protect", "switch", "access", "flush", "kernel"]),
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=60,
)


@pytest.mark.parametrize("name", ["arm64", "arm", "arm64-a76"])
@given(commands=COMMANDS)
@settings(max_examples=40, deadline=None)
def test_what_tlbs_answer_is_what_tables_say(name: str, commands) -> None:
    """As long as maintenance is right, whatever was done before."""
    kernel = run(booted(name))
    cpu_with(kernel, data=TlbShape(2, 2, (4 * K,)), main=TlbShape(4, 2, (4 * K, M)))
    pages = Pages(kernel)
    kernel.cpus.switch_to(pages.users[0].context)
    running = pages.users[0]
    for what, who, page, frame, write in commands:
        user, va = pages.users[who], VA + page * pages.step
        place = user.place(va)
        match what:
            case "map":
                pages.unmap(user, va)
                user.map(va, pages.frames[frame], write=write)
            case "unmap":
                pages.unmap(user, va)
            case "protect":
                old = kernel.tables.get(*place)
                if old & 3:
                    pa = kernel.image().address_space(f"user:{user.context.pgd:#x}")
                    kernel.tables.set(*place, user.desc(pa.translate(va).pa, write=write))
                    kernel.tlb.flush_page(user.context, va)
            case "switch":
                kernel.cpus.switch_to(user.context)
                running = user
            case "flush":
                kernel.tlb.flush_mm(user.context)
            case "kernel":
                kernel.cpus.switch_to(None)
                kernel.cpus.switch_to(running.context)
        access = Access.EL0_WRITE if write else Access.EL0_READ
        with kernel.cpu.user_access():  # arm's domains are part of what tables say
            space = kernel.image().address_space(f"user:{running.context.pgd:#x}")
        said = space.translate(va, access)
        found = kernel.cpu.translate(va, access)
        if isinstance(found, Abort):
            assert said.fault is not None
            assert (found.fault.kind, found.fault.level) == (said.fault.kind, said.fault.level)
        else:
            assert (found, None) == (said.pa, said.fault)
    assert not kernel.cpus.violations


@pytest.fixture(scope="module")
def cached():
    """What a TLB holds of a page."""
    kernel = run(booted("arm64"))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    user.map(VA)
    kernel.cpu.load(VA, 1)
    [found] = kernel.cpu.tlb.main
    return found


@given(
    accesses=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3)), max_size=200),
    shape=st.sampled_from([(8, 8), (8, 2), (9, 3)]),
)
def test_an_array_holds_no_more_than_its_shape(cached, accesses, shape) -> None:
    array = TlbArray(TlbShape(*shape, (4 * K,)))
    for page, tag in accesses:
        va = page * 4 * K
        if array.find(va, tag) is None:
            array.insert(va, replace(cached, va=va, tag=tag))
        assert array.find(va, tag) is not None
        assert len(array) <= shape[0]
        assert all(len(each) <= shape[1] for each in array._sets)


def test_tlbs_in_words() -> None:
    assert parse_tlbs("Cortex-A53") is TLBS["Cortex-A53"]
    made = parse_tlbs("Cortex-A53,main=64/4/4K+64K+2M,data=8,walk_cache=0")
    assert made.main == TlbShape(64, 4, (4 * K, 64 * K, 2 * M))
    assert made.data == TlbShape(8, 8, TLBS["Cortex-A53"].data.sizes)
    assert made.walk_cache == 0 and made.instruction is TLBS["Cortex-A53"].instruction
    kernel = run(booted("arm64"), tlbs=made)
    assert kernel.cpu.tlb.core is made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Cortex-Z1",
        "Cortex-A53,main",
        "Cortex-A53,main=",
        "Cortex-A53,main=0",
        "Cortex-A53,main=10/4",
        "Cortex-A53,main=8/4/4K/2",
        "Cortex-A53,main=8/4/64K+4K",
        "Cortex-A53,main=8/4/3K",
        "Cortex-A53,main=8/4/",
        "Cortex-A53,main=9999999999",
        "Cortex-A53,main=²/2",
        "Cortex-A53,other=3",
        "Cortex-A53,",
    ],
)
def test_words_that_describe_no_tlbs(text: str) -> None:
    with pytest.raises(InputError):
        parse_tlbs(text)
