"""Walking whole translation-table trees: all tables of a level at once, as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.faults import FaultKind
from ttbr.arch.format import Kind
from ttbr.arch.regime import Level, TranslationRegime
from ttbr.memory.physical import PhysicalMemory
from ttbr.mmu.tables import FAULT_CODE, Tables, Unreadable

# Descriptors handled at once: bounds the temporary arrays to a few dozen MiB, whatever the image.
DESCRIPTORS_AT_ONCE = 1 << 19

ALL_ADDRESSES = (1 << 64) - 1

# How often one table may be used by the tables of a batch. Linux uses a table once, but for the
# shadow memory of KASAN, which repeats one table millions of times.
MOST_USES = 128


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a walk may visit: ``tables`` of each level, ``rows`` (leaves) in all.

    A tree in which each table is used once has no more tables than memory has pages, and maps
    memory about once. What needs much more than that shares tables or refers to itself.
    """

    tables: int
    rows: int

    @classmethod
    def of(cls, memory: PhysicalMemory) -> "Budget":
        """Twice the tables and four times the pages (of 4 KiB) that ``memory`` has room for.

        At least 65,536 tables and 4 Mi rows, so that a small image may describe a large space.
        """
        pages = sum(bank.size for bank in memory.banks) >> 12
        return cls(tables=max(1 << 16, 2 * pages), rows=max(1 << 22, 4 * pages))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some tables of one level with their descriptors, ``n`` tables of ``count`` entries.

    ``address``, ``va`` (lowest translated), ``limits`` (inherited from the tables above) have
    shape (n,); ``words`` and ``kinds`` (`Kind`; INVALID for entries outside the range of the walk)
    have shape (n, count).
    """

    level: Level
    address: NDArray[np.uint64]
    va: NDArray[np.uint64]
    limits: NDArray[np.uint16]
    words: NDArray[np.uint64]
    kinds: NDArray[np.uint8]

    def entry_va(self, row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.uint64]:
        """The lowest address that each of the given entries translates."""
        return self.va[row] + (column.astype(np.uint64) << np.uint64(self.level.shift))


@dataclass(frozen=True, slots=True)
class _Frontier:
    """The tables of the level to be read next."""

    address: NDArray[np.uint64]
    va: NDArray[np.uint64]
    limits: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.address)

    def part(self, chosen: slice | NDArray[np.bool_]) -> "_Frontier":
        return _Frontier(self.address[chosen], self.va[chosen], self.limits[chosen])


class Walk:
    """One walk through the tables below a root, within ``first``…``last`` (virtual, inclusive).

    Iterate over ``batches()`` to its end; then ``tables()``, ``unreadable()`` and ``truncated``
    say what was seen, what could not be read, and what was cut short and why.
    """

    def __init__(
        self,
        regime: TranslationRegime,
        root: int,
        memory: PhysicalMemory,
        budget: Budget,
        *,
        first: int = 0,
        last: int = ALL_ADDRESSES,
    ) -> None:
        self.regime = regime
        self.root = root
        self.memory = memory
        self.budget = budget
        self.first, self.last = first, last
        self._cuts: list[str] = []
        self._overused: dict[int, tuple[int, int]] = {}  # level → uses left out, first va of them
        self._tables: list[tuple[NDArray[np.uint64], NDArray[np.uint64], Level]] = []
        self._lost: list[tuple[NDArray[np.uint64], NDArray[np.uint64], int, FaultKind]] = []

    @property
    def truncated(self) -> str | None:
        """What the walk left out and why, or None if it is complete."""
        overused = [
            f"{uses} uses of tables of level {level} from va {va:#x} on not followed: there are "
            f"more than {MOST_USES} uses of one table"
            for level, (uses, va) in self._overused.items()
        ]
        return "; ".join([*overused, *self._cuts]) or None

    def cut(self, text: str) -> None:
        """Note that something is left out of the result."""
        self._cuts.append(text)

    def batches(self) -> Iterator[Batch]:
        """The tables of each level, the root's first, each level in ascending order of VA."""
        regime = self.regime
        if self.first > self.last:
            return
        if regime.disabled:
            self.cut(f"nothing walked: the registers disable walks through TTBR{regime.ttbr}")
            return
        if self.root >> regime.output_bits:
            self._lose(_column(self.root), _column(regime.base), 0, FaultKind.ADDRESS_SIZE)
            return
        frontier = _Frontier(_column(self.root), _column(regime.base), np.zeros(1, np.uint16))
        most = self.budget.tables
        for depth, level in enumerate(regime.levels):
            if len(frontier) > most:
                self.cut(
                    f"{len(frontier) - most} or more tables of level {level.number} from va "
                    f"{int(frontier.va[most]):#x} on not followed: more than {most}, so they are "
                    "shared or refer to themselves"
                )
                frontier = frontier.part(slice(most))
            below: list[_Frontier] = []
            found = 0
            step = max(1, DESCRIPTORS_AT_ONCE // level.entries)
            for start in range(0, len(frontier), step):
                batch = self._read(frontier.part(slice(start, start + step)), level)
                # Once there are more than may be visited, there is no need to know how many more.
                if depth + 1 < len(regime.levels) and found <= most:
                    below.append(self._thinned(self._children(batch), level.number + 1))
                    found += len(below[-1])
                yield batch
            if not found:
                return
            frontier = self._reachable(below, level.number)

    def _read(self, part: _Frontier, level: Level) -> Batch:
        """Gather the tables; those that memory does not hold are noted and read as zeros."""
        size = self.regime.format.entry_size
        words, present = self.memory.read_words(part.address, level.entries, size)
        if not present.all():
            lost = part.part(~present)
            self._lose(lost.address, lost.va, level.number, FaultKind.EXTERNAL)
            touched = self._touched(lost.address, level.entries * size)
            words[np.flatnonzero(~present)[touched]] = self._entries(
                lost.address[touched], level.entries, size
            )
            present[~present] = touched
        self._tables.append((part.address[present], part.va[present], level))
        kinds = self.regime.format.kinds(words, level.number)
        if self.first > 0 or self.last < ALL_ADDRESSES:
            kinds = np.where(self._within(part.va, level), kinds, np.uint8(Kind.INVALID))
        return Batch(level, part.address, part.va, part.limits, words, kinds)

    def _touched(self, address: NDArray[np.uint64], size: int) -> NDArray[np.bool_]:
        """Which tables are partly in memory: a bank may end, or a dump may be cut, within one."""
        touched = np.zeros(len(address), np.bool_)
        for bank in self.memory.banks:
            last = np.uint64(bank.end - 1)
            touched |= (address <= last) & (address + np.uint64(size - 1) >= np.uint64(bank.base))
        return touched

    def _entries(self, address: NDArray[np.uint64], count: int, size: int) -> NDArray[np.uint64]:
        """The entries of tables one by one; zero where memory does not hold them."""
        places = address[:, None] + np.arange(count, dtype=np.uint64) * np.uint64(size)
        words, _ = self.memory.read_words(places.reshape(-1), 1, size)
        return words.reshape(-1, count)

    def _within(self, va: NDArray[np.uint64], level: Level) -> NDArray[np.bool_]:
        """Which entries translate any address of the walk's range."""
        offsets = np.arange(level.entries, dtype=np.uint64) << np.uint64(level.shift)
        low = va[:, None] + offsets
        high = low + np.uint64((1 << level.shift) - 1)
        return (high >= np.uint64(self.first)) & (low <= np.uint64(self.last))

    def _children(self, batch: Batch) -> _Frontier:
        """The tables of the next level that a batch names."""
        row, column = np.nonzero(batch.kinds == Kind.TABLE)
        words = batch.words[row, column]
        number, fmt = batch.level.number, self.regime.format
        return _Frontier(
            fmt.table_address(words, number),
            batch.entry_va(row, column),
            batch.limits[row] | fmt.limits(words, number),
        )

    def _thinned(self, part: _Frontier, level: int) -> _Frontier:
        """The tables without those that were named too often; what is left out is noted."""
        if len(part) <= MOST_USES:
            return part
        order = np.argsort(part.address, kind="stable")
        address = part.address[order]
        first = np.searchsorted(address, address)  # of the uses of the same table
        keep = np.empty(len(part), np.bool_)
        keep[order] = np.arange(len(part)) - first < MOST_USES
        if not keep.all():
            lost = part.part(~keep)
            uses, va = self._overused.get(level, (0, int(lost.va[0])))
            self._overused[level] = uses + len(lost), va
        return part.part(keep)

    def _reachable(self, parts: list[_Frontier], level: int) -> _Frontier:
        """All parts in one, without the tables whose address is too large to be looked at.

        The descriptors that name them are of ``level``, which is what the hardware reports.
        """
        frontier = _Frontier(
            np.concatenate([part.address for part in parts]),
            np.concatenate([part.va for part in parts]),
            np.concatenate([part.limits for part in parts]),
        )
        too_high = (frontier.address >> np.uint64(self.regime.output_bits)) != 0
        if too_high.any():
            lost = frontier.part(too_high)
            self._lose(lost.address, lost.va, level, FaultKind.ADDRESS_SIZE)
            frontier = frontier.part(~too_high)
        return frontier

    def _lose(
        self, address: NDArray[np.uint64], va: NDArray[np.uint64], level: int, fault: FaultKind
    ) -> None:
        self._lost.append((address, va, level, fault))

    def tables(self) -> Tables:
        """Every table visited so far."""
        seen = self._tables
        return Tables(
            _joined([address for address, _, _ in seen]),
            _repeated([(len(a), level.number) for a, _, level in seen]).astype(np.int8),
            _joined([va for _, va, _ in seen]),
            _repeated([(len(a), level.entries) for a, _, level in seen]).astype(np.int32),
        )

    def unreadable(self) -> Unreadable:
        """Every table that could not be read so far."""
        lost = self._lost
        return Unreadable(
            _joined([address for address, _, _, _ in lost]),
            _repeated([(len(a), level) for a, _, level, _ in lost]).astype(np.int8),
            _joined([va for _, va, _, _ in lost]),
            _repeated([(len(a), FAULT_CODE[f]) for a, _, _, f in lost]).astype(np.uint8),
        )


def _column(value: int) -> NDArray[np.uint64]:
    return np.array([value], np.uint64)


def _joined(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _repeated(runs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """A column in which each run is ``count`` times ``value``."""
    counts = [count for count, _ in runs]
    return np.repeat(np.array([value for _, value in runs], np.int64), counts)
