"""Translation tables with the words in them, each once however many spaces use it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.physical import PhysicalMemory
from ttbr.report.view.columns import Body, Head
from ttbr.report.view.room import Room

Words = NDArray[np.uint64]
_AT_ONCE = 1 << 20  # entries that are read together


@dataclass
class TablePool:
    """The tables of one machine at one moment, by their physical address.

    Only words that are not zero are kept, with their index in the table.
    """

    memory: PhysicalMemory
    room: Room
    _known: dict[int, int] = field(default_factory=dict)
    _tables: list[tuple[Words, int, int]] = field(default_factory=list)
    _words: list[tuple[NDArray[np.int64], NDArray[np.int64], Words]] = field(default_factory=list)
    left_out: int = 0
    """Tables for whose words there is no room."""

    def add(self, address: Words, entries: int, entry_size: int) -> None:
        """Tables of ``entries`` words of ``entry_size`` bytes; those that are known are left.

        One that is used at two levels can be larger at one of them: the later row is the larger.
        """
        fresh = [at for at in dict.fromkeys(address.tolist()) if self._known.get(at, 0) < entries]
        held = min(len(fresh), max(0, self.room.entries // entries))
        self.left_out += len(fresh) - held
        self.room.entries -= held * entries
        self._known.update(dict.fromkeys(fresh[:held], entries))
        step = max(1, _AT_ONCE // entries)
        for start in range(0, held, step):
            part = np.array(fresh[start : min(start + step, held)], np.uint64)
            words = self._read(part, entries, entry_size)
            row, column = np.nonzero(words)
            self._tables.append((part, entries, entry_size))
            self._words.append((np.bincount(row, minlength=len(part)), column, words[row, column]))

    def _read(self, address: Words, entries: int, entry_size: int) -> Words:
        """The words; zero where memory has none: a bank may end within a table."""
        words, present = self.memory.read_words(address, entries, entry_size)
        if not present.all():
            offsets = np.arange(entries, dtype=np.uint64) * np.uint64(entry_size)
            places = (address[~present, None] + offsets).reshape(-1)
            words = words.copy()
            words[~present] = self.memory.read_words(places, 1, entry_size)[0].reshape(-1, entries)
        return words

    def as_json(self, body: Body) -> Head:
        """The tables, and the words of all of them one after the other."""
        counts = _joined([count for count, _, _ in self._words], np.int64)
        index = _joined([index for _, index, _ in self._words], np.int64)
        word = _joined([word for _, _, word in self._words], np.uint64)
        sizes = [np.full(len(part), entries, np.int64) for part, entries, _ in self._tables]
        return {
            "entry_size": self._tables[0][2] if self._tables else 8,
            "left_out": self.left_out,
            "tables": body.table(
                len(counts),
                {
                    "pa": body.numbers(_joined([p for p, _, _ in self._tables], np.uint64)),
                    "entries": body.numbers(_joined(sizes, np.int64)),
                    "used": body.numbers(counts),
                },
            ),
            "words": body.table(
                len(index), {"index": body.numbers(index), "word": body.numbers(word, "word")}
            ),
        }


def _joined(parts: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts])
