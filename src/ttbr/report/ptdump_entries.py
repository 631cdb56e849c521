"""What a kernel's table dump looks at: its entries in ascending order, as runs of equal ones."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.kernel.linux_pte import ARM64_PRESENT_INVALID, ARM_SHORT, linux_entries
from ttbr.kernel.release import Release
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.walk import Batch, Walk
from ttbr.report import ptdump_words
from ttbr.report.ptdump_words import ARM_DOMAIN_UNKNOWN, ARM_DOMAINS, Words, mask_of

VALID_TYPE = 3  # the two lowest bits of a long descriptor that names a table or a page
SECTION_BIT = 1 << 1  # of a short first-level descriptor: section or supersection (pmd_leaf)
DOMAIN_SHIFT, DOMAIN_MASK = 5, 0xF
LINUX_ENTRIES = 512  # Linux's own entries in a page of tables, for 2 MiB

# What Linux calls the level of a table; the root is always its PGD, whatever is folded into it.
LEVEL_NAMES = {-1: "PGD", 0: "P4D", 1: "PUD", 2: "PMD", 3: "PTE"}
ROOT_NAME = "PGD"
PGD_LEVEL = 1  # of LPAE
FOLDED_PMD_LEVELS = 2  # with so many levels the root is the PMD, too

_OUTSIDE = "{} tables lie outside memory: what they map is missing"


@dataclass(frozen=True, slots=True)
class Label:
    """What is said of an entry apart from its bits: level (and domain), and the words to use."""

    text: str
    words: Words


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of entries that the dump sees alike, ascending.

    ``first`` and ``last``: virtual address of the first and of the last entry of the run (not of
    its last byte), uint64; ``shift``: log2 of the distance of its entries, uint8; ``bits``: of an
    entry, as far as the dump looks at them, uint64; ``label``: index into the dump's labels, uint8.
    """

    first: NDArray[np.uint64]
    last: NDArray[np.uint64]
    shift: NDArray[np.uint8]
    bits: NDArray[np.uint64]
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def joined(cls, parts: Iterable["Runs"]) -> "Runs":
        """All runs of the parts, sorted by address."""
        none = np.zeros(0, np.uint64)
        small = np.zeros(0, np.uint8)
        parts = [cls(none, none, small, none, small), *parts]
        first = np.concatenate([part.first for part in parts])
        order = np.argsort(first, kind="stable")
        return cls(
            first[order],
            np.concatenate([part.last for part in parts])[order],
            np.concatenate([part.shift for part in parts])[order],
            np.concatenate([part.bits for part in parts])[order],
            np.concatenate([part.label for part in parts])[order],
        )


@dataclass(frozen=True, slots=True)
class Entries:
    """All entries of a dump: runs, the labels they index, and what could not be looked at."""

    runs: Runs
    labels: tuple[Label, ...]
    missing: tuple[str, ...]


def _runs(
    va: NDArray[np.uint64],
    shift: int,
    seen: NDArray[np.bool_],
    bits: NDArray[np.uint64],
    label: NDArray[np.uint8],
) -> Runs:
    """Runs within the rows (tables) of arrays of shape (n, entries); ``va`` is each row's first.

    Only entries that are ``seen`` count: the others end a run.
    """
    same = seen[:, 1:] & seen[:, :-1] & (bits[:, 1:] == bits[:, :-1])
    same &= label[:, 1:] == label[:, :-1]
    head, tail = seen.copy(), seen.copy()
    head[:, 1:] &= ~same
    tail[:, :-1] &= ~same
    row, column = np.nonzero(head)
    last_row, last_column = np.nonzero(tail)
    step = np.uint64(shift)
    return Runs(
        va[row] + (column.astype(np.uint64) << step),
        va[last_row] + (last_column.astype(np.uint64) << step),
        np.full(len(row), shift, np.uint8),
        bits[row, column],
        label[row, column],
    )


def arm64_entries(space: AddressSpace, release: Release | None) -> Entries:
    """What arm64's dump sees: holes too, named by the level of the table they are in."""
    linux = ARM64_PRESENT_INVALID
    if release is not None:
        linux = linux_entries(space.regime.format.name, release)
    run_time = release is None or release.has("arm64_ptdump_from_run_time_offset")
    root = space.regime.levels[0].number
    mask = np.uint64(mask_of(ptdump_words.ARM64))
    # What is said of the holes of a level, and of what it maps.
    names = {number: name if number != root else ROOT_NAME for number, name in LEVEL_NAMES.items()}
    mapped = dict(names)
    if run_time and len(space.regime.levels) == FOLDED_PMD_LEVELS:
        mapped[root] = LEVEL_NAMES[root]
    texts = sorted({*names.values(), *mapped.values()})

    def runs(batch: Batch) -> Runs:
        number = batch.level.number
        empty = batch.words == 0
        if number == space.regime.format.last_level:
            seen = np.ones(batch.words.shape, np.bool_)
        else:
            # Above the pages an entry that is neither nothing nor present makes no line.
            is_table = batch.words & np.uint64(VALID_TYPE) == VALID_TYPE
            seen = empty | (linux.is_present(batch.words) & ~is_table)
        hole, leaf = texts.index(names[number]), texts.index(mapped[number])
        label = np.where(empty, np.uint8(hole), np.uint8(leaf))
        return _runs(batch.va, batch.level.shift, seen, batch.words & mask, label)

    return _entries(space, runs, [Label(text, ptdump_words.ARM64) for text in texts])


def with_hole_below(space: AddressSpace, entries: Entries, start: int) -> Entries:
    """The entries with empty root entries before them, from the virtual address ``start`` on.

    Before 6.9 the dump begins where the linear map would if the CPU had all the address bits that
    the kernel was built for. Where it has fewer, TTBR1 holds the address of a later root entry.
    """
    root = space.regime.levels[0]
    if start >= space.regime.base or not len(entries.runs):
        return entries
    label = entries.labels.index(Label(ROOT_NAME, ptdump_words.ARM64))
    hole = Runs(
        np.array([start], np.uint64),
        np.array([space.regime.base - (1 << root.shift)], np.uint64),
        np.array([root.shift], np.uint8),
        np.zeros(1, np.uint64),
        np.array([label], np.uint8),
    )
    return replace(entries, runs=Runs.joined([hole, entries.runs]))


def lpae_entries(space: AddressSpace) -> Entries:
    """What ARM's dump sees of LPAE tables; its lines never show a hole."""
    page = Label(LEVEL_NAMES[3], ptdump_words.ARM_LPAE_PAGE)
    section = Label(LEVEL_NAMES[2], ptdump_words.ARM_LPAE_SECTION)

    def runs(batch: Batch) -> Runs:
        at_pages = batch.level.number == space.regime.format.last_level
        seen = np.ones(batch.words.shape, np.bool_) if at_pages else batch.kinds != Kind.TABLE
        bits = batch.words & np.uint64(mask_of(page.words if at_pages else section.words))
        if batch.level.number == PGD_LEVEL:
            bits[:] = 0  # nothing is ever printed of this level
        label = np.full(bits.shape, 0 if at_pages else 1, np.uint8)
        return _runs(batch.va, batch.level.shift, seen, bits, label)

    return _entries(space, runs, [page, section])


def short_entries(space: AddressSpace) -> Entries:
    """What ARM's dump sees of short-descriptor tables.

    Linux takes two first-level entries for one of 2 MiB: the first of a pair says what both are,
    and of the second only a section is looked at. Below lie Linux's own entries, not the
    hardware's.
    """
    root = space.regime.levels[0]
    words, present = space.memory.read_words(
        np.array([space.root], np.uint64), root.entries, space.regime.format.entry_size
    )
    pairs = words.reshape(-1, 2)
    base = np.uint64(space.regime.base)
    va = base + (np.arange(len(pairs), dtype=np.uint64) << np.uint64(root.shift + 1))
    domains = (pairs >> np.uint64(DOMAIN_SHIFT) & np.uint64(DOMAIN_MASK)).astype(np.uint8)
    domains = np.minimum(domains, np.uint8(len(ARM_DOMAINS)))  # the others are alike to the dump
    section = pairs & np.uint64(SECTION_BIT) != 0
    is_table = (pairs[:, 0] != 0) & ~section[:, 0]
    seen = np.stack([~is_table, section[:, 1]], axis=1)
    bits = pairs & np.uint64(mask_of(ptdump_words.ARM_SHORT_SECTION))
    parts = [_runs(va, root.shift, seen, bits, domains)]

    table = pairs[is_table, 0] & np.uint64(ARM_SHORT.address)
    entries, found = space.memory.read_words(table, LINUX_ENTRIES, space.regime.format.entry_size)
    bits = entries & np.uint64(mask_of(ptdump_words.ARM_SHORT_PAGE))
    below = (domains[is_table, :1] + np.uint8(len(ARM_DOMAINS) + 1)).repeat(LINUX_ENTRIES, axis=1)
    seen = found[:, None].repeat(LINUX_ENTRIES, axis=1)
    shift = space.regime.levels[-1].shift
    parts.append(_runs(va[is_table], shift, seen, bits, below))

    labels = [
        Label(f"{level} {domain}", said)
        for level, said in (
            (ROOT_NAME, ptdump_words.ARM_SHORT_SECTION),
            (LEVEL_NAMES[3], ptdump_words.ARM_SHORT_PAGE),
        )
        for domain in (*ARM_DOMAINS, ARM_DOMAIN_UNKNOWN)
    ]
    lost = int(np.count_nonzero(~found) + np.count_nonzero(~present))
    missing = (_OUTSIDE.format(lost),) if lost else ()
    return Entries(Runs.joined(parts), tuple(labels), missing)


def _entries(
    space: AddressSpace, runs: Callable[[Batch], Runs], labels: Iterable[Label]
) -> Entries:
    """The runs of all tables of a space; no more of them than a walk may have rows."""
    walk = space.walk()
    parts: list[Runs] = []
    count = 0
    for batch in walk.batches():
        part = runs(batch)
        count += len(part)
        if count > walk.budget.rows:
            walk.cut(f"nothing from level {batch.level.number} on: more than {count} lines")
            break
        parts.append(part)
    return Entries(Runs.joined(parts), tuple(labels), _missing(walk))


def _missing(walk: Walk) -> tuple[str, ...]:
    """One line for each thing that the dump had to leave out."""
    found = [walk.truncated] if walk.truncated else []
    unreadable = len(walk.unreadable())
    if unreadable:
        found.append(_OUTSIDE.format(unreadable))
    return tuple(found)
