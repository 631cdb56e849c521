"""Every page that a process filled, and every entry of its pagemap, by its own tables."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from recorded import Recorded

from ttbr.kernel.linux_pte import linux_entries
from ttbr.mmu.address_space import AddressSpace
from ttbr.recover.release import find_release
from ttbr.recover.software import linux_page

PFN = (1 << 55) - 1  # of a pagemap entry; Documentation/admin-guide/mm/pagemap.rst
PRESENT = 1 << 63


def roots(machine: Recorded) -> dict[int, int]:
    """Physical address of each process's root table."""
    tasks = machine.expected["tasks"]
    return {task["pid"]: int(task["pgd_pa"], 16) for task in tasks if int(task["pgd_pa"], 16)}


def physical(
    machine: Recorded, space: AddressSpace, vas: list[int], seen: Counter[str]
) -> list[int]:
    """The address of each VA, by the hardware's entry or else by Linux's own."""
    release = find_release(machine.image.memory)
    linux = linux_entries(space.regime.format.name, release)
    many = space.translate_many(np.array(vas, np.uint64))
    found = many.pa.tolist()
    for place in np.flatnonzero(many.fault).tolist():
        page = linux_page(space, space.translate(vas[place]), linux)
        assert page is not None, f"{machine.case}: {vas[place]:#x} is nowhere"
        found[place] = page.pa
        seen[page.reason] += 1
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
        rows = [row for row in rows if row[2] & PRESENT]
        space = machine.image.address_space(f"user:{root:#x}")
        addresses = physical(machine, space, [va for va, _, _ in rows], seen)
        total += len(rows)
        right += sum(
            pa >> shift == entry & PFN for pa, (_, _, entry) in zip(addresses, rows, strict=True)
        )
    say(f"{machine.case}: {right} of {total} pagemap entries found ({counted(seen)})")
    assert right == total
    assert total > 0


def counted(seen: Counter[str]) -> str:
    """``219 by the hardware's tables, 4 by Linux's own entries (PROT_NONE)``."""
    software = {reason: count for reason, count in seen.items() if reason != "hardware"}
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(software.items()))
    return f"{seen['hardware']} by the hardware's tables, by Linux's own entries {told or 'none'}"
