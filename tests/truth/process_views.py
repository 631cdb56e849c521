"""Files of /proc/PID, of a recorded process and of the model's: what is compared, what differs."""

from __future__ import annotations

import re

from child_processes import own_areas
from recorded import Recorded

from ttbr.report.proc.pagemap import SOFT_DIRTY, entries
from ttbr.report.proc.smaps import smaps
from ttbr.report.proc.status import status
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.process import Process

FLAGS = ((1 << 64) - (1 << 56)) & ~SOFT_DIRTY  # of an entry of pagemap: what is no frame number
NOT_COMPARED = ("THPeligible",)
STATUS = ("VmLck", "VmPin", "VmStk", "VmExe", "VmLib", "VmPTE", "VmSwap", "HugetlbPages")


def compared(
    machine: Recorded, kernel: RunningKernel, pid: int, process: Process
) -> tuple[int, list[str]]:
    """How many figures of a child's own areas were compared, and those that differ."""
    wanted: dict[str, object] = {}
    found: dict[str, object] = {}
    starts = {area.start for area in own_areas(machine, pid)}
    for lines, into in (
        (machine.text(f"pid/{pid}/smaps.txt").splitlines(), wanted),
        (smaps(kernel, process), found),
    ):
        into.update(_smaps(lines, starts))
    for line in machine.text(f"pid/{pid}/pagemap.txt").splitlines():
        if "#" not in line:
            va, _, entry = line.split()
            wanted[f"pagemap {va}"] = int(entry, 16) & FLAGS
    for at, value in entries(kernel, process):
        found[f"pagemap {at:#x}"] = value & FLAGS
    inside = [range(area.start, area.end) for area in own_areas(machine, pid)]
    for into in (wanted, found):
        for key in [key for key in into if key.startswith("pagemap")]:
            if not any(int(key.split()[1], 16) in area for area in inside):
                del into[key]
    for lines, into in (
        (machine.text(f"pid/{pid}/status.txt").splitlines(), wanted),
        (status(kernel, process), found),
    ):
        rows = (line.partition(":") for line in lines)
        into.update((f"status {key}", value.strip()) for key, _, value in rows if key in STATUS)
    keys = wanted.keys() | found.keys()
    return len(keys), [
        f"{key}: {wanted.get(key)}, not {found.get(key)}"
        for key in sorted(keys)
        if wanted.get(key) != found.get(key)
    ]


def _smaps(lines: list[str], starts: set[int]) -> dict[str, object]:
    """Figures by area and name; of the first line what is no device or inode."""
    found: dict[str, object] = {}
    start = 0
    for line in lines:
        head = re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line)
        if head:
            start = int(head[1], 16)
        key, _, value = ("line", "", line) if head else line.partition(":")
        words = value.split()
        if start in starts and key not in NOT_COMPARED:
            found[f"smaps {start:#x} {key}"] = words[:3] + words[5:] if head else words
    return found
