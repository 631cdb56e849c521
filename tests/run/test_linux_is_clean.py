"""Whatever processes do, the kernel's maintenance is right, and nobody sees others' memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines_up import booted

from ttbr.kernel.vm_flags import Madvise, Prot
from ttbr.run import run
from ttbr.run.cpu.cores import TLBS
from ttbr.run.mm.process import Killed

PAGES, AREA = 24, 3
RW = Prot.READ | Prot.WRITE
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["store"] * 4
            + ["load"] * 4
            + ["protect", "unprotect", "unmap", "map", "fork", "exit", "forget", "cpu"]
        ),
        st.integers(0, 3),  # which process
        st.integers(0, PAGES - 1),
        st.integers(1, AREA),
    ),
    max_size=80,
)
BOARDS = {
    "arm64": "Cortex-A72",
    "arm64-a76": "Neoverse-N1",
    "arm64-smp": "Cortex-A53",
    "arm": "Cortex-A7",
    "arm-highmem": "Cortex-A9",
}


class Known:
    """What a process must see: the byte of each page, None for pages that are not mapped."""

    def __init__(self, process, start: int) -> None:
        self.process, self.start = process, start
        self.bytes: list[int | None] = [0] * PAGES
        self.writable = [True] * PAGES

    def forked(self) -> "Known":
        child = Known(self.process.fork(), self.start)
        child.bytes, child.writable = list(self.bytes), list(self.writable)
        return child


@pytest.mark.parametrize("name", BOARDS)
@given(operations=OPERATIONS)
@settings(max_examples=25, deadline=None)
def test_every_process_sees_its_own_memory(name: str, operations) -> None:
    kernel = run(booted(name), tlbs=TLBS[BOARDS[name]])
    page = kernel.page_size
    first = kernel.spawn()
    known = [Known(first, first.mmap(PAGES * page))]
    for number, (what, who, at, count) in enumerate(operations):
        one = known[who % len(known)]
        process, pages = one.process, range(at, min(at + count, PAGES))
        va, size = one.start + at * page, len(pages) * page
        match what:
            case "store" | "load":
                allowed = one.bytes[at] is not None and (what == "load" or one.writable[at])
                try:
                    if what == "store":
                        process.store(va + 8, bytes([number % 251]))
                        one.bytes[at] = number % 251
                    else:
                        assert process.load(va + 8) == bytes([one.bytes[at] or 0])
                    assert allowed
                except Killed:
                    assert not allowed
                    known.remove(one)
                    if not known:
                        break
            case "protect" | "unprotect":
                if all(one.bytes[each] is not None for each in pages):
                    writable = what == "unprotect"
                    process.mprotect(va, size, RW if writable else Prot.READ)
                    for each in pages:
                        one.writable[each] = writable
            case "unmap" | "map":
                process.munmap(va, size)
                if what == "map":
                    assert process.mmap(size, hint=va) == va
                for each in pages:
                    one.bytes[each] = None if what == "unmap" else 0
                    one.writable[each] = True
            case "fork":
                if len(known) < 4:
                    known.append(one.forked())
            case "exit":
                if len(known) > 1:
                    process.exit()
                    known.remove(one)
            case "forget":
                if all(one.bytes[each] is not None for each in pages):
                    process.madvise(va, size, Madvise.DONTNEED)
                    for each in pages:
                        one.bytes[each] = 0
            case "cpu":
                kernel.cpus.select(who % kernel.cpus.count)
        assert [str(found) for found in kernel.cpus.violations] == []
