"""Ram: sparse physical memory that is written, page by page."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.extents import Extents, merged
from ttbr.memory.physical import Bank
from ttbr.memory.words import Words

PAGE_SHIFT = 12
PAGE = 1 << PAGE_SHIFT
OFFSET = PAGE - 1
FIRST_PAGES = 256


class _PageStore:
    """The pages of a Ram and all its snapshots, as rows of one array. Row 0 stays zero."""

    __slots__ = ("bytes", "given_back", "pages", "used")

    def __init__(self) -> None:
        self.pages: NDArray[np.uint8] = np.zeros((FIRST_PAGES, PAGE), np.uint8)
        self.bytes = self.pages.data.cast("B")
        self.used = 1
        self.given_back: list[int] = []

    def take(self, source: int) -> int:
        """A fresh row with the content of row ``source``."""
        if self.given_back:
            row = self.given_back.pop()
            self.pages[row] = self.pages[source]
            return row
        if self.used == len(self.pages):
            grown = np.zeros((2 * self.used, PAGE), np.uint8)
            grown[: self.used] = self.pages
            self.pages = grown
            self.bytes = grown.data.cast("B")
        row = self.used
        self.used += 1
        if source:
            self.pages[row] = self.pages[source]
        return row


class Ram:
    """Sparse writable memory: what was never written reads as zeros and costs nothing.

    ``snapshot()`` is a copy that shares every page until one side writes it. Implements
    `ttbr.memory.physical.PhysicalMemory`. `InputError` if the banks overlap.
    """

    def __init__(self, banks: Iterable[Bank]) -> None:
        self._extents = Extents(banks)
        self._store = _PageStore()
        self._rows: dict[int, int] = {}  # page frame → row of the store
        self._own: set[int] = set()  # the frames whose row no snapshot shares
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The memory there is, ascending."""
        return self._extents.banks

    def contains(self, pa: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the addresses are in a bank."""
        return self._extents.covers(pa, 1)

    def read(self, pa: int, size: int) -> bytes:
        """The ``size`` bytes from ``pa`` on; `OutsideMemory` if one of them is in no bank."""
        self._extents.check(pa, size)
        offset = pa & OFFSET
        if offset + size <= PAGE:
            start = self._rows.get(pa >> PAGE_SHIFT, 0) * PAGE + offset
            return bytes(self._store.bytes[start : start + size])
        first, last = pa >> PAGE_SHIFT, (pa + size - 1) >> PAGE_SHIFT
        rows = [self._rows.get(frame, 0) for frame in range(first, last + 1)]
        return self._store.pages[rows].reshape(-1)[offset : offset + size].tobytes()

    def in_place(self, pa: NDArray[np.uint64], count: int, word: int) -> Words | None:
        """The tables where they lie, if none of them crosses a page and all are in a bank."""
        size = count * word
        offsets = (pa & np.uint64(OFFSET)).astype(np.int64)
        if not len(pa) or int(offsets.max()) > PAGE - size:
            return None
        if not self._extents.covers(pa, size).all():
            return None
        places = self._find(pa >> np.uint64(PAGE_SHIFT)) * PAGE + offsets
        return Words.within(self._store.pages.reshape(-1), places, count, word)

    def read_words(
        self, pa: NDArray[np.uint64], count: int, word: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Gather ``count`` words of ``word`` bytes from each address: (n, count), present (n,)."""
        size = count * word
        present = self._extents.covers(pa, size)
        if present.all() and len(pa):
            return self._gather(pa, size).view(f"<u{word}").astype(np.uint64, copy=False), present
        words = np.zeros((len(pa), count), np.uint64)
        if present.any():
            words[present] = self._gather(pa[present], size).view(f"<u{word}")
        return words, present

    def _gather(self, pa: NDArray[np.uint64], size: int) -> NDArray[np.uint8]:
        offsets = (pa & np.uint64(OFFSET)).astype(np.int64)
        frames = pa >> np.uint64(PAGE_SHIFT)
        if PAGE % size == 0 and not (offsets % size).any():
            # Tables lie at multiples of their size: one row of a narrower view each.
            place = self._find(frames) * (PAGE // size) + offsets // size
            tables: NDArray[np.uint8] = self._store.pages.reshape(-1, size)[place]
            return tables
        if size % PAGE == 0 and not offsets.any():
            steps = np.arange(size // PAGE, dtype=np.uint64)
            rows = self._find((frames[:, None] + steps).reshape(-1))
            return self._store.pages[rows].reshape(len(pa), size)
        bytes_of_row: NDArray[np.uint64] = np.arange(size, dtype=np.uint64)
        each = (pa[:, None] + bytes_of_row).reshape(-1)
        place = self._find(each >> np.uint64(PAGE_SHIFT)) * PAGE
        place += (each & np.uint64(OFFSET)).astype(np.int64)
        return self._store.pages.reshape(-1)[place].reshape(len(pa), size)

    def _find(self, frames: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The rows of the store in which the page frames are; 0 for those never written."""
        if self._sorted is None:
            known = np.fromiter(self._rows.keys(), np.uint64, len(self._rows))
            rows = np.fromiter(self._rows.values(), np.int64, len(self._rows))
            order = np.argsort(known)
            self._sorted = known[order], rows[order]
        known, rows = self._sorted
        if not len(known):
            return np.zeros(len(frames), np.int64)
        place = np.minimum(np.searchsorted(known, frames), len(known) - 1)
        return np.where(known[place] == frames, rows[place], 0)

    def write(self, pa: int, data: bytes | bytearray | memoryview) -> None:
        """Store ``data`` from ``pa`` on; `OutsideMemory`, and nothing written, if it sticks out."""
        size = len(data)
        self._extents.check(pa, size)
        done = 0
        while done < size:
            offset = (pa + done) & OFFSET
            step = min(PAGE - offset, size - done)
            start = self._writable((pa + done) >> PAGE_SHIFT) * PAGE + offset
            self._store.bytes[start : start + step] = data[done : done + step]
            done += step

    def zero(self, pa: int, size: int) -> None:
        """Make ``size`` bytes from ``pa`` on zero; whole pages cost nothing from then on.

        `OutsideMemory`, and nothing changed, if one of them is in no bank.
        """
        self._extents.check(pa, size)
        end = pa + size
        first, behind = -(-pa // PAGE), end // PAGE
        for frame in {pa >> PAGE_SHIFT, behind}:
            low, high = max(pa, frame * PAGE), min(end, (frame + 1) * PAGE)
            if 0 < high - low < PAGE and frame in self._rows:
                self.write(low, bytes(high - low))
        few = behind - first <= len(self._rows)
        frames = range(first, behind) if few else [f for f in self._rows if first <= f < behind]
        for frame in frames:
            row = self._rows.pop(frame, 0)
            if row:
                self._sorted = None
            if frame in self._own:
                self._own.discard(frame)
                self._store.given_back.append(row)

    def write_words(self, pa: int, values: NDArray[np.uint64], word: int) -> None:
        """Store the values from ``pa`` on as little-endian words of ``word`` (4 or 8) bytes.

        Raises ValueError if a value does not fit its word, `OutsideMemory` as `write` does.
        """
        if word < 8 and (values >> np.uint64(8 * word)).any():
            raise ValueError(f"a value has more than {8 * word} bits")
        self.write(pa, values.astype(f"<u{word}").tobytes())

    def _writable(self, frame: int) -> int:
        """The row of a page frame, made this Ram's own first."""
        row = self._rows.get(frame, 0)
        if frame not in self._own:
            row = self._store.take(row)
            self._rows[frame] = row
            self._own.add(frame)
            self._sorted = None
        return row

    def snapshot(self) -> "Ram":
        """A Ram with the same content that later writes to either do not reach."""
        copy = Ram(())
        copy._extents = self._extents
        copy._store = self._store
        copy._rows = self._rows.copy()
        copy._sorted = self._sorted
        self._own.clear()
        return copy

    def written(self) -> list[Bank]:
        """The runs of pages that were written and not zeroed since, ascending, cut to the banks."""
        runs = merged(Bank(frame << PAGE_SHIFT, PAGE) for frame in sorted(self._rows))
        return merged(
            Bank(max(run.base, bank.base), min(run.end, bank.end) - max(run.base, bank.base))
            for bank in self.banks
            for run in runs
            if run.base < bank.end and bank.base < run.end
        )
