"""adjust_lowmem_bounds: where lowmem ends, for banks with holes, odd starts and odd sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.arm.lowmem import VMALLOC_DEFAULT, adjust_lowmem_bounds, early_vmalloc
from ttbr.boot.events import EventLog
from ttbr.boot.memblock import BootPanic, Flags, Memblock
from ttbr.kernel.arm_layout import ArmLayout

M = 1 << 20
PHYS = 0x4000_0000


def layout(page_offset=0xC000_0000, lpae=False):
    return ArmLayout(
        lpae=lpae,
        page_offset=page_offset,
        text_offset=0x8000,
        modules_vaddr=page_offset - 16 * M,
        modules_end=page_offset - 2 * M,
        pkmap_base=page_offset - 2 * M,
    )


def bounds(*banks, highmem=True, vmalloc=VMALLOC_DEFAULT, plan=None, phys=PHYS):
    memblock = Memblock(EventLog(), 32)
    for base, size in banks:
        memblock.add(base, size, "test")
    low = adjust_lowmem_bounds(memblock, plan or layout(), phys, vmalloc, highmem=highmem)
    return low, memblock


def test_small_memory_is_all_lowmem():
    low, memblock = bounds((PHYS, 512 * M))
    assert low.limit == PHYS + 512 * M == memblock.current_limit
    assert low.high_memory == 0xC000_0000 + 512 * M


@pytest.mark.parametrize(
    ("page_offset", "size"),
    [(0xC000_0000, 768), (0xB000_0000, 1024), (0x8000_0000, 1792), (0x4000_0000, 2816)],
)
def test_lowmem_of_every_split(page_offset, size):
    low, memblock = bounds((0, 4095 * M), plan=layout(page_offset), phys=0)
    assert low.limit == memblock.current_limit == size * M
    assert memblock.end_of_dram() == 4095 * M


def test_vmalloc_size_moves_the_limit():
    low, _ = bounds((PHYS, 2048 * M), vmalloc=512 * M)
    assert low.limit == PHYS + (768 - 272) * M


def test_hole_costs_lowmem_addresses():
    low, _ = bounds((PHYS, 256 * M), (PHYS + 512 * M, 1024 * M))
    assert low.limit == PHYS + 768 * M
    far, _ = bounds((PHYS, 256 * M), (PHYS + 0x3000_0000, 256 * M))
    assert far.limit == PHYS + 256 * M, "a bank at the limit is highmem whole"


def test_unaligned_first_bank_loses_its_head():
    low, memblock = bounds((PHYS + M, 255 * M))
    first = memblock.memory.list[0]
    assert (first.base, first.end, first.flags) == (PHYS + M, PHYS + 2 * M, Flags.NOMAP)
    assert low.limit == PHYS + 256 * M == memblock.current_limit


def test_allocations_stop_before_the_first_part_of_2m():
    low, memblock = bounds((PHYS, 255 * M), (PHYS + 300 * M, 100 * M))
    assert low.limit == PHYS + 400 * M
    assert memblock.current_limit == PHYS + 254 * M
    low, memblock = bounds((PHYS, 256 * M), (PHYS + 301 * M, 99 * M))
    assert (low.limit, memblock.current_limit) == (PHYS + 400 * M, PHYS + 300 * M)


def test_without_highmem_the_rest_is_removed_from_the_allocation_limit_on():
    low, memblock = bounds((PHYS, 1024 * M), highmem=False)
    assert memblock.end_of_dram() == low.limit == PHYS + 768 * M
    texts = [message.text for message in memblock.log.messages]
    assert texts[0] == "Ignoring RAM at 0x70000000-0x80000000"
    low, memblock = bounds((PHYS, 255 * M), (PHYS + 512 * M, 512 * M), highmem=False)
    assert low.limit == PHYS + 768 * M
    assert memblock.end_of_dram() == PHYS + 254 * M or memblock.end_of_dram() <= low.limit


def test_no_lowmem_at_all_is_refused():
    with pytest.raises(BootPanic, match="no RAM below"):
        bounds((PHYS + 0x4000_0000, 256 * M))


@pytest.mark.parametrize(
    ("asked", "got"), [(64 * M, 64 * M), (M, 16 * M), (0, 16 * M), (3000 * M, 976 * M)]
)
def test_vmalloc_parameter_is_clamped(asked, got):
    memblock = Memblock(EventLog(), 32)
    assert early_vmalloc(asked, layout(), memblock) == got
    assert bool(memblock.log.messages) == (asked != got)


BANK = st.tuples(st.integers(0, 60), st.integers(3, 700))


@given(st.lists(BANK, min_size=1, max_size=5), st.booleans())
def test_limits_hold_for_any_banks(gaps, highmem):
    """Lowmem ends at RAM's end or at the split; allocations stay inside it and 2 MiB aligned."""
    at, banks = PHYS, []
    for gap, size in gaps:
        banks.append((at + gap * M, size * M))
        at += (gap + size) * M
    low, memblock = bounds(*[bank for bank in banks if bank[0] < PHYS + 2048 * M], highmem=highmem)
    assert low.limit <= PHYS + 768 * M
    assert memblock.current_limit % (2 * M) == 0
    assert memblock.current_limit <= low.limit
    assert any(base < low.limit <= base + size for base, size in banks)
    if not highmem:
        assert memblock.end_of_dram() <= low.limit
