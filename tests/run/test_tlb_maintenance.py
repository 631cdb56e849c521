"""Maintenance as Linux issues it: which operations, how many, and what is flushed as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines_up import booted
from user_tables import UserTables

from ttbr.kernel.release import Release
from ttbr.run import run
from ttbr.run.cpu.asids import Asids, MmContext
from ttbr.run.cpu.cpus import Cpus
from ttbr.run.cpu.features import Features
from ttbr.run.cpu.flush_arm64 import Arm64Flush, range_pages
from ttbr.run.events import RunLog

K, M = 1 << 10, 1 << 20
VA = 0x4000_0000
FEATURES = {
    **dict.fromkeys(("pan", "sw_pan", "kpti", "cnp", "dirty", "e0pd", "tlb_range"), False),
    "asid_bits": 16,
    "bbm": 0,
}
OLD, NEW = Release.parse("6.1.192"), Release.parse("6.12.117")


def flush_of(release: Release = NEW, page: int = 4 * K, *, lpa2: bool = False, **features: bool):
    """The functions of a kernel, an address space, and the log that tells what they did."""
    log, asids = RunLog(), Asids.arm64(16, 1, kpti_configured=False, kpti=False)
    context = MmContext(0)
    asids.check(context, 0)
    used = Features(**{**FEATURES, **features})
    flush = Arm64Flush([], asids, used, log, page_size=page, release=release, lpa2=lpa2)
    return flush, context, log


def operations(event) -> dict[str, int]:
    return {name: count for name, count in event.values.items() if name != "asid"}


@pytest.mark.parametrize("page", [4 * K, 16 * K, 64 * K])
def test_too_many_pages_cost_the_whole_asid(page: int) -> None:
    flush, context, log = flush_of(page=page)
    most = page // 8
    flush.flush_range(context, VA, VA + (most - 1) * page, last_level=True)
    flush.flush_range(context, VA, VA + most * page, last_level=True)
    assert [operations(event) for event in log] == [{"vale1is": most - 1}, {"aside1is": 1}]
    assert log[0].detail == f"dsb ishst; tlbi vale1is × {most - 1}; dsb ish"
    flush.flush_kernel_range(VA, VA + most * page)
    flush.flush_kernel_range(VA, VA + (most + 1) * page)
    assert [operations(event) for event in log[2:]] == [{"vaale1is": most}, {"vmalle1is": 1}]
    assert log[3].detail.endswith("dsb ish; isb")


def test_steps_are_as_long_as_what_an_entry_mapped() -> None:
    flush, context, log = flush_of()
    flush.flush_range(context, VA + 4 * K, VA + 3 * M, stride=2 * M)
    assert operations(log[0]) == {"vae1is": 2}
    assert (log[0].start, log[0].end) == (VA, VA + 4 * M - 1)


def test_user_space_of_its_own_is_invalidated_too() -> None:
    flush, context, log = flush_of(kpti=True)
    flush.flush_page(context, VA)
    flush.flush_mm(context)
    flush.flush_range(context, VA, VA + 16 * K)
    assert [operations(event) for event in log] == [{"vale1is": 2}, {"aside1is": 2}, {"vae1is": 8}]


def test_a_page_that_nobody_waits_for() -> None:
    flush, context, log = flush_of()
    flush.flush_page(context, VA, sync=False)
    assert (log[0].function, log[0].detail) == (
        "flush_tlb_page_nosync",
        "dsb ishst; tlbi vale1is × 1",
    )


RANGES = [
    # pages, 6.1, 6.12
    (1, {"vae1is": 1}, {"vae1is": 1}),
    (2, {"rvae1is": 1}, {"rvae1is": 1}),
    (63, {"vae1is": 1, "rvae1is": 1}, {"vae1is": 1, "rvae1is": 1}),
    (64, {"rvae1is": 1}, {"rvae1is": 1}),
    (67, {"vae1is": 1, "rvae1is": 2}, {"vae1is": 1, "rvae1is": 2}),
    (range_pages(30, 3) - 1, {"vae1is": 1, "rvae1is": 4}, {"vae1is": 1, "rvae1is": 4}),
    (range_pages(30, 3), {"aside1is": 1}, {"rvae1is": 1}),
    (range_pages(31, 3), {"aside1is": 1}, {"rvae1is": 1}),
    (range_pages(31, 3) + 1, {"aside1is": 1}, {"aside1is": 1}),
]


@pytest.mark.parametrize(("pages", "old", "new"), RANGES)
def test_operations_by_range(pages: int, old: dict[str, int], new: dict[str, int]) -> None:
    for release, expected in ((OLD, old), (NEW, new)):
        flush, context, log = flush_of(release, tlb_range=True)
        flush.flush_range(context, VA, VA + pages * 4 * K)
        assert operations(log[0]) == expected, release


def test_with_lpa2_operations_by_range_begin_aligned() -> None:
    flush, context, log = flush_of(tlb_range=True, lpa2=True)
    flush.flush_range(context, VA + 12 * 4 * K, VA + 32 * 4 * K)
    assert operations(log[0]) == {"vae1is": 4, "rvae1is": 1}


@given(st.integers(1, range_pages(31, 3)), st.sampled_from([OLD, NEW]), st.integers(0, 15))
def test_operations_by_range_cover_the_range(pages: int, release: Release, first: int) -> None:
    flush, _, _ = flush_of(release, tlb_range=True)
    found = flush._operations("vae1is", VA + first * 4 * K, pages, 4 * K)
    assert len(found) <= 6 and all(count == 1 for _, count in found)
    assert sum(name == "vae1is" for name, _ in found) == pages % 2


def test_arm_goes_page_by_page_on_all_cpus() -> None:
    kernel = run(booted("arm-smp"))
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    before = len(kernel.log)
    kernel.tlb.flush_page(user.context, VA + 5)
    kernel.tlb.flush_range(user.context, VA, VA + 4 * M)
    kernel.tlb.flush_mm(user.context)
    kernel.tlb.flush_kernel_range(VA, VA + 8 * K)
    kernel.tlb.flush_kernel_page(VA)
    kernel.tlb.flush_all()
    said = [event.detail for event in kernel.log.since(before)]
    # The kernel that ships has the work-around for erratum 720789: ASIDs are not named.
    assert said == [
        "dsb ishst; tlbi TLBIMVAAIS × 1; dsb ish",
        "dsb ish; tlbi TLBIMVAAIS × 1024; dsb ish",
        "dsb ishst; tlbi TLBIALLIS × 1; dsb ish",
        "dsb ish; tlbi TLBIMVAAIS × 2; dsb ish; isb",
        "dsb ishst; tlbi TLBIMVAIS × 1; dsb ish; isb",
        "dsb ishst; tlbi TLBIALLIS × 1; dsb ish; isb",
    ]


def test_on_one_cpu_nobody_is_told() -> None:
    kernel = run(booted("arm"))
    kernel.machine.arch_state.smp = False  # as on a Cortex-A9 with one core
    kernel.cpus = Cpus(kernel.machine, kernel.tables, kernel.log)
    user = UserTables(kernel)
    kernel.cpus.switch_to(user.context)
    kernel.tlb.flush_page(user.context, VA)
    kernel.tlb.flush_mm(user.context)
    assert [event.detail for event in kernel.log][-2:] == [
        "dsb ishst; tlbi TLBIMVA × 1; dsb ish",
        "dsb ishst; tlbi TLBIASID × 1; dsb ish",
    ]
