"""Violations, planted: each is reported with the two descriptors, and right ways are not."""

import pytest
from machines_up import booted
from user_tables import AF, CONTIGUOUS, DBM, LONG_NG, LONG_RO, UserTables

from ttbr.arch.faults import Access
from ttbr.run import run
from ttbr.run.cpu.break_before_make import BREAK, STALE

VA = 0x4000_0000


@pytest.fixture(params=["arm64", "arm"])
def kernel(request):
    return run(booted(request.param))


@pytest.fixture
def user(kernel):
    tables = UserTables(kernel)
    kernel.cpus.switch_to(tables.context)
    return tables


def only(kernel, kind: str):
    [found] = kernel.cpus.violations
    assert found.kind == kind
    assert str(found) in [event.detail for event in kernel.log if event.kind == "violation"]
    assert f"{found.old:#x} to {found.new:#x}" in str(found)
    return found


def test_another_page_without_a_break(kernel, user) -> None:
    user.map(VA)
    table, index = user.place(VA)
    old, new = kernel.tables.get(table, index), user.desc(user.frame())
    kernel.cpu.load(VA, 1)
    kernel.tables.set(table, index, new)
    found = only(kernel, BREAK)
    assert (found.old, found.new, found.cached, found.va) == (old, new, True, VA)
    assert found.asid == kernel.cpu.asid
    assert found.place == table + index * kernel.tables.entry_size
    assert "output address" in found.reason


def test_another_page_with_a_break_but_without_invalidation(kernel, user) -> None:
    user.map(VA)
    place = user.place(VA)
    old, new = kernel.tables.get(*place), user.desc(user.frame())
    kernel.cpu.load(VA, 1)
    kernel.tables.set(*place, 0)
    kernel.tables.set(*place, new)
    found = only(kernel, BREAK)
    assert (found.old, found.new, found.cached) == (old, new, True)
    assert "nothing was invalidated" in found.reason


def test_break_invalidate_make_is_right(kernel, user) -> None:
    user.map(VA)
    kernel.cpu.load(VA, 1)
    place = user.place(VA)
    new = user.frame()
    kernel.tables.set(*place, 0)
    kernel.tlb.flush_page(user.context, VA)
    kernel.tables.set(*place, user.desc(new))
    assert kernel.cpu.translate(VA, Access.EL0_READ) == new
    assert not kernel.cpus.violations


def test_a_page_that_was_taken_away_but_is_still_used(kernel, user) -> None:
    user.map(VA)
    place = user.place(VA)
    old = kernel.tables.get(*place)
    kernel.cpu.store(VA, b"old")
    kernel.tables.clear(*place)
    assert not kernel.cpus.violations
    assert kernel.cpu.load(VA, 3) == b"old"  # as hardware may do
    kernel.cpu.load(VA, 3)
    found = only(kernel, STALE)
    assert (found.old, found.new, found.va, found.cached) == (old, 0, VA, True)


def test_a_page_that_was_made_read_only_but_is_still_written(kernel, user) -> None:
    pa = user.map(VA)
    kernel.cpu.load(VA, 1)
    kernel.tables.set(*user.place(VA), user.desc(pa, write=False))
    kernel.cpu.load(VA, 1)
    assert not kernel.cpus.violations  # reading is what both allow
    kernel.cpu.store(VA, b"x")
    assert "allowed what the tables do not" in only(kernel, STALE).reason


def test_more_rights_need_no_invalidation_to_be_safe(kernel, user) -> None:
    pa = user.map(VA, write=False)
    kernel.cpu.load(VA, 1)
    kernel.tables.set(*user.place(VA), user.desc(pa))
    kernel.cpu.load(VA, 1)
    assert not kernel.cpus.violations


def test_a_table_that_was_taken_away_with_its_pages(kernel, user) -> None:
    user.map(VA)
    kernel.cpu.load(VA, 1)
    level = user.regime.levels[-2].number
    place = user.place(VA, level)
    old = kernel.tables.get(*place)
    kernel.tables.clear(*place)
    kernel.cpu.load(VA, 1)
    found = only(kernel, STALE)
    assert (found.old, found.new, found.level) == (old, 0, level)


def test_a_walk_cache_that_still_knows_a_table() -> None:
    kernel = run(booted("arm64"))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    user.map(VA)
    kernel.cpu.load(VA, 1)
    place = user.place(VA, 2)
    kernel.tables.clear(*place)
    kernel.tlb.flush_range(user.context, VA, VA + 0x1000, last_level=True)  # not enough
    kernel.cpu.load(VA, 1)
    assert "walk cache" in only(kernel, STALE).reason
    kernel.tlb.flush_range(user.context, VA, VA + 0x1000)
    assert kernel.cpu.translate(VA, Access.EL0_READ).fault.level == 2


def test_a_process_that_is_gone_takes_its_entries_with_it(kernel, user) -> None:
    user.map(VA)
    kernel.cpu.load(VA, 1)
    place = user.place(VA)
    kernel.cpus.destroy_context(user.context)  # as exit does, without invalidation
    kernel.tables.clear(*place)
    kernel.tables.set(*place, user.desc(user.frame()))
    assert not kernel.cpus.violations


def test_an_asid_that_was_given_away_without_a_flush(kernel, user) -> None:
    user.map(VA)
    kernel.cpu.load(VA, 1)
    other = UserTables(kernel, 2)
    kernel.cpus.asids.map[kernel.cpus.asids.asid(user.context)] = 0
    kernel.cpus.asids._next = 1
    kernel.cpus.switch_to(other.context)
    assert kernel.cpus.asids.asid(other.context) == kernel.cpus.asids.asid(user.context)
    kernel.cpu.load(VA, 1)
    assert "translation fault" in only(kernel, STALE).reason


LONG_CHANGES = {
    "memory type": (lambda desc: desc | 4 << 2, "memory type"),
    "shareability": (lambda desc: desc & ~(1 << 8), "shareability"),
    "contiguous": (lambda desc: desc | CONTIGUOUS, "its size changes"),
    "global": (lambda desc: desc & ~LONG_NG, "global"),
    "not global": (lambda desc: desc | LONG_NG, None),
    "read-only": (lambda desc: desc | LONG_RO, None),
    "old": (lambda desc: desc & ~AF, None),
    "software bits": (lambda desc: desc | 0xF << 55, None),
    "dirty management": (lambda desc: desc | DBM, None),
}


@pytest.mark.parametrize("what", LONG_CHANGES)
def test_which_changes_need_a_break(what: str) -> None:
    kernel = run(booted("arm64"))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    user.map(VA)
    place = user.place(VA)
    change, reason = LONG_CHANGES[what]
    kernel.tables.set(*place, change(kernel.tables.get(*place)))
    said = [found.reason for found in kernel.cpus.violations]
    assert len(said) == (reason is not None)
    assert all(reason in each for each in said)
    assert not any(found.cached for found in kernel.cpus.violations)


@pytest.mark.parametrize("support", [0, 1, 2])
def test_a_block_becomes_a_table_by_the_support_that_the_cpu_has(support: int) -> None:
    kernel = run(booted("arm64"))
    kernel.cpus.checks.support = support
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    pa = kernel.pages.alloc_pages(9) * 4096
    place = user.place(VA, level=2)
    block, not_to_be_held = user.desc(pa) & ~2, 1 << 16
    kernel.tables.set(*place, block)
    kernel.cpu.load(VA, 1)
    table = user.frame()
    kernel.tables.fill(table, 0, user.desc(pa), 4096, 512)
    kernel.tables.set(*place, block | not_to_be_held)
    assert not kernel.cpus.violations
    kernel.tables.set(*place, table | 3)
    kernel.cpu.load(VA + 0x5000, 1)
    reasons = [found.reason for found in kernel.cpus.violations]
    assert reasons == ([] if support else ["a block becomes a table"])


def test_read_only_pages_with_the_same_content_may_change_places(kernel, user) -> None:
    one, same, other = (user.frame() for _ in range(3))
    kernel.ram.write(other, b"other")
    place = user.place(VA)
    kernel.tables.set(*place, user.desc(one, write=False))
    kernel.tables.set(*place, user.desc(same, write=False))
    assert not kernel.cpus.violations
    kernel.tables.set(*place, user.desc(other, write=False))
    only(kernel, BREAK)


def test_linux_own_half_of_a_table_page_is_not_the_hardwares() -> None:
    kernel = run(booted("arm"))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    user.map(VA)
    table, index = user.place(VA)
    kernel.tables.set(table - 0x800, index, 0x4000_05DF)
    kernel.tables.set(table - 0x800, index, 0x4100_05DF)
    assert not kernel.cpus.violations
