"""Memory of the running kernel against recordings: zones, caches, and addresses of pages."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import ModuleType

import pytest
from forward import predicted
from recorded import cases
from running import protections, zone_figures

from conftest import load_truth
from ttbr.run import RunningKernel, run

RUNNING = cases(load_truth(), "zoneinfo.txt")
FIXED = ("MemTotal", "HighTotal", "LowTotal", "CommitLimit", "VmallocTotal", "CmaTotal")
SLABINFO = re.compile(r"^((?:dma-)?kmalloc-\S+) +\d+ +\d+ +(\d+) +(\d+) +(\d+)", re.MULTILINE)


@functools.lru_cache(maxsize=1)
def running(truth: ModuleType, case: str) -> RunningKernel:
    return run(predicted(truth, case))


@pytest.mark.parametrize("case", RUNNING)
def test_zones(truth: ModuleType, case: str, say: Callable[[str], None]) -> None:
    """Watermarks, what is kept from whom, and contiguous areas, as in /proc/zoneinfo."""
    pages = run(predicted(truth, case)).pages
    if case in cases(truth, "sys.mm"):
        huge = re.search(r"transparent_hugepage/enabled: .*\[(\w+)\]", truth.text(case, "sys.mm"))
        if huge and huge[1] != "never":
            pages.start_khugepaged()  # as the recorded user space did
    text = truth.text(case, "zoneinfo.txt")
    real = zone_figures(text, "min|low|high|managed|cma|spanned|present")
    mine = {
        (zone.node, zone.name): {
            **dict(zip(("min", "low", "high"), zone.marks, strict=True)),
            "spanned": zone.spanned,
            "present": zone.present,
            "managed": zone.managed,
            "cma": zone.cma,
        }
        for zone in pages.zones
    }
    kept = {(zone.node, zone.name): zone.reserve for zone in pages.zones}
    count = sum(map(len, real.values()))
    equal = sum(mine.get(z, {}).get(k) == v for z, row in real.items() for k, v in row.items())
    say(f"{case} running zones: {count} figures compared, {equal} equal")
    assert mine == real
    assert kept == protections(text)


@pytest.mark.parametrize("case", RUNNING)
def test_caches(truth: ModuleType, case: str, say: Callable[[str], None]) -> None:
    """The caches of kmalloc(): sizes, objects and pages in a slab, as in /proc/slabinfo."""
    real = {
        name: tuple(map(int, figures))
        for name, *figures in SLABINFO.findall(truth.text(case, "slabinfo.txt"))
    }
    mine = {
        name: (cache.size, cache.objects, 1 << cache.order)
        for name, cache in running(truth, case).slabs.caches.items()
    }
    equal = sum(mine.get(name) == row for name, row in real.items())
    say(f"{case} caches: {len(real)} compared, {equal} equal")
    assert mine == real


@pytest.mark.parametrize("case", RUNNING)
def test_addresses(truth: ModuleType, case: str, say: Callable[[str], None]) -> None:
    """Linear addresses and struct pages of frames, as the recorded kernel had them."""
    addresses = running(truth, case).addresses
    said = truth.expected(case)
    pairs = [(int(p["pfn"], 16), int(p["page"], 16)) for p in said["struct_pages"]]
    linear = [
        (int(known["pa"], 16), int(known["va"], 16))
        for known in said["kernel_maps"]
        if known["kind"].startswith(("kmalloc", "pages"))
    ]
    assert pairs and linear
    assert [addresses.pfn_to_page(pfn) for pfn, _ in pairs] == [page for _, page in pairs]
    assert [addresses.page_to_pfn(page) for _, page in pairs] == [pfn for pfn, _ in pairs]
    assert [addresses.virt(pa) for pa, _ in linear] == [va for _, va in linear]
    assert [addresses.phys(va) for _, va in linear] == [pa for pa, _ in linear]
    say(f"{case}: {len(pairs)} struct pages and {len(linear)} linear addresses compared, all equal")


@pytest.mark.parametrize("case", RUNNING)
def test_views_have_the_kernels_form(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    """buddyinfo, pagetypeinfo, zoneinfo, meminfo: labels, columns and order of lines."""
    from ttbr.report.proc.buddyinfo import buddyinfo
    from ttbr.report.proc.meminfo import meminfo, meminfo_lines
    from ttbr.report.proc.pagetypeinfo import pagetypeinfo
    from ttbr.report.proc.zoneinfo import zoneinfo

    kernel = running(truth, case)
    lines = 0
    for name, made in (
        ("buddyinfo.txt", buddyinfo(kernel.pages)),
        ("pagetypeinfo.txt", pagetypeinfo(kernel.pages)),
    ):
        real = truth.text(case, name).splitlines()
        assert [columns(line) for line in made] == [columns(line) for line in real]
        lines += len(made)
    # How many page blocks a zone has, and how many of them are contiguous areas', never changes.
    blocks = [[sum(row), row[4:5]] for row in map(block_counts, pagetypeinfo(kernel.pages)) if row]
    real_rows = map(block_counts, truth.text(case, "pagetypeinfo.txt").splitlines())
    assert blocks == [[sum(row), row[4:5]] for row in real_rows if row]
    # Of zoneinfo, those lines that the model has, in the kernel's order.
    real_lines = iter(label(line) for line in truth.text(case, "zoneinfo.txt").splitlines())
    for line in zoneinfo(kernel):
        assert label(line) in real_lines, line
        lines += 1
    text = truth.text(case, "meminfo.txt")
    made = meminfo_lines(meminfo(kernel))
    assert [columns(line) for line in made] == [columns(line) for line in text.splitlines()]
    real_figures = dict(re.findall(r"^(\S+): +(\d+)", text, re.MULTILINE))
    figures = {name: value for name, value in meminfo(kernel).items() if name in FIXED}
    assert {name: int(real_figures[name]) for name in figures} == figures
    say(
        f"{case} /proc: {lines + len(made)} lines of four files in the kernel's form, "
        f"{len(figures)} fixed figures of meminfo compared, all equal"
    )


def block_counts(line: str) -> list[int]:
    """Page blocks by type, of a line of pagetypeinfo that has them."""
    found = re.fullmatch(r"Node \d+, zone +\w+ ([\d ]+)", line)
    return [int(word) for word in found[1].split()] if found else []


def columns(line: str) -> tuple[str, int]:
    """The words of a line and how long it is, whatever its numbers are."""
    return re.sub(r" *(\d+|\?)", "#", line), len(line)


def label(line: str) -> str:
    """A line of zoneinfo without its figures."""
    return re.sub(r"\d+", "#", line)
