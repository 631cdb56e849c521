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


@TRANSPARENT
def test_a_whole_huge_page_changes_its_protection(process):
    va, size = aligned(process, 1)
    process.store(va, b"kept")
    process.mprotect(va, size, READ)
    entries = process.mm.user.entries
    assert not entries.is_table(pmd(process, va))
    assert not entries.write(pmd(process, va))
    process.mprotect(va, size, READ | WRITE)
    process.store(va + 4, b"!")
    assert process.load(va, 5) == b"kept!"
    assert not entries.is_table(pmd(process, va)), "nobody shares it, so it is written as it is"


@TRANSPARENT
def test_a_huge_page_that_fork_made_old_is_marked(process):
    va, size = aligned(process, 1)
    process.store(va, b"old")
    child = process.fork()
    assert child.load(va, 3) == b"old"
    assert child.mm.user.entries.young(pmd(child, va))
    process.exit()
    child.store(va, b"new")
    assert not child.mm.user.entries.is_table(pmd(child, va)), "the last owner keeps it whole"
    child.munmap(va, size // 2)
    assert child.mm.user.entries.is_table(pmd(child, va))


@POOLED
def test_pooled_pages_change_their_protection(process):
    for pool in pooled(process):
        va = process.mmap(pool.size, huge_size=pool.size)
        process.store(va, b"kept")
        process.mprotect(va, pool.size, READ)
        assert process.load(va, 4) == b"kept"
        process.mprotect(va, pool.size, READ | WRITE)
        process.store(va + pool.size - 1, b"!")
        with pytest.raises(SyscallError, match="EINVAL"):
            process.munmap(va, process.mm.user.page_size)
        process.munmap(va, pool.size)


@pytest.mark.parametrize("machine", ["arm64-4k", "arm64-16k", "arm64-64k"])
def test_contiguous_ranges_are_copied_as_such(kernel, process):
    user = process.mm.user
    step = user.contiguous
    order = step.bit_length() - 1
    user.thp.sizes = {order: user.thp.sizes[order]}
    span = step * kernel.page_size
    va = process.mmap(4 * span)
    process.madvise(va, 4 * span, Madvise.HUGEPAGE)
    va = -(-va // span) * span
    for number in range(2):
        process.store(va + number * span, b"parent")
    child = process.fork()

    def contiguous(of, start):
        table = of.mm.tables.pte_table(start)
        got = of.mm.tables.get_ptes(table, start, step).tolist()
        return {bool(user.entries.cont(each)) for each in got}

    assert contiguous(child, va) == contiguous(process, va) == {True}
    assert child.load(va + 3) == b"e"
    assert contiguous(child, va) == {True}, "the whole range is young now"
    child.store(va + kernel.page_size, b"child!")
    assert contiguous(child, va) == {False}
    assert process.load(va + kernel.page_size, 6) == bytes(6)
    child.exit()
    process.store(va + span, b"PARENT")
    assert process.load(va + span, 6) == b"PARENT"
