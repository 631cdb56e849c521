"""Every page that a process filled, and every entry of its pagemap, by its own tables."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from recorded import Recorded

from ttbr.mmu.address_space import AddressSpace
from ttbr.recover.linux_reading import KINDS, PRESENT, LinuxReader
from ttbr.recover.linux_view import linux_view
from ttbr.recover.release import known_release
from ttbr.recover.software import linux_entry

PFN = (1 << 55) - 1  # of a pagemap entry; Documentation/admin-guide/mm/pagemap.rst
IN_MEMORY, SWAPPED = 1 << 63, 1 << 62
SWAP_TYPE_BITS = 5


def roots(machine: Recorded) -> dict[int, int]:
    """Physical address of each process's root table."""
    tasks = machine.expected["tasks"]
    return {task["pid"]: int(task["pgd_pa"], 16) for task in tasks if int(task["pgd_pa"], 16)}


def reader_of(machine: Recorded, space: AddressSpace) -> LinuxReader:
    return LinuxReader(space.regime, known_release(machine.image))


def physical(
    machine: Recorded, space: AddressSpace, vas: list[int], seen: Counter[str]
) -> list[int]:
    """The address of each VA, by the hardware's entry or else by Linux's own."""
    reader = reader_of(machine, space)
    many = space.translate_many(np.array(vas, np.uint64))
    found = many.pa.tolist()
    for place in np.flatnonzero(many.fault).tolist():
        page = linux_entry(space, space.translate(vas[place]), reader)
        assert page is not None, f"{machine.case}: {vas[place]:#x} is nowhere"
        assert page.pa is not None, f"{machine.case}: {vas[place]:#x} is {page}"
        found[place] = page.pa
        seen[page.kind] += 1
    seen["hardware"] += int(np.count_nonzero(many.fault == 0))
    return found


def samples(machine: Recorded) -> Iterator[tuple[int, int, int]]:
    """(pid, va, first word) of each line of samples.txt."""
    for line in machine.text("samples.txt").splitlines():
        if line[0].isdigit():  # the others are remarks
            pid, _child, _region, va, _index, word = line.split()
            yield int(pid), int(va, 16), int(word, 16)


def test_every_sample_is_where_its_process_put_it(
    machine: Recorded, say: Callable[[str], None]
) -> None:
    pages: dict[int, list[tuple[int, int]]] = {}
    for pid, va, word in samples(machine):
        pages.setdefault(pid, []).append((va, word))
    seen: Counter[str] = Counter()
    right = 0
    for pid, rows in pages.items():
        space = machine.image.address_space(f"user:{roots(machine)[pid]:#x}")
        addresses = physical(machine, space, [va for va, _ in rows], seen)
        for pa, (_, word) in zip(addresses, rows, strict=True):
            right += machine.image.memory.read(pa, 8) == word.to_bytes(8, "little")
    total = sum(len(rows) for rows in pages.values())
    say(f"{machine.case}: {right} of {total} samples found ({counted(seen)})")
    assert right == total == len(machine.expected["samples"])


def test_every_pagemap_entry_is_the_tables(machine: Recorded, say: Callable[[str], None]) -> None:
    """The frame that /proc/PID/pagemap names is the one that the tables lead to."""
    seen: Counter[str] = Counter()
    shift = machine.expected["page_shift"]
    right = total = 0
    for pid, root in roots(machine).items():
        try:
            lines = machine.text(f"pid/{pid}/pagemap.txt").splitlines()
        except FileNotFoundError:
            continue
        rows = [[int(word, 16) for word in line.split()] for line in lines if "#" not in line]
        rows = [row for row in rows if row[2] & IN_MEMORY]
        space = machine.image.address_space(f"user:{root:#x}")
        addresses = physical(machine, space, [va for va, _, _ in rows], seen)
        total += len(rows)
        right += sum(
            pa >> shift == entry & PFN for pa, (_, _, entry) in zip(addresses, rows, strict=True)
        )
    say(f"{machine.case}: {right} of {total} pagemap entries found ({counted(seen)})")
    assert right == total
    assert total > 0


def areas(machine: Recorded, pid: int) -> Iterator[tuple[int, int]]:
    """(first address, end) of each area of the process that its pagemap looks into.

    Those are all but the vectors, which are no area of its own, and device memory.
    """
    for line in machine.text(f"pid/{pid}/maps.txt").splitlines():
        first, _, end = line.split()[0].partition("-")
        if not line.endswith(("[vectors]", "/dev/mem")):
            yield int(first, 16), int(end, 16)


def test_linuxs_view_is_the_pagemap(machine: Recorded, say: Callable[[str], None]) -> None:
    """Nothing more and nothing less: each entry of every process, present or swapped."""
    shift = machine.expected["page_shift"]
    seen: Counter[str] = Counter()
    right = total = more = 0
    for pid, root in roots(machine).items():
        try:
            lines = machine.text(f"pid/{pid}/pagemap.txt").splitlines()
        except FileNotFoundError:
            continue
        rows = [[int(word, 16) for word in line.split()] for line in lines if "#" not in line]
        rows = [row for row in rows if row[2] & (IN_MEMORY | SWAPPED)]
        space = machine.image.address_space(f"user:{root:#x}")
        view = linux_view(space, reader_of(machine, space))
        read = view.readings
        va = np.array([row[0] for row in rows], np.uint64)
        raw = np.array([row[2] for row in rows], np.uint64)
        at = np.searchsorted(view.va, va, side="right") - 1
        assert ((va - view.va[at]) < view.size[at]).all(), f"{machine.case} {pid}: not in the view"
        frames = read.pa[at] + (va - view.va[at]) >> np.uint64(shift)
        place = np.where(read.has_page[at], frames, read.swap_offset[at])
        swap = read.swap_type[at].astype(np.uint64) | place << np.uint64(SWAP_TYPE_BITS)
        present = raw & np.uint64(IN_MEMORY) != 0
        want = np.where(present, frames, swap)
        good = (want == raw & np.uint64(PFN)) & (present == (read.swap_type[at] < 0))
        right += int(np.count_nonzero(good))
        total += len(rows)
        for code, count in zip(*np.unique(read.kind[at], return_counts=True), strict=True):
            seen["hardware" if code == PRESENT else KINDS[code]] += int(count)
        # And what else the tables have in the process's areas
        inside = np.zeros(len(view), np.bool_)
        for first, end in areas(machine, pid):
            inside |= (view.va >= np.uint64(first)) & (view.va < np.uint64(end))
        more += int(view.size[inside].sum()) >> shift
    say(
        f"{machine.case}: {right} of {total} pagemap entries are in Linux's view, which has {more} "
        f"pages ({counted(seen)})"
    )
    assert right == total == more > 0


def counted(seen: Counter[str]) -> str:
    """``219 by the hardware's tables, 4 by Linux's own entries (PROT_NONE)``."""
    software = {reason: count for reason, count in seen.items() if reason != "hardware"}
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(software.items()))
    return f"{seen['hardware']} by the hardware's tables, by Linux's own entries {told or 'none'}"
