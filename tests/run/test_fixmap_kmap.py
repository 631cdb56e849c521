"""The fixmap's slots, code patching, kmap and kmap_local, modules, and split blocks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines_up import booted

from ttbr.errors import InputError, TtbrError
from ttbr.run import run
from ttbr.run.gfp import GFP_HIGHUSER
from ttbr.run.kmap import LAST_PKMAP
from ttbr.run.modules_area import module_alloc
from ttbr.run.split_block import split_block
from ttbr.run.text_poke import text_poke

UART = 0x0900_0000
M = 1 << 20


@pytest.fixture(params=("arm64", "arm"))
def kernel(request):
    return run(booted(request.param))


@pytest.fixture
def high():
    return run(booted("arm-highmem"))


def translated(kernel, va: int) -> int | None:
    return kernel.image().address_space("kernel").translate(va).pa


def test_a_slot_is_set_and_cleared(kernel) -> None:
    fixmap = kernel.space.fixmap
    index = fixmap.text_poke[0]
    before = fixmap.slots()
    at = fixmap.set(index, UART + 4, kernel.space.prot.fixmap_io)
    assert translated(kernel, at) == UART
    assert fixmap.name(index) == "TEXT_POKE0"
    assert set(fixmap.slots()) - set(before) == {(index, at, UART)}
    fixmap.clear(index)
    assert fixmap.slots() == before and translated(kernel, at) is None
    for wrong in (-1, 1 << 20):
        with pytest.raises(InputError, match="the fixmap has slots"):
            fixmap.set(wrong, UART, 0)


def test_the_device_tree_stays_in_its_slots() -> None:
    fixmap = run(booted("arm64")).space.fixmap
    assert {fixmap.name(index) for index, _, _ in fixmap.slots()} <= {"FDT", "EARLYCON"}


def test_early_ioremap_has_seven_slots() -> None:
    kernel = run(booted("arm64"))
    fixmap = kernel.space.fixmap
    held = [fixmap.early_ioremap(UART + 0x10, 2 * 4096) for _ in range(7)]
    assert len(set(held)) == 7
    assert translated(kernel, held[3] + 4096) == UART + 0x1010
    assert len({fixmap.name(i) for i, _, _ in fixmap.slots() if "BTMAP" in fixmap.name(i)}) == 7
    with pytest.raises(InputError, match="not found slot"):
        fixmap.early_ioremap(UART, 4096)
    for at in held:
        fixmap.early_iounmap(at)
    with pytest.raises(InputError, match="not found slot"):
        fixmap.early_iounmap(held[0])
    with pytest.raises(InputError, match="a slot holds"):
        fixmap.early_ioremap(UART, M)
    with pytest.raises(InputError, match="is a BUG on 32-bit ARM"):
        run(booted("arm")).space.fixmap.early_ioremap(UART, 4096)


def test_code_is_patched_through_the_fixmap(kernel) -> None:
    machine = kernel.machine
    text = machine.kernel.symbols["_stext"] + 0x2FFE
    code = b"\x1f\x20\x03\xd5"  # crosses a page
    text_poke(kernel.space, kernel.cpu, text, code)
    assert machine.ram.read(machine.link_to_physical(text), 4) == code
    assert kernel.cpu.load(text, 4, el=1) == code
    sets = [event.function for event in kernel.log if event.kind == "fixmap"]
    assert sets == ["__set_fixmap", "clear_fixmap"] * 2
    module = kernel.vmalloc(8192)
    kernel.space.memory.set_memory_ro(module, 1)
    text_poke(kernel.space, kernel.cpu, module + 8, code)
    assert kernel.cpu.load(module + 8, 4, el=1) == code
    with pytest.raises(InputError, match="neither the kernel's code"):
        text_poke(kernel.space, kernel.cpu, kernel.space.bounds.vmalloc_end - 4096, code)
    assert not kernel.cpus.violations


def test_modules_lie_in_their_window(kernel) -> None:
    near = kernel.space.bounds.modules.near
    first, second = (module_alloc(kernel.space, 5000) for _ in range(2))
    assert near[0] == first and second == first + 2 * kernel.page_size + kernel.page_size
    kernel.vfree(first)
    waits = kernel.space.vmalloc.areas.lazy
    assert not waits, "permissions of the linear map are reset, and that purges"
    with pytest.raises(TtbrError):
        module_alloc(kernel.space, 1 << 40)


def test_kmap_counts_users_and_flushes_when_it_wraps(high) -> None:
    pkmap = high.space.pkmap
    pfns = high.pages.alloc_bulk(600, GFP_HIGHUSER).tolist()
    first = pkmap.kmap(pfns[0])
    assert first == pkmap.base + 4096, "slot 0 comes last"
    assert pkmap.kmap(pfns[0]) == first == pkmap.page_address(pfns[0])
    assert pkmap.counts[1] == 3
    assert translated(high, first) == pfns[0] * 4096
    high.cpu.store(first + 8, b"high", el=1)
    assert high.ram.read(pfns[0] * 4096 + 8, 4) == b"high"
    for pfn in pfns[1 : LAST_PKMAP - 1]:
        pkmap.kmap(pfn)
        pkmap.kunmap(pfn)
    assert not [event for event in high.log if event.function == "flush_all_zero_pkmaps"]
    assert pkmap.kmap(pfns[LAST_PKMAP]) == pkmap.base
    assert [pfn for _, pfn, _ in pkmap.mapped()] == [pfns[LAST_PKMAP], pfns[0]]
    assert pkmap.page_address(pfns[5]) is None
    pkmap.kunmap(pfns[0])
    pkmap.kunmap(pfns[0])
    for pfn in (pfns[0], pfns[7]):
        with pytest.raises(InputError, match="which nobody has kmapped"):
            pkmap.kunmap(pfn)
    low = high.machine.board.ram[0].base // 4096
    assert pkmap.kmap(low) == high.space.direct_map.page_address(low)
    assert not high.cpus.violations


def test_kmap_with_all_slots_in_use_would_sleep(high) -> None:
    pfns = high.pages.alloc_bulk(LAST_PKMAP + 1, GFP_HIGHUSER).tolist()
    held = {high.space.pkmap.kmap(pfn) for pfn in pfns[:-1]}
    assert len(held) == LAST_PKMAP
    with pytest.raises(TtbrError, match="sleeps until one is free"):
        high.space.pkmap.kmap(pfns[-1])
    high.space.pkmap.kunmap(pfns[3])
    assert high.space.pkmap.kmap(pfns[-1]) in held


def test_kmap_local_nests_and_moves_with_its_task(high) -> None:
    local = high.space.kmap_local
    pfns = high.pages.alloc_bulk(20, GFP_HIGHUSER).tolist()
    one, two = local.kmap_local(pfns[0]), local.kmap_local(pfns[1])
    assert (one, two) == (0xFFEF_F000 - 4096, 0xFFEF_F000 - 2 * 4096)
    assert translated(high, two) == pfns[1] * 4096
    with pytest.raises(InputError, match="out of order: the youngest mapping is at 0xffefd000"):
        local.kunmap_local(one)
    process, other = high.spawn(), high.spawn()
    high.user.switch_to(process)
    assert translated(high, one) is None and local.stack == ()
    mine = local.kmap_local(pfns[2])
    assert mine == one
    high.user.switch_to(other)
    assert local.kmap_local(pfns[3]) == one
    high.user.switch_to(process)
    assert translated(high, one) == pfns[2] * 4096, "each task has its own"
    local.kunmap_local(mine)
    assert local.stack == () and translated(high, one) is None
    high.user.switch_to(other)
    assert translated(high, one) == pfns[3] * 4096
    high.user.switch_to(process)
    for _ in range(15):
        local.kmap_local(pfns[3])
    with pytest.raises(TtbrError, match="all 16 slots of CPU 0"):
        local.kmap_local(pfns[3])
    assert not high.cpus.violations


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=200))
def test_counts_are_users_and_one(steps) -> None:
    kernel = run(booted("arm-highmem"))
    pfns = kernel.pages.alloc_bulk(601, GFP_HIGHUSER).tolist()
    pkmap, users = kernel.space.pkmap, dict.fromkeys(pfns, 0)
    for number, more in steps:
        pfn = pfns[number]
        if more:
            pkmap.kmap(pfn)
            users[pfn] += 1
        elif users[pfn]:
            pkmap.kunmap(pfn)
            users[pfn] -= 1
    counted = {pfn: count for _, pfn, count in pkmap.mapped()}
    assert all(counted[pfn] == count + 1 for pfn, count in users.items() if count)
    assert sum(pkmap.counts) == sum(counted.values())


def test_a_split_block_maps_the_same() -> None:
    kernel = run(booted("arm64"))
    at = kernel.ioremap(0x40_0000_0000, 4 * M)
    before = kernel.image().address_space("kernel").mappings(at, at + 4 * M).regions()
    split = split_block(kernel.space, kernel.tables, at + 2 * M + 5)
    assert (split.start, split.size) == (at + 2 * M, 2 * M)
    after = kernel.image().address_space("kernel").mappings(at, at + 4 * M)
    assert after.size.tolist() == [2 * M] + [4096] * 512
    assert (after.regions().pa[0], after.regions().last[-1]) == (before.pa[0], before.last[-1])
    assert not kernel.cpus.violations
    order = [event.function for event in kernel.log][-3:]
    assert order == ["break", "flush_tlb_kernel_range", "make"]
    with pytest.raises(InputError, match="not mapped by a block"):
        split_block(kernel.space, kernel.tables, at + 2 * M)
    split_block(kernel.space, kernel.tables, at, break_first=False)
    assert "becomes a table" in str(kernel.cpus.violations[-1])
