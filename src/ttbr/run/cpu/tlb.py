"""All TLBs of a CPU: two levels and the walk cache; what is held, and what takes it away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ttbr.run.cpu.cached import GLOBAL, Cached, LastTable
from ttbr.run.cpu.cores import CoreTlbs
from ttbr.run.cpu.tlb_array import TlbArray


@dataclass(slots=True)
class TlbCounts:
    """What happened in the TLBs of a CPU.

    ``first`` and ``main``: hits of the first level and of the main TLB. ``walks``: translations
    that were looked up in memory, with ``reads`` descriptors read and ``walk_cache`` walks that
    found their last table in the walk cache. ``evicted``: entries that made room for others.
    ``invalidated``: entries that maintenance removed.
    """

    first: int = 0
    main: int = 0
    walks: int = 0
    reads: int = 0
    walk_cache: int = 0
    evicted: int = 0
    invalidated: int = 0

    @property
    def accesses(self) -> int:
        """Translations that were asked for."""
        return self.first + self.main + self.walks

    @property
    def hit_rate(self) -> float:
        """The part of them that no walk was needed for; 0 without any."""
        return (self.first + self.main) / self.accesses if self.accesses else 0.0


@dataclass(slots=True)
class Tlb:
    """All TLBs of one CPU."""

    core: CoreTlbs
    counts: TlbCounts = field(default_factory=TlbCounts)
    instruction: TlbArray = field(init=False)
    data: TlbArray = field(init=False)
    main: TlbArray = field(init=False)
    last_tables: dict[tuple[int, int, int], LastTable] = field(default_factory=dict)
    """The walk cache, by (address >> shift, shift, ASID), the least recently used first."""
    leaves: dict[int, list[Cached]] = field(default_factory=dict)
    """The translations that are held, by the physical address of the leaf they were read from."""
    _paths: dict[tuple[tuple[int, int], ...], int] = field(default_factory=dict)
    _path_places: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instruction = TlbArray(self.core.instruction)
        self.data = TlbArray(self.core.data)
        self.main = TlbArray(self.core.main)

    @property
    def arrays(self) -> tuple[TlbArray, TlbArray, TlbArray]:
        """The three TLBs."""
        return self.instruction, self.data, self.main

    def find(self, va: int, asid: int, *, fetch: bool) -> Cached | None:
        """The translation of ``va`` for ``asid``, from the first level or the main TLB."""
        first = self.instruction if fetch else self.data
        found = first.find(va, asid)
        if found is not None:
            self.counts.first += 1
            return found
        found = self.main.find(va, asid)
        if found is not None:
            self.counts.main += 1
            self._insert(first, va, found)
        return found

    def keep(self, va: int, cached: Cached, *, fetch: bool) -> None:
        """Hold a translation that was just walked for ``va``."""
        for place in cached.places:
            self.leaves.setdefault(place, []).append(cached)
        tables = cached.tables
        users = self._paths.get(tables, 0)
        self._paths[tables] = users + 1
        if not users:
            for place, _ in tables:
                self._path_places[place] = self._path_places.get(place, 0) + 1
        self._insert(self.main, va, cached)
        self._insert(self.instruction if fetch else self.data, va, cached)

    def holds(self, place: int) -> bool:
        """Whether a translation is held that was read from a descriptor, leaf or table."""
        return place in self.leaves or place in self._path_places

    def holders(self, place: int) -> list[Cached]:
        """The translations that are held and were read from a descriptor."""
        if place not in self._path_places:
            return self.leaves.get(place, [])
        found = {
            cached: None
            for array in self.arrays
            for cached in array
            if place in cached.places or any(at == place for at, _ in cached.tables)
        }
        return list(found)

    def last_table(self, key: tuple[int, int, int]) -> LastTable | None:
        """What the walk cache knows."""
        found = self.last_tables.pop(key, None)
        if found is not None:
            self.last_tables[key] = found
        return found

    def keep_table(self, key: tuple[int, int, int], found: LastTable) -> None:
        """Let the walk cache remember a last-level table."""
        if not self.core.walk_cache:
            return
        if len(self.last_tables) >= self.core.walk_cache:
            del self.last_tables[next(iter(self.last_tables))]
        self.last_tables[key] = found

    def drop(self, unwanted: Callable[[Cached], bool]) -> None:
        """Invalidate the entries that ``unwanted`` names."""
        for array in self.arrays:
            self._forget(array.remove(unwanted), invalidated=True)

    def invalidate_va(self, va: int, asid: int | None, *, last_level: bool) -> None:
        """Invalidate what translates ``va`` globally or for ``asid`` (None: for anyone).

        ``last_level``: where tables are stays in the walk cache.
        """
        for array in self.arrays:
            self._forget(array.remove_at(va, asid), invalidated=True)
        if not last_level:
            self._drop_tables(lambda key: va >> key[1] == key[0] and asid in (None, key[2]))
        self._flush_first()

    def invalidate_range(self, start: int, end: int, asid: int | None, *, last_level: bool) -> None:
        """Invalidate what translates [``start``, ``end``) globally or for ``asid``."""
        tags = (GLOBAL, asid)
        self.drop(
            lambda cached: (
                cached.va < end
                and start < cached.va + cached.size
                and (asid is None or cached.tag in tags)
            )
        )
        if not last_level:
            self._drop_tables(
                lambda key: (
                    key[0] << key[1] < end
                    and start < key[0] + 1 << key[1]
                    and asid in (None, key[2])
                )
            )
        self._flush_first()

    def invalidate_asid(self, asid: int) -> None:
        """Invalidate what is ``asid``'s; global entries stay."""
        self.drop(lambda cached: cached.tag == asid)
        self._drop_tables(lambda key: key[2] == asid)
        self._flush_first()

    def invalidate_all(self) -> None:
        """Invalidate everything."""
        self.drop(lambda _: True)
        self.last_tables.clear()

    def reach(self) -> int:
        """Bytes that the main TLB translates now."""
        return self.main.reach()

    def _insert(self, array: TlbArray, va: int, cached: Cached) -> None:
        cached.copies += 1
        gone = array.insert(va, cached)
        if gone is not None:
            self.counts.evicted += 1
            self._forget([gone], invalidated=False)

    def _forget(self, gone: list[Cached], *, invalidated: bool) -> None:
        if invalidated:
            self.counts.invalidated += len(gone)
        for cached in gone:
            cached.copies -= 1
            if cached.copies:
                continue
            for place in cached.places:
                known = self.leaves[place]
                if len(known) > 1:
                    known.remove(cached)
                else:
                    del self.leaves[place]
            self._forget_path(cached.tables)

    def _forget_path(self, tables: tuple[tuple[int, int], ...]) -> None:
        users = self._paths[tables] - 1
        if users:
            self._paths[tables] = users
            return
        del self._paths[tables]
        for place, _ in tables:
            users = self._path_places[place] - 1
            if users:
                self._path_places[place] = users
            else:
                del self._path_places[place]

    def _drop_tables(self, unwanted: Callable[[tuple[int, int, int]], bool]) -> None:
        for key in [key for key in self.last_tables if unwanted(key)]:
            del self.last_tables[key]

    def _flush_first(self) -> None:
        """Empty the first level, where the core does that with every operation."""
        if self.core.flushed:
            for array in (self.instruction, self.data):
                self._forget(array.remove(lambda _: True), invalidated=True)
