"""The table in docs/linux-in-an-image.md says what this version finds in each recording.

A row that is out of date fails; TTBR_WRITE_DOCS=1 writes it anew (with one worker: -n0).
"""

import os

from conftest import CHECKOUT
from ttbr.recover.finding import Confidence
from ttbr.recover.kernel_memory import KernelMemory

PAGE = CHECKOUT / "docs" / "linux-in-an-image.md"


def layouts(linux, expected):
    """How the offsets that the recording knows are found: from where, and how many are not."""
    asked = [name.split(".", 1) for name in expected]
    found = [linux.layouts.finding(*name) for name in asked]
    known = [finding for finding in found if finding is not None]
    if linux.types is not None:
        return f"BTF: {len(known)} of {len(asked)}"
    noted = sum(finding.evidence == "vmcoreinfo" for finding in known)
    sure = sum(finding.confidence is Confidence.CERTAIN for finding in known) - noted
    return (
        f"vmcoreinfo {noted}, data {len(known) - noted} ({sure} certain), "
        f"unknown {len(asked) - len(known)}"
    )


def meminfo(memory, text):
    """How many lines are as the kernel had printed them, of those told; how many are unknown.

    What it counts goes on changing after that, if only by the pages and dentries of the recorder.
    """
    found = {**memory.meminfo.kib, **memory.meminfo.counts}
    lines = (line.split() for line in text.splitlines())
    wanted = {name.rstrip(":"): int(value) for name, value, *_ in lines}
    equal = sum(wanted[name] == value for name, value in found.items())
    return f"{equal} of {len(found)}, unknown {len(memory.meminfo.unknown)}"


def row(machine, linux):
    case, expected = machine.case, machine.expected
    memory = KernelMemory(linux)
    symbols, config = linux.symbols, linux.config
    asids = "" if "mm_struct.context.id" not in linux.tasks.unknown else ", no ASIDs"
    vmalloc, free = memory.vmalloc, memory.free_blocks
    cells = [
        case,
        f"{len(symbols)} ({symbols.source.split(', ')[1]})",
        "none" if config is None else f"{len(config)} options",
        layouts(linux, expected["struct_offsets"]),
        f"{len(linux.tasks)}{asids}",
        str(len(linux.vmas)),
        "none" if memory.memblock is None else str(len(memory.memblock)),
        str(len(memory.zones)),
        "unknown" if free is None else str(len(free)),
        "unknown" if vmalloc is None else str(len(vmalloc)),
        meminfo(memory, machine.text("meminfo.txt")),
    ]
    return f"| {' | '.join(cells)} |"


def test_the_documented_table(machine, linux):
    wanted = row(machine, linux)
    lines = PAGE.read_text().splitlines()
    mine = [number for number, line in enumerate(lines) if line.startswith(f"| {machine.case} |")]
    if os.environ.get("TTBR_WRITE_DOCS"):
        if mine:
            lines[mine[0]] = wanted
        else:
            lines.insert(lines.index("<!-- end of the recordings -->"), wanted)
        PAGE.write_text("\n".join(lines) + "\n")
        return
    if mine:  # the page speaks of the recordings that its readers can have
        assert [lines[number] for number in mine] == [wanted]
