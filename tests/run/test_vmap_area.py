"""Free, busy, lazy and pooled areas of kernel addresses."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttbr.errors import TtbrError
from ttbr.run.vmap_area import NoAddressSpace, Vm, VmapAreas, VmStruct

PAGE = 4096
START, END = 0x1000_0000, 0x1010_0000  # 1 MiB


def areas(**options):
    return VmapAreas(1 << 32, PAGE, **{"pools": False, "cpus": 1, **options})


def alloc(found: VmapAreas, pages: int, align: int = PAGE) -> VmStruct:
    area = VmStruct(0, pages * PAGE, Vm.ALLOC, "test")
    found.alloc(area, align, START, END, pool=True)
    return area


def covered(found: VmapAreas) -> list[tuple[int, int]]:
    busy = [(area.addr, area.end) for area in found.areas]
    return sorted([*found.free, *busy, *found.lazy, *found.pooled])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["alloc", "free", "purge"]), st.integers(1, 40), st.integers(0, 5)
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_every_address_is_in_one_place(steps, pools) -> None:
    found = areas(pools=pools, cpus=4)
    for what, pages, extra in steps:
        if what == "alloc":
            try:
                area = alloc(found, pages, PAGE << extra)
            except NoAddressSpace:
                assert not found.lazy  # the purge was tried
                continue
            assert area.addr % (PAGE << extra) == 0
            assert area.addr >= START and area.end <= END
        elif what == "free" and found.areas:
            found.free_lazily(found.areas[pages % len(found.areas)])
        elif what == "purge":
            found.purge()
        pieces = covered(found)
        assert all(one[1] == other[0] for one, other in pairwise(pieces))
        assert (pieces[0][0], pieces[-1][1]) == (1, (1 << 32) - 1)
    for area in found.areas:
        found.free_lazily(area)
    found.purge(full=True)
    found.purge(full=True)
    assert found.free == [(1, (1 << 32) - 1)]


def test_the_lowest_place_is_taken() -> None:
    found = areas()
    first, second, third = (alloc(found, pages) for pages in (4, 2, 4))
    assert [a.addr - START for a in (first, second, third)] == [0, 4 * PAGE, 6 * PAGE]
    found.free_lazily(second)
    assert alloc(found, 2).addr == third.end, "what was freed waits for a purge"
    assert found.purge() == (second.addr, second.end)
    assert alloc(found, 2).addr == second.addr


def test_with_an_alignment_more_than_the_size_is_searched_for() -> None:
    found = areas()
    alloc(found, 8)
    aligned, behind = alloc(found, 8, 8 * PAGE), alloc(found, 1)
    found.free_lazily(aligned)
    found.purge()
    # The hole of 8 pages fits, but the search asks for 8 + 8 − 1.
    assert alloc(found, 8, 8 * PAGE).addr > behind.addr
    assert alloc(found, 8).addr == aligned.addr


def test_a_full_range_is_purged_before_it_is_refused() -> None:
    found = areas()
    whole = alloc(found, 256)
    with pytest.raises(NoAddressSpace, match="0x10000000-0x100fffff"):
        alloc(found, 1)
    found.free_lazily(whole)
    again = VmStruct(0, 256 * PAGE, Vm.ALLOC, "test")
    assert found.alloc(again, PAGE, START, END, pool=True) == (START, END)


def test_pools_give_the_area_freed_last() -> None:
    found = areas(pools=True, cpus=2)
    held = [alloc(found, 5) for _ in range(3)]
    for area in held:
        found.free_lazily(area)
    found.purge()
    assert found.pooled == [(area.addr, area.end) for area in held]
    assert alloc(found, 4).addr == held[-1].end, "another size comes from free space"
    assert alloc(found, 5).addr == held[-1].addr
    found.purge()
    assert not found.pooled, "a pool of less than four is emptied by the next purge"


def test_a_purge_is_due_by_pages_and_cpus() -> None:
    found = areas(cpus=4)
    assert found.lazy_max_pages == 3 * (32 << 20) // PAGE


def test_what_is_taken_cannot_be_taken_again() -> None:
    found = areas()
    found.add_early(VmStruct(START, PAGE, Vm.MAP, "boot"))
    with pytest.raises(TtbrError, match="is not free"):
        found.add_early(VmStruct(START, PAGE, Vm.MAP, "boot"))
    assert found.find(START + 5).caller == "boot"
    assert found.find(START + PAGE) is None
