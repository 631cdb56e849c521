"""vmalloc's first-level entries reach the processes of 32-bit ARM, and what if they do not."""

import pytest
from machines_up import booted

from ttbr.run import run
from ttbr.run.cpu.asids import MmContext
from ttbr.run.gfp import GFP_KERNEL

M = 1 << 20
ENTRIES = 16 << 10


@pytest.fixture
def kernel():
    return run(booted("arm"))


def process(kernel) -> MmContext:
    """An address space with the kernel's entries as they are now, as pgd_alloc() makes it."""
    pgd = kernel.pages.alloc_pages(2, GFP_KERNEL) * 4096
    swapper = kernel.machine.roots["swapper_pg_dir"]
    kernel.ram.write(pgd, kernel.ram.read(swapper, ENTRIES))
    return MmContext(pgd)


def first_level(kernel, root: int, va: int) -> int:
    return kernel.tables.get(root, va >> 20)


def test_a_switch_copies_what_has_changed(kernel) -> None:
    one, other = process(kernel), process(kernel)
    kernel.cpus.switch_to(one)
    at = kernel.vmalloc(4 * M)
    assert first_level(kernel, one.pgd, at) == 0, "swapper_pg_dir alone has it"
    assert not kernel.space.missing_syncs(), "a fault would copy it"
    kernel.cpus.switch_to(other)
    wanted = first_level(kernel, kernel.machine.roots["swapper_pg_dir"], at)
    assert wanted and first_level(kernel, other.pgd, at) == wanted
    assert kernel.log[-2].function == "__check_vmalloc_seq"
    kernel.cpu.store(at + 2 * M, b"seen", el=1)
    events = len(kernel.log)
    kernel.cpus.switch_to(one)
    kernel.cpus.switch_to(other)
    functions = [event.function for event in kernel.log.since(events)]
    assert functions.count("__check_vmalloc_seq") == 1, "the other was up to date"
    assert not kernel.space.missing_syncs()


def test_a_sync_that_is_missing_is_reported(kernel) -> None:
    one = process(kernel)
    at = kernel.vmalloc(4 * M)
    kernel.cpus.switch_to(one)
    wanted = first_level(kernel, one.pgd, at)
    kernel.tables.set(one.pgd, at >> 20, 0)
    (found,) = kernel.space.missing_syncs()
    assert (found.pgd, found.va, found.has, found.wanted) == (one.pgd, at, 0, wanted)
    assert "counts as up to date" in str(found)
    kernel.tables.set(one.pgd, at >> 20, wanted + 0x400)
    assert kernel.space.missing_syncs()[0].has == wanted + 0x400


def test_no_process_no_sync(kernel) -> None:
    kernel.vmalloc(4 * M)
    assert kernel.space.missing_syncs() == []
    assert run(booted("arm64")).space.missing_syncs() == []
