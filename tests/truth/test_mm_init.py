"""From the end of setup_arch() to the page allocator, against recordings.

Twice: from what the recording had reserved by then, and from the model's own prediction of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

import pytest
from forward import predicted, with_recorded_memblock
from memory_log import (
    about_memory,
    behind_setup_arch,
    boot_log,
    events,
    same,
    until_hand_over,
)
from recorded import cases
from running import about_ram, zones

from conftest import load_truth
from ttbr.boot.boot import STAGES
from ttbr.boot.machine import Machine

STAGE = "mm_init"
STAGED = cases(load_truth(), "stages/stages.json")
# Boards were recorded without a user space, so without its view.
RUNNING = cases(load_truth(), "zoneinfo.txt")
STARTS = {"recorded": "from the recorded reservations", "own": "from the model's own"}


@functools.lru_cache(maxsize=32)
def handed_over(truth: ModuleType, case: str, start: str) -> Machine:
    """The machine whose page allocator has all memory."""
    if start == "own":
        return predicted(truth, case).machine
    machine = with_recorded_memblock(truth, case)
    machine.enter(STAGE)
    dict(STAGES[machine.kernel.arch])[STAGE](machine)
    return machine


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("case", STAGED)
def test_memblock_events_to_the_hand_over(
    truth: ModuleType, case: str, start: str, say: Callable[[str], None]
) -> None:
    machine = handed_over(truth, case, start)
    lines = until_hand_over(boot_log(truth, case))
    real = events(lines[behind_setup_arch(lines) :])
    mine = [
        (e.kind, e.start, e.end, e.function) for e in machine.log if e.logged and e.stage == STAGE
    ]
    equal = sum(a == b for a, b in zip(mine, real, strict=False))
    say(
        f"{case} mm_init {STARTS[start]}: {len(real)} memblock lines compared, {equal} equal, "
        f"{len(mine)} predicted"
    )
    assert len(real) > 20
    # A log that the recorder did not keep to its end says nothing about the rest.
    whole = any(line.startswith("mem auto-init") for line in lines)
    assert mine[: len(real)] == real
    assert not whole or len(mine) == len(real)


@pytest.mark.parametrize("case", cases(load_truth(), "kernel_cmdline.txt"))
def test_every_line_about_memory(truth: ModuleType, case: str, say: Callable[[str], None]) -> None:
    """What ``ttbr boot --dmesg`` prints is what the kernel printed, in order."""
    from ttbr.report.dmesg import dmesg

    real = about_memory(boot_log(truth, case))
    mine = [text for text, _ in dmesg(predicted(truth, case).machine)]
    equal = sum(same(a, b) for a, b in zip(mine, real, strict=False))
    with_unknown = sum("?" in a.replace("+?/?", "") for a in mine)
    say(
        f"{case} dmesg: {len(real)} lines about memory compared, {equal} equal "
        f"({with_unknown} with a figure that is not determined), {len(mine)} predicted"
    )
    for index, (a, b) in enumerate(zip(mine, real, strict=False)):
        assert same(a, b), f"line {index}: '{a}' is really '{b}'"
    # A log that the recorder did not keep to its end says nothing about the rest.
    assert len(mine) == len(real) or not real[-1].startswith(("Memory: ", "KASLR "))
    assert len(real) > 80


@pytest.mark.parametrize("case", RUNNING)
def test_managed_pages_when_the_kernel_is_up(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    """/proc/zoneinfo of the running kernel: what came later is accounted for to the page."""
    from ttbr.boot.when_up import when_up

    real = zones(truth.text(case, "zoneinfo.txt"))
    mine = {
        (up.node, up.zone.name): {
            "start_pfn": up.zone.start_pfn,
            "spanned": up.zone.spanned,
            "present": up.zone.present,
            "managed": up.managed,
        }
        for up in when_up(predicted(truth, case).machine)
    }
    count = sum(map(len, real.values()))
    equal = sum(mine.get(z, {}).get(k) == v for z, row in real.items() for k, v in row.items())
    say(f"{case} zoneinfo: {count} figures compared, {equal} equal")
    assert mine == real


@pytest.mark.parametrize("case", RUNNING)
def test_iomem_when_the_kernel_is_up(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    """System RAM, the image, reserved and crash areas persist; drivers' lines are not ours."""
    from ttbr.boot.iomem import iomem
    from ttbr.report.iomem import iomem_lines

    real = about_ram(truth.text(case, "iomem.txt"))
    mine = iomem_lines(iomem(predicted(truth, case).machine))
    equal = len([line for line in mine if line in real])
    say(f"{case} iomem: {len(real)} lines compared, {equal} equal, {len(mine)} predicted")
    assert mine == real
