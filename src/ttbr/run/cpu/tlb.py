"""A CPU's TLBs: where translations are kept, found, replaced and invalidated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ttbr.run.cpu.cores import CoreTlbs, TlbShape
from ttbr.run.cpu.decoder import Decoder, Leaf

GLOBAL = -1
"""The tag of entries that belong to every ASID."""


@dataclass(slots=True, eq=False)
class Cached:
    """A translation that TLBs hold: ``size`` bytes from ``va`` lead to those from ``pa``.

    ``tag``: the ASID, or `GLOBAL`. ``root``: physical address of the root table. ``desc`` is the
    leaf as it was read at ``place``, at ``level``, and ``tables`` the (place, descriptor) of every
    table descriptor above it. ``leaf``: what ``desc`` means in the regime of ``decoder``, under
    ``limits`` of the tables. ``seen``: how many changes of valid descriptors there had been when
    memory was last known to agree. ``copies``: how many entries of TLBs hold it.
    """

    va: int
    size: int
    pa: int
    tag: int
    root: int
    level: int
    desc: int
    place: int
    tables: tuple[tuple[int, int], ...]
    leaf: Leaf
    limits: int
    decoder: Decoder
    seen: int
    reported: bool = False
    copies: int = 0

    @property
    def places(self) -> range:
        """Where the descriptors of the whole range lie: one, or all of a contiguous one's."""
        count = self.size // self.leaf.entry_bytes
        size = self.decoder.regime.format.entry_size
        first = self.place - self.place % (count * size)
        return range(first, first + count * size, size)

    def place_of(self, va: int) -> int:
        """Where the descriptor for an address of the range lies."""
        return self.places[(va - self.va) // self.leaf.entry_bytes]

    def expected(self, place: int) -> int:
        """What was at a place on the way when it was read; of a range, what it stands for there."""
        for at, desc in self.tables:
            if at == place:
                return desc
        entry_size = self.decoder.regime.format.entry_size
        if entry_size == 4:  # all descriptors of a large page or supersection are equal
            return self.desc
        return self.desc + (place - self.place) // entry_size * self.leaf.entry_bytes

    def level_of(self, place: int) -> int:
        """The level of the table that a place on the way lies in."""
        levels = self.decoder.regime.levels
        for number, (at, _) in enumerate(self.tables):
            if at == place:
                return levels[number].number
        return self.level


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
class LastTable:
    """A walk cache's entry: the last-level table of some addresses, and how it was reached."""

    table: int
    limits: int
    tables: tuple[tuple[int, int], ...]
    root: int
    seen: int


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
