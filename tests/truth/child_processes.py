"""What the processes of the recordings did, done again by processes of the model.

The recordings' README says what each does. Where a process was laid out at random, the recording
says so; what follows from that, the addresses of mappings, is the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from recorded import Recorded

from ttbr.kernel.vm_flags import Madvise, Map, Prot
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE, Gfp
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.exec import Program, Segment
from ttbr.run.mm.files import File
from ttbr.run.mm.process import Process
from ttbr.run.mm.thp import Enabled
from ttbr.run.mm.user_layout import Placement
from ttbr.run.oom import OutOfMemory

READ, WRITE, EXEC, NONE = Prot.READ, Prot.WRITE, Prot.EXEC, Prot.NONE
M = 1 << 20
INIT = 1
SPECIAL = ("[stack]", "[sigpage]", "[vectors]", "[uprobes]", "[heap]")
AREA = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *(.*)")
CHILDREN: dict[str, Callable[[Child], None]] = {}


@dataclass(frozen=True, slots=True)
class Area:
    """A line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    name: str


def areas(machine: Recorded, pid: int) -> list[Area]:
    """The areas of a recorded process."""
    found = []
    for line in machine.text(f"pid/{pid}/maps.txt").splitlines():
        match = AREA.fullmatch(line.rstrip())
        assert match is not None, line
        start, end, permissions, offset, name = match.groups()
        found.append(Area(int(start, 16), int(end, 16), permissions, int(offset, 16), name))
    return found


def resident(machine: Recorded, pid: int) -> list[int]:
    """The addresses that have a page according to the pagemap of a recorded process."""
    lines = machine.text(f"pid/{pid}/pagemap.txt").splitlines()
    return [int(line.split()[0], 16) for line in lines if "#" not in line]


def processes(machine: Recorded) -> dict[str, int]:
    """The numbers of the recorded processes by what they are called."""
    rows = (line.split() for line in machine.text("processes.txt").splitlines())
    return {name: int(pid) for pid, name in rows}


def own_areas(machine: Recorded, pid: int) -> list[Area]:
    """The areas that a child made itself: those that its parent does not have.

    Areas without any access that lie behind one of its own are a part of what it mapped.
    """
    parents = {(area.start, area.name) for area in areas(machine, INIT)}
    return [
        area
        for area in areas(machine, pid)
        if (area.start, area.name) not in parents and area.name not in SPECIAL
    ]


def prepared(machine: Recorded, kernel: RunningKernel) -> None:
    """The settings that the recorded user space made before it started its children."""
    thp = kernel.user.user.thp
    if thp.pmd_order:
        thp.enabled = Enabled.MADVISE
    sizes = [64 << 10] if kernel.page_size == 4096 else [64 << 10, 2 * M]
    for size in sizes:
        order = (size // kernel.page_size).bit_length() - 1
        if thp.smaller and 2 <= order < thp.pmd_order:
            thp.sizes[order] = Enabled.MADVISE


def settings(machine: Recorded) -> str:
    """/sys/kernel/mm, which kernels without huge pages lack."""
    try:
        return machine.text("sys.mm")
    except FileNotFoundError:
        return ""


def filled(machine: Recorded, kernel: RunningKernel) -> None:
    """Leave no free block of an order that had none when the recorded kernel was asked.

    Its own allocations since the boot, which the model does not have, had broken them up: one page
    stays taken of each.
    """
    rows = [line.split()[4:] for line in machine.text("buddyinfo.txt").splitlines()]
    largest = max(order for row in rows for order, count in enumerate(row) if int(count))
    for order in range(kernel.pages.max_order, largest, -1):
        while True:
            try:
                pfn = kernel.pages.alloc_pages(order, GFP_HIGHUSER_MOVABLE | Gfp.NOWARN)
            except OutOfMemory:
                break
            kernel.pages.frames.allocated_run(pfn, 1 << order)  # as split_page() does
            kernel.pages.free_bulk(np.arange(pfn + 1, pfn + (1 << order), dtype=np.uint64))


def init(machine: Recorded, kernel: RunningKernel) -> Process:
    """The parent, laid out as the recorded one; the recording knows what was placed at random."""
    mine = areas(machine, INIT)
    named = {area.name: area for area in mine}
    program = [area for area in mine if area.name == "/init"]
    text = [area for area in program if "x" in area.permissions]
    data = [area for area in program if "x" not in area.permissions]
    bss = next((a for a in mine if a.start == data[-1].end and not a.name), data[-1])
    file = kernel.user.file("/init", data[-1].offset + data[-1].end - data[-1].start)
    file.populate()
    segments = [
        Segment(a.start, a.offset, a.end - a.start, a.end - a.start, READ | EXEC) for a in text
    ]
    size = data[-1].end - data[0].start
    segments.append(
        Segment(data[0].start, data[0].offset, size, bss.end - data[0].start, READ | WRITE)
    )
    sigpage = named.get("[sigpage]") if machine.expected["arch"] == "arm" else None
    placement = Placement(
        mmap_base=mmap_base(machine),
        stack_end=named["[stack]"].end,
        brk=named["[heap]"].start,
        sigpage=sigpage.start
        if sigpage is not None and machine.expected["arch"] == "arm"
        else None,
    )
    process = kernel.user.spawn(Program(file, tuple(segments)), placement=placement, pid=INIT)
    for area in data:
        if "w" not in area.permissions:
            process.mprotect(area.start, area.end - area.start, READ)
    process.brk(named["[heap]"].end)
    return process


def mmap_base(machine: Recorded) -> int:
    """Where the mappings of all children end that were placed from the top down."""
    ends = [
        area.end
        for pid in processes(machine).values()
        for area in areas(machine, pid)
        if area.name not in SPECIAL
    ]
    stack = next(area for area in areas(machine, INIT) if area.name == "[stack]")
    return max(end for end in ends if end <= stack.start)


@dataclass
class Child:
    """A child at work: the process, and what it needs to know of the recorded one.

    ``others``: processes that it forked, by name.
    """

    machine: Recorded
    process: Process
    remarks: list[str]
    others: dict[str, Process] = field(default_factory=dict)

    @property
    def page(self) -> int:
        return int(self.machine.expected["page_size"])

    def remark(self, pattern: str) -> list[re.Match[str]]:
        """What the recorded child said."""
        return [match for line in self.remarks if (match := re.search(pattern, line))]

    def anon(self, size: int, prot: Prot = READ | WRITE, *, huge_size: int = 0) -> int:
        return self.process.mmap(size, prot, huge_size=huge_size)

    def stamp(self, va: int, region: int, index: int) -> None:
        word = self.process.pid << 32 | region << 24 | index
        self.process.store(va, word.to_bytes(8, "little"))

    def fill(self, va: int, size: int, region: int, step: int = 1) -> None:
        for index in range(0, size // self.page, step):
            self.stamp(va + index * self.page, region, index)

    def advise(self, va: int, size: int, advice: Madvise) -> None:
        """Kernels without huge pages refuse, and nothing changes."""
        try:
            self.process.madvise(va, size, advice)
        except SyscallError:
            assert not self.process.mm.user.thp.pmd_order


def child(function: Callable[[Child], None]) -> Callable[[Child], None]:
    """A child by the name that the recordings give it."""
    CHILDREN[function.__name__] = function
    return function


@child
def anon(me: Child) -> None:
    va = me.anon(4 * M)
    me.advise(va, 4 * M, Madvise.NOHUGEPAGE)
    me.fill(va, 4 * M, 0, 2)


@child
def file(me: Child) -> None:
    pages, size = 64, 64 * me.page
    user = me.process.mm.user
    made = File(user, "/tmp/lab-file", size)
    shared = me.process.mmap(size, READ | WRITE, Map.SHARED, file=made)
    private = me.process.mmap(size, READ | WRITE, Map.PRIVATE, file=made)
    readable = me.process.mmap(size, READ, Map.SHARED, file=made)
    me.fill(shared, size, 1)
    for index in range(0, pages, 4):
        me.stamp(private + index * me.page, 2, index)
    for index in range(0, pages, 8):
        for va in (private + index * me.page, private + (index + 1) * me.page):
            me.process.load(va, 8)
        me.process.load(readable + index * me.page, 8)


@child
def thp(me: Child) -> None:
    known = re.search(r"/hpage_pmd_size: (\d+)", settings(me.machine))
    huge = int(known[1]) if known else 2 * M
    size = max(huge, 8 * M)
    if huge > 64 * M:
        huge, size = 2 * M, 8 * M
    va = -(-me.anon(size + huge) // huge) * huge
    me.advise(va, size, Madvise.HUGEPAGE)
    me.fill(va, size // 2, 4)
    for offset in range(size // 2, size, huge):
        me.stamp(va + offset, 4, offset // me.page)
    size = 1 * M if me.page == 4096 else 6 * M
    middle = me.anon(size + 32 * me.page, NONE) + 16 * me.page
    me.process.mprotect(middle, size, READ | WRITE)
    me.advise(middle, size, Madvise.HUGEPAGE)
    me.fill(middle, size, 11)


@child
def prot(me: Child) -> None:
    va = me.anon(20 * me.page)
    me.advise(va, 20 * me.page, Madvise.NOHUGEPAGE)
    me.fill(va, 16 * me.page, 5)
    for first, protection in ((0, READ), (4, NONE), (8, READ | EXEC), (16, NONE)):
        me.process.mprotect(va + first * me.page, 4 * me.page, protection)
    shared = me.process.mmap(8 * me.page, READ | WRITE, Map.SHARED)
    me.fill(shared, 8 * me.page, 6)
    zero = me.anon(4 * me.page)
    me.advise(zero, 4 * me.page, Madvise.NOHUGEPAGE)
    me.process.load(zero, 8)


@child
def hugetlb(me: Child) -> None:
    for found in me.remark(r"hugetlb size (\d+)K va \S+ region (\d+)"):
        huge, region = int(found[1]) << 10, int(found[2])
        size = min(2, len(me.process.mm.user.pools.pool(huge).free)) * huge
        va = me.anon(size, huge_size=huge)
        me.fill(va, size, region, size // me.page // 256 if size > 8 * M else 1)


@child
def odd(me: Child) -> None:
    for device in me.remark(r"odd device va \S+ pa (0x[0-9a-f]+)"):
        me.process.mmap_device(int(device[1], 16), me.page)
    if me.machine.expected["arch"] == "arm64":
        va = me.process.mmap(4 * me.page, hint=1 << 51)
        me.fill(va, 4 * me.page, 8)
    va = me.process.mmap(4 * me.page, flags=Map.PRIVATE | Map.FIXED, hint=0x10000000)
    me.fill(va, 4 * me.page, 9)


def cow_a(me: Child) -> None:
    va = me.anon(48 * me.page)
    me.advise(va, 48 * me.page, Madvise.NOHUGEPAGE)
    me.fill(va, 48 * me.page, 10)
    other = Child(me.machine, me.process.fork(), [])
    for index in range(16):
        other.stamp(va + index * me.page, 10, index)
    for index in range(48):
        other.process.load(va + index * me.page, 8)
    for index in range(16, 32):
        me.stamp(va + index * me.page, 10, index)
    for index in range(48):
        me.process.load(va + index * me.page, 8)
    me.others["cow-b"] = other.process


CHILDREN["cow-a"] = cow_a
