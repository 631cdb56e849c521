"""Who maps a frame, by RAM alone, held against every process's pagemap and the kernel's flags."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from ttbr.kernel.linux_pte import FLAGS
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.page_use import PageUse

# Documentation/admin-guide/mm/pagemap.rst
PFN = (1 << 55) - 1
PRESENT, SWAPPED, FILE, EXCLUSIVE = 1 << 63, 1 << 62, 1 << 61, 1 << 56
# include/uapi/linux/kernel-page-flags.h and include/linux/kernel-page-flags.h
KPF = {
    "locked": 0,
    "referenced": 2,
    "uptodate": 3,
    "dirty": 4,
    "lru": 5,
    "active": 6,
    "reclaim": 9,
    "swapbacked": 14,
    "unevictable": 18,
    "reserved": 32,
    "private": 35,
}
NOPAGE, SLAB, BUDDY, MMAP, ANON, TAIL, TABLE = 20, 7, 10, 11, 12, 16, 26


@pytest.fixture
def use(linux):
    return PageUse(KernelMemory(linux))


def pagemap(machine):
    """(pid, address, raw entry) of every process of the recording."""
    for line in machine.text("processes.txt").splitlines():
        pid = int(line.split()[0])
        for row in machine.text(f"pid/{pid}/pagemap.txt").splitlines():
            va, _, raw = row.split()
            yield pid, int(va, 16), int(raw, 16)


def test_every_frame_of_every_process(machine, linux, use, figure):
    """The processes and addresses that map each frame: all that pagemap has, and no other."""
    size = machine.expected["page_size"]
    wanted = defaultdict(set)
    for pid, va, raw in pagemap(machine):
        if raw & PRESENT:
            wanted[raw & PFN].add((pid, va))
    entries = use.entries
    compared = 0
    for pfn, users in wanted.items():
        found = {(pid, va) for pid, va, _ in use.users(pfn * size)}
        assert found == users, hex(pfn)
        compared += len(users)
    # Huge pages have one entry; the rest of what is found has no line in a pagemap: device memory
    others = set()
    for row in range(len(entries)):
        first = int(entries.pa[row]) // size
        others |= set(range(first, first + int(entries.size[row]) // size)) - set(wanted)
    devices = [
        pfn for pfn in others if not linux.image.memory.contains(np.array([pfn * size], "u8"))[0]
    ]
    assert len(others) == len(devices)
    note = f"{len(devices)} frames of devices without an entry"
    figure("pagemap frames", compared, compared, note=note)


def test_copy_on_write_pages(machine, use, figure):
    """Every page that cow-a and cow-b filled: exactly those that have it, and the linear map."""
    size = machine.expected["page_size"]
    frames = {(pid, va): raw & PFN for pid, va, raw in pagemap(machine) if raw & PRESENT}
    by_frame = defaultdict(set)
    for place, pfn in frames.items():
        by_frame[pfn].add(place)
    samples = [line.split() for line in machine.text("samples.txt").splitlines()]
    filled = {
        (int(row[0]), int(row[3], 16)) for row in samples if row[1:2] in (["cow-a"], ["cow-b"])
    }
    counts = Counter()
    for place in filled:
        pa = frames[place] * size
        users = {(pid, va) for pid, va, _ in use.users(pa)}
        assert users == by_frame[frames[place]]
        assert place in users
        counts[len(users)] += 1
        # The linear map has RAM once, but for high memory; nothing else of the kernel maps it
        kernel = use.kernel_addresses(pa)
        assert len(kernel) <= 1
        for va in kernel:
            assert va >= int(machine.expected["PAGE_OFFSET"], 16)
            assert use.memory.linux.memory.pa(va) == pa
    assert counts[2] >= 16
    assert counts[1] >= 32
    assert set(counts) == {1, 2}
    note = f"{counts[1]} of one process, {counts[2]} of both, all named and no other"
    figure("copy-on-write pages", len(filled), counts.total(), note=note)


def special(linux, pid):
    """The addresses whose entries Linux marked special."""
    view = linux.processes.of(int(linux.tasks.pgd[linux.process(pid)])).view
    return set(view.va[view.readings.flags & (1 << FLAGS.index("special")) != 0].tolist())


def test_flags_of_pagemap(machine, linux, use, figure):
    """Whether a page is a file's, and mapped once: by its struct page and by all tables.

    Entries that Linux marked special have no page to it (mm/memory.c: vm_normal_page), and so
    neither flag. Short descriptors have no such mark: what is reserved there may be the zero page.
    """
    compared = wrong = unknown = devices = 0
    short = linux.image.user_regime.format.name == "short"
    rows = [row for row in pagemap(machine) if row[2] & PRESENT]
    pages = use.memory.pages(np.unique(np.array([raw & PFN for *_, raw in rows], np.uint64)))
    assert pages is not None
    heads = use.memory.pages(np.unique(pages.head))
    head = np.searchsorted(heads.pfn, pages.head)
    assert np.array_equal(heads.pfn[head], pages.head)
    file = ~heads.anonymous[head]
    reserved = pages.flags >> np.uint64(use.flag_bits["reserved"]) & np.uint64(1) != 0
    size = machine.expected["page_size"]
    once = [len(use.users(pfn * size)) == 1 for pfn in pages.pfn.tolist()]
    at = {pfn: row for row, pfn in enumerate(pages.pfn.tolist())}
    marked = {pid: special(linux, pid) for pid in {pid for pid, *_ in rows}}
    for pid, va, raw in rows:
        row = at.get(raw & PFN)
        if row is None:
            devices += 1  # device memory has no struct page
        elif short and reserved[row]:
            unknown += 1
        else:
            found = (False, False) if va in marked[pid] else (bool(file[row]), once[row])
            compared += 1
            wrong += (bool(raw & FILE), bool(raw & EXCLUSIVE)) != found
    assert wrong == 0
    assert compared
    assert compared + unknown + devices == len(rows)
    figure("pagemap flags", compared, compared - wrong, unknown, f"{devices} entries of devices")


def test_struct_pages_equal_the_modules(machine, use):
    """The pages that the recording's module printed: address, flags, references, map count."""
    wanted = machine.expected["struct_pages"]
    pages = use.memory.pages(np.array([int(page["pfn"], 16) for page in wanted], np.uint64))
    assert pages is not None
    for row, page in enumerate(wanted):
        assert int(pages.address[row]) == int(page["page"], 16)
        mask = ~(1 << use.flag_bits["referenced"])
        assert int(pages.flags[row]) & mask == int(page["flags"], 16) & mask
        assert int(pages.refcount[row]) == int(page["refcount"])


def test_flags_of_all_frames(machine, use, say):
    """/proc/kpageflags, taken a moment before: what of it struct page itself says."""
    runs = [line.split() for line in machine.text("kpages.txt").splitlines()]
    first = np.array([int(run[0], 16) for run in runs], np.uint64)
    count = np.array([int(run[1]) for run in runs])
    flags = np.repeat(np.array([int(run[2], 16) for run in runs], np.uint64), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    pfns = np.repeat(first, count) + within.astype(np.uint64)
    kept = flags >> np.uint64(NOPAGE) & np.uint64(1) == 0
    pages = use.memory.pages(pfns[kept])
    assert pages is not None
    assert np.array_equal(pages.pfn, pfns[kept])
    flags = flags[kept]
    single = pages.head == pages.pfn

    def bit(number):
        return flags >> np.uint64(number) & np.uint64(1) != 0

    compared = equal = 0
    for name, number in KPF.items():
        mine = pages.flags >> np.uint64(use.flag_bits[name]) & np.uint64(1) != 0
        compared += int(single.sum())
        equal += int((mine == bit(number))[single].sum())
    types = use.types_of(pages)
    for name, number in (("slab", SLAB), ("table", TABLE)):
        compared += int(single.sum())
        equal += int(((types == name) == bit(number))[single].sum())
    compared += len(flags)
    equal += int(((pages.head != pages.pfn) == bit(TAIL)).sum())
    say(f"{machine.case}: flags of {len(pages)} frames, compared {compared}, equal {equal}")
    assert equal > 0.999 * compared
