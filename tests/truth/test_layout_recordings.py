"""The maps of recorded machines, against what their kernels say in /proc/iomem and buddyinfo."""

import re

import pytest
import recorded

from ttbr.recover.linux import Linux
from ttbr.report.machine_maps import MachineMaps, maps_of_image

CASES = ("arm64-4k-48-numa", "arm32-vexpress-a9")
LINE = re.compile(r" *([0-9a-f]+)-([0-9a-f]+) : (.*)")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, truth) -> recorded.Recorded:
    return recorded.load(truth, request.param)


@pytest.fixture(scope="module")
def maps(case: recorded.Recorded) -> MachineMaps:
    return maps_of_image(Linux(case.image))


@pytest.fixture(scope="module")
def iomem(case: recorded.Recorded) -> list[tuple[int, int, str]]:
    rows = map(LINE.fullmatch, case.text("iomem.txt").splitlines())
    return [(int(row[1], 16), int(row[2], 16), row[3]) for row in rows if row]


def test_all_ram_is_drawn_and_nothing_else(maps, iomem):
    ram = [(start, last) for start, last, name in iomem if name == "System RAM"]
    drawn = [box for box in maps.physical if box.name != "(no memory)"]
    assert sum(box.size for box in drawn) == sum(last - start + 1 for start, last in ram)
    for box in drawn:
        assert any(start <= box.start <= last for start, last in ram)


def test_the_kernel_lies_where_it_says(maps, iomem):
    code = next(start for start, _, name in iomem if name == "Kernel code")
    data = next(last for _, last, name in iomem if name == "Kernel data")
    parts = [box for box in maps.physical if box.start <= data and box.last >= code]
    named = [box for box in parts if box.name in ("kernel", "translation tables")]
    assert sum(min(box.last, data) - max(box.start, code) + 1 for box in named) == data - code + 1


def test_reserved_memory_is_not_free(maps, iomem):
    reserved = [(start, last) for start, last, name in iomem if name == "reserved"]
    for box in maps.physical:
        inside = [r for r in reserved if r[0] <= box.start and box.last <= r[1]]
        assert not (inside and any(line.startswith("free") for line in box.lines))


def test_regions_of_the_virtual_space(maps):
    names = [region.name.lower() for region in maps.virtual]
    assert any("vmalloc" in name for name in names)
    assert any(name in ("linear mapping", "kernel mapping") for name in names)
    assert set(maps.marks.values()) == {"kernel _text", "kernel _end"}
