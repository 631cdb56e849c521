"""What TLBs and walk caches hold: translations, and where last-level tables are."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(slots=True)
class LastTable:
    """A walk cache's entry: the last-level table of some addresses, and how it was reached."""

    table: int
    limits: int
    tables: tuple[tuple[int, int], ...]
    root: int
    seen: int
