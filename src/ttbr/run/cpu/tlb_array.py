"""One TLB of a core: sets of entries, in which the least recently used one is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ttbr.run.cpu.cached import GLOBAL, Cached
from ttbr.run.cpu.cores import TlbShape

Key = tuple[int, int, int]
"""Which translation an entry is for: address >> shift, shift, tag."""


class TlbArray:
    """One TLB of a core: sets of entries, the least recently used first."""

    def __init__(self, shape: TlbShape) -> None:
        self.shape = shape
        self._sets: list[dict[Key, Cached]] = [{} for _ in range(shape.sets)]
        self._kinds: dict[tuple[int, bool], int] = {}  # (shift, global) of entries → how many
        self._chunks: dict[int, int] = {}  # size of a translation → log2 of its entries' size
        self._pieces = 0  # entries that hold a part of a translation

    def __len__(self) -> int:
        return sum(map(len, self._sets))

    def __iter__(self) -> Iterator[Cached]:
        for entries in self._sets:
            yield from entries.values()

    def chunk(self, size: int) -> int:
        """log2 of the size that entries for a translation of ``size`` bytes have."""
        shift = self._chunks.get(size)
        if shift is None:
            held = [each for each in self.shape.sizes if each <= size]
            shift = (held[-1] if held else size).bit_length() - 1
            self._chunks[size] = shift
        return shift

    def find(self, va: int, asid: int) -> Cached | None:
        """The entry for ``va`` in the context of ``asid``, which becomes the last used."""
        sets = self._sets
        for shift, is_global in self._kinds:
            page = va >> shift
            entries = sets[page % len(sets)]
            key = (page, shift, GLOBAL if is_global else asid)
            found = entries.get(key)
            if found is not None:
                if len(entries) > 1:
                    del entries[key]
                    entries[key] = found
                return found
        return None

    def insert(self, va: int, cached: Cached) -> Cached | None:
        """Hold the part of a translation that ``va`` is in; the entry that had to go, if one."""
        shift = self._chunks.get(cached.size) or self.chunk(cached.size)
        page = va >> shift
        entries = self._sets[page % len(self._sets)]
        key = (page, shift, cached.tag)
        gone = None
        if key in entries or len(entries) >= self.shape.ways:
            oldest = key if key in entries else next(iter(entries))
            gone = entries.pop(oldest)
            self._count(oldest, gone, -1)
        entries[key] = cached
        self._count(key, cached, 1)
        return gone

    def remove(self, unwanted: Callable[[Cached], bool]) -> list[Cached]:
        """Drop the entries that ``unwanted`` names; one for each that was dropped."""
        dropped = []
        for entries in self._sets:
            keys = [key for key, cached in entries.items() if unwanted(cached)]
            for key in keys:
                cached = entries.pop(key)
                dropped.append(cached)
                self._count(key, cached, -1)
        return dropped

    def remove_at(self, va: int, asid: int | None) -> list[Cached]:
        """Drop the entries for ``va`` that are global or ``asid``'s (None: anyone's)."""
        if asid is None or self._pieces:
            # A translation that is held in pieces goes as a whole (DDI 0487, D8.17, rule LGSCG).
            tags = (GLOBAL, asid)
            return self.remove(
                lambda cached: (
                    0 <= va - cached.va < cached.size and (asid is None or cached.tag in tags)
                )
            )
        dropped: list[Cached] = []
        for shift, is_global in list(self._kinds):
            page = va >> shift
            key = (page, shift, GLOBAL if is_global else asid)
            found = self._sets[page % len(self._sets)].pop(key, None)
            if found is not None:
                dropped.append(found)
                self._count(key, found, -1)
        return dropped

    def reach(self) -> int:
        """Bytes that the entries now held translate."""
        return sum(1 << key[1] for entries in self._sets for key in entries)

    def _count(self, key: Key, cached: Cached, change: int) -> None:
        if cached.size > 1 << key[1]:
            self._pieces += change
        kind = (key[1], key[2] == GLOBAL)
        count = self._kinds.get(kind, 0) + change
        if count:
            self._kinds[kind] = count
        else:
            del self._kinds[kind]
