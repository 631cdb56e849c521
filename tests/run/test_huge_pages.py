"""Transparent huge pages, contiguous ranges and pools: entries, tables and memory."""

import pytest
from user_machines import allow_huge_pages, started

from ttbr.errors import InputError
from ttbr.kernel.vm_flags import Madvise, Map, Prot
from ttbr.run import run
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.hugetlb_faults import get_huge
from ttbr.run.mm.process import Killed

READ, WRITE = Prot.READ, Prot.WRITE


@pytest.fixture
def kernel(machine):
    kernel = run(started(machine))
    allow_huge_pages(kernel)
    return kernel


@pytest.fixture
def process(kernel):
    process = kernel.spawn()
    yield process
    assert not kernel.cpus.violations


def pmd(process, va):
    tables = process.mm.tables
    return tables.read(tables.find(va, tables.pmd_level), tables.pmd_level, va)


def aligned(process, count, advice=Madvise.HUGEPAGE):
    """Room for huge pages: the first address that is aligned to their size, and their size."""
    size = process.mm.user.pmd_size
    va = process.mmap((count + 1) * size)
    process.madvise(va, (count + 1) * size, advice)
    return -(-va // size) * size, size


TRANSPARENT = pytest.mark.parametrize(
    "machine", ["arm-lpae", "arm64-4k", "arm64-4k-52", "arm64-16k"]
)


@TRANSPARENT
def test_a_fault_maps_a_huge_page_and_keeps_a_table_for_later(kernel, process):
    va, size = aligned(process, 1)
    counts, rss = dict(process.mm.tables.counts), process.mm.rss["anon"]
    process.store(va + size - 4, b"huge")
    assert process.last_fault.function == "do_huge_pmd_anonymous_page"
    entries = process.mm.user.entries
    assert not entries.is_table(pmd(process, va))
    assert entries.address(pmd(process, va)) % size == 0
    assert process.mm.rss["anon"] == rss + size // kernel.page_size
    assert process.mm.tables.counts["pte"] == counts["pte"] + 1
    found = kernel.image().address_space(f"user:{process.mm.pgd:#x}")
    if kernel.arch == "arm64":
        leaf = found.translate(va + 5 * kernel.page_size)
        assert leaf.pa == entries.address(pmd(process, va)) + 5 * kernel.page_size


@TRANSPARENT
def test_reads_get_the_huge_page_of_zeros(kernel, process):
    va, _ = aligned(process, 1)
    rss = process.mm.rss["anon"]
    assert process.load(va + 100, 4) == bytes(4)
    zero = process.mm.user.huge_zero * kernel.page_size
    assert process.mm.user.entries.address(pmd(process, va)) == zero
    assert process.mm.rss["anon"] == rss
    process.store(va, b"x")
    assert process.load(va, 2) == b"x\0"
    assert process.mm.rss["anon"] > rss


@TRANSPARENT
def test_what_changes_a_part_of_a_huge_page_splits_its_entry(kernel, process):
    va, size = aligned(process, 1)
    page = kernel.page_size
    process.store(va, b"first")
    process.store(va + 7 * page, b"seventh")
    pa, counts = process.mm.user.entries.address(pmd(process, va)), dict(process.mm.tables.counts)
    process.mprotect(va + page, page, READ)
    assert process.mm.user.entries.is_table(pmd(process, va))
    assert process.mm.tables.counts == counts, "the table that was kept"
    table = process.mm.tables.pte_table(va)
    got = process.mm.tables.get_ptes(table, va, size // page).tolist()
    assert [process.mm.user.entries.address(each) for each in got] == list(
        range(pa, pa + size, page)
    )
    assert process.load(va, 5) == b"first"
    assert process.load(va + 7 * page, 7) == b"seventh"
    free = kernel.pages.free
    process.madvise(va, size // 2, Madvise.DONTNEED)
    assert kernel.pages.free == free, "a large folio goes when none of it is mapped"
    process.madvise(va, size, Madvise.DONTNEED)
    assert kernel.pages.free == free + size // page


@TRANSPARENT
def test_a_huge_page_after_a_fork(kernel, process):
    va, size = aligned(process, 2)
    for place in (va, va + size):
        process.store(place, b"parent")
    child = process.fork()
    assert pmd(child, va) == process.mm.user.entries.mkold(pmd(process, va))
    assert not process.mm.user.entries.write(pmd(process, va))
    child.store(va, b"child!")
    assert child.last_fault.function == "wp_page_copy"
    assert child.mm.user.entries.is_table(pmd(child, va))
    assert process.load(va, 6) == b"parent"
    process.store(va + size, b"mine!!")
    child.exit()
    process.store(va, b"PARENT")
    assert process.load(va, 6) == b"PARENT"


@TRANSPARENT
def test_no_huge_page_where_there_is_no_room_or_no_wish(process):
    va, size = aligned(process, 1, Madvise.NOHUGEPAGE)
    process.store(va, b"x")
    assert process.mm.user.entries.is_table(pmd(process, va))
    end = process.mmap(size)
    process.madvise(end, size, Madvise.HUGEPAGE)
    process.munmap(end, process.mm.user.page_size)
    process.store(end + process.mm.user.page_size, b"x")
    assert process.mm.user.entries.is_table(pmd(process, end))


@pytest.mark.parametrize(
    ("machine", "order"), [("arm64-4k", 4), ("arm64-4k", 6), ("arm64-16k", 7), ("arm64-64k", 5)]
)
def test_large_folios_are_mapped_contiguously(kernel, process, machine, order):
    thp = process.mm.user.thp
    thp.sizes = {order: thp.sizes[order]}
    page, step = kernel.page_size, process.mm.user.contiguous
    span = page << order
    va = process.mmap(4 * span)
    process.madvise(va, 4 * span, Madvise.HUGEPAGE)
    va = -(-va // span) * span
    rss = process.mm.rss["anon"]
    process.store(va + span - 1, b"!")
    assert process.mm.rss["anon"] == rss + (1 << order)

    def contiguous():
        table = process.mm.tables.pte_table(va)
        got = process.mm.tables.get_ptes(table, va, 1 << order).tolist()
        return [bool(process.mm.user.entries.cont(each)) for each in got]

    assert contiguous() == [True] * (1 << order)
    process.mprotect(va, page, READ)
    assert contiguous() == [False] * step + [True] * ((1 << order) - step)
    process.madvise(va + page, page, Madvise.DONTNEED)
    process.mprotect(va, page, READ | WRITE)
    assert not any(contiguous()[:step]), "a page is missing"
    assert process.load(va + span - 1) == b"!"


def pooled(process):
    return [pool for pool in process.mm.user.pools if pool.total]


POOLED = pytest.mark.parametrize("machine", ["arm64-4k", "arm64-4k-52", "arm64-16k", "arm64-64k"])


@POOLED
def test_pages_of_every_pool(kernel, process):
    for pool in pooled(process):
        free = len(pool.free)
        va = process.mmap(2 * pool.size, huge_size=pool.size)
        assert pool.reserved == 2
        process.store(va + pool.size - 1, b"!")
        assert (len(pool.free), pool.reserved) == (free - 1, 1)
        area = process.mm.vmas.at(va)
        entry = get_huge(process.mm, area, va)[1]
        assert process.mm.user.entries.address(entry) % pool.size == 0
        found = kernel.image().address_space(f"user:{process.mm.pgd:#x}").translate(va + 5)
        assert found.pa == process.mm.user.entries.address(entry) + 5
        child = process.fork()
        child.store(va, b"child")
        assert process.load(va, 5) == bytes(5)
        child.exit()
        process.munmap(va, 2 * pool.size)
        assert (len(pool.free), pool.reserved) == (free, 0)


@POOLED
def test_a_shared_mapping_of_a_pool(process):
    pool = pooled(process)[0]
    va = process.mmap(pool.size, READ | WRITE, Map.SHARED, huge_size=pool.size)
    child = process.fork()
    child.store(va + 1, b"seen")
    assert process.load(va + 1, 4) == b"seen"
    child.exit()
    process.munmap(va, pool.size)
    assert len(pool.free) == pool.total


@POOLED
def test_a_pool_that_is_empty(process):
    pool = pooled(process)[0]
    with pytest.raises(SyscallError, match="ENOMEM"):
        process.mmap((pool.total + 1) * pool.size, huge_size=pool.size)
    assert pool.reserved == 0
    va = process.mmap(pool.total * pool.size, huge_size=pool.size)
    process.touch(va, pool.total * pool.size)
    child = process.fork()
    with pytest.raises(Killed, match=r"SIGBUS \(BUS_ADRERR\)"):
        child.store(va, b"no page left to copy to")
    assert not child.alive


@pytest.mark.parametrize("machine", ["arm64-4k"])
def test_pools_grow_and_sizes_are_known(process):
    pools = process.mm.user.pools
    pool = pools.pool(2 << 20)
    before = pool.total
    assert pools.grow(2 << 20, 4) == before + 4
    with pytest.raises(InputError, match="no huge pages of 12K"):
        pools.pool(12 << 10)
    with pytest.raises(InputError, match="from the command line only"):
        pools.grow(1 << 30, 1)
