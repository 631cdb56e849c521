"""Memory made of pieces of files: several banks, with holes, zeros where a file left them out."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ttbr.memory.extents import Extents, merged
from ttbr.memory.physical import Bank
from ttbr.memory.words import Words


@dataclass(frozen=True, slots=True)
class Piece:
    """A bank with its bytes (a one-dimensional array of ``size`` bytes); None are all zeros."""

    base: int
    size: int
    data: NDArray[np.uint8] | None

    @property
    def bank(self) -> Bank:
        """Where the piece lies."""
        return Bank(self.base, self.size)


class BankedMemory:
    """Read-only memory over pieces; implements `ttbr.memory.physical.PhysicalMemory`.

    The bytes are not copied: they may be memory-mapped files. Adjacent pieces make one bank.
    `InputError` if pieces overlap or leave the 64-bit address space.
    """

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = sorted(pieces, key=lambda piece: piece.base)
        self._extents = Extents(merged(piece.bank for piece in self._pieces))
        self._bases = [piece.base for piece in self._pieces]
        self._starts = np.array(self._bases, np.uint64)

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The memory there is, ascending."""
        return self._extents.banks

    def contains(self, pa: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the addresses are in a bank."""
        return self._extents.covers(pa, 1)

    def written(self) -> list[Bank]:
        """The runs that a file has bytes for, ascending."""
        return merged(piece.bank for piece in self._pieces if piece.data is not None)

    def read(self, pa: int, size: int) -> bytes:
        """The ``size`` bytes from ``pa`` on; `OutsideMemory` if one of them is in no bank."""
        self._extents.check(pa, size)
        place = bisect_right(self._bases, pa) - 1
        parts: list[bytes] = []
        left = size
        while left:
            piece = self._pieces[place]
            offset = pa + size - left - piece.base
            step = min(left, piece.size - offset)
            data = piece.data
            parts.append(bytes(step) if data is None else data[offset : offset + step].tobytes())
            left -= step
            place += 1
        return b"".join(parts)

    def in_place(self, pa: NDArray[np.uint64], count: int, word: int) -> Words | None:
        """The tables where they lie, if one piece holds them all and they are aligned."""
        if not len(pa):
            return None
        low, high = (int(pa.min()), int(pa.max())) if len(pa) > 1 else (int(pa[0]),) * 2
        piece = self._pieces[max(0, bisect_right(self._bases, low) - 1)] if self._pieces else None
        if piece is None or piece.data is None or low < piece.base:
            return None
        if high + count * word > piece.base + piece.size:
            return None
        return Words.within(piece.data, (pa - np.uint64(piece.base)).astype(np.int64), count, word)

    def read_words(
        self, pa: NDArray[np.uint64], count: int, word: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Gather ``count`` words of ``word`` bytes from each address: (n, count), present (n,)."""
        size = count * word
        present = self._extents.covers(pa, size)
        places = np.searchsorted(self._starts, pa, side="right") - 1
        if len(pa) and present.all() and (places == places[0]).all():
            # All in one piece, as in most images: what is gathered is the answer.
            piece = self._pieces[places[0]]
            offsets = (pa - np.uint64(piece.base)).astype(np.int64)
            if piece.data is not None and int(offsets.max()) <= piece.size - size:
                return gather_words(piece.data, offsets, count, word), present
        words = np.zeros((len(pa), count), np.uint64)
        for place in np.unique(places[present]).tolist():
            piece = self._pieces[place]
            here = np.flatnonzero(present & (places == place))
            offsets = (pa[here] - np.uint64(piece.base)).astype(np.int64)
            whole = offsets <= piece.size - size
            if piece.data is not None and whole.any():
                words[here[whole]] = gather_words(piece.data, offsets[whole], count, word)
            for row in here[~whole].tolist():  # at most a few: they run into the next piece
                words[row] = np.frombuffer(self.read(int(pa[row]), size), f"<u{word}")
        return words, present


def gather_words(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], count: int, word: int
) -> NDArray[np.uint64]:
    """``count`` words from each offset; faster where all of them are aligned."""
    words = Words.within(data, offsets, count, word)
    if words is not None:
        return words.copied()
    parts: NDArray[np.uint8] = sliding_window_view(data, count * word)[offsets]
    return np.ascontiguousarray(parts).view(f"<u{word}").astype(np.uint64, copy=False)
