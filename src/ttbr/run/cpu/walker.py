"""The walk of the hardware: one address, through the tables in memory, into what TLBs hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ttbr.arch.faults import Fault, FaultKind
from ttbr.arch.format import Kind
from ttbr.memory.physical import OutsideMemory
from ttbr.memory.ram import Ram
from ttbr.run.cpu.cached import GLOBAL, Cached, LastTable
from ttbr.run.cpu.decoder import Decoder
from ttbr.run.cpu.tlb import Tlb


@dataclass(frozen=True, slots=True)
class Half:
    """What one TTBR translates: its regime, and the root table that it points to."""

    decoder: Decoder
    root: int


def read_entry(ram: Ram, place: int, size: int) -> int:
    """The descriptor of ``size`` bytes at a physical address."""
    return int.from_bytes(ram.read(place, size), "little")


class Walker:
    """Walks tables in ``ram`` on behalf of one CPU, whose walk cache it uses and fills."""

    def __init__(
        self, ram: Ram, tlb: Tlb, on_old_table: Callable[[LastTable, Half, int, int], None]
    ) -> None:
        """``on_old_table`` is asked about a table that the walk cache knew before changes."""
        self.ram = ram
        self.tlb = tlb
        self.on_old_table = on_old_table

    def walk(self, half: Half, va: int, asid: int, seen: int) -> Cached | Fault:
        """Translate ``va``, which lies in the half's range, without a tag.

        A leaf without access flag gets it in memory where the hardware does that (TCR_EL1.HA).
        ``seen``: how many changes of valid descriptors there have been.
        """
        counts = self.tlb.counts
        counts.walks += 1
        cache = self.tlb if self.tlb.core.walk_cache else None
        found = self._walk(half, va, asid, seen, cache)
        return found if isinstance(found, Fault) else self._used(found)

    def peek(self, half: Half, va: int) -> Cached | Fault:
        """What a walk of the tables as they are now would find; it leaves no trace."""
        reads = self.tlb.counts.reads
        found = self._walk(half, va, GLOBAL, 0, None)
        self.tlb.counts.reads = reads
        return found

    def _walk(self, half: Half, va: int, asid: int, seen: int, cache: Tlb | None) -> Cached | Fault:
        counts = self.tlb.counts
        decoder = half.decoder
        regime = decoder.regime
        levels, size = regime.levels, regime.format.entry_size
        if regime.disabled:
            text = f"walks through {regime.root_register} are disabled"
            return Fault(FaultKind.TRANSLATION, regime.fault_level, va, None, text)
        table, limits, first = half.root, 0, 0
        tables: tuple[tuple[int, int], ...] = ()
        shift = levels[-1].shift + levels[-1].bits
        key = (va >> shift, shift, asid)
        known = cache.last_table(key) if cache is not None else None
        if known is not None:
            counts.walk_cache += 1
            if known.seen != seen or known.root != half.root:
                self.on_old_table(known, half, va, asid)
                known.seen = seen
            table, limits, tables, first = known.table, known.limits, known.tables, len(levels) - 1
        for level in levels[first:]:
            number = level.number
            index = va - regime.base >> level.shift & level.entries - 1
            place = table + index * size
            try:
                desc = read_entry(self.ram, place, size)
            except OutsideMemory:
                text = f"the table at {table:#x} is outside memory"
                return Fault(FaultKind.EXTERNAL, number, va, place, text)
            counts.reads += 1
            below = decoder.table(desc, number)
            if below is not None:
                table = below[0]
                limits |= below[1]
                tables = (*tables, (place, desc))
                if table >> regime.output_bits:
                    text = f"the next table's address has more than {regime.output_bits} bits"
                    return Fault(FaultKind.ADDRESS_SIZE, number, va, place, text)
                continue
            kind = decoder.kind(desc, number)
            if kind not in (Kind.BLOCK, Kind.PAGE):
                text = f"descriptor {desc:#x} is {kind.name.lower()}"
                return Fault(FaultKind.TRANSLATION, number, va, place, text)
            if cache is not None and known is None and level is levels[-1]:
                cache.keep_table(key, LastTable(table, limits, tables, half.root, seen))
            return self._cached(half, va, asid, seen, number, desc, place, tables, limits)
        raise AssertionError("the last level of a regime has no tables")

    def _cached(
        self,
        half: Half,
        va: int,
        asid: int,
        seen: int,
        level: int,
        desc: int,
        place: int,
        tables: tuple[tuple[int, int], ...],
        limits: int,
    ) -> Cached | Fault:
        decoder = half.decoder
        regime = decoder.regime
        leaf = decoder.leaf(desc, level, limits)
        pa = decoder.address(desc, level)
        if pa >> regime.output_bits:
            text = f"the output address has more than {regime.output_bits} bits"
            return Fault(FaultKind.ADDRESS_SIZE, level, va, place, text)
        size = leaf.span
        offset = va & leaf.entry_bytes - 1
        if leaf.span > leaf.entry_bytes:
            inside = va & leaf.span - 1
            if regime.format.entry_size == 8 and (pa + offset) & leaf.span - 1 != inside:
                size = leaf.entry_bytes  # a contiguous range that is not aligned is none
            else:
                pa &= -leaf.span
        return Cached(
            va=va & -size,
            size=size,
            pa=pa,
            tag=asid if leaf.attributes.non_global else GLOBAL,
            root=half.root,
            level=level,
            desc=desc,
            place=place,
            tables=tables,
            leaf=leaf,
            limits=limits,
            decoder=decoder,
            seen=seen,
        )

    def _used(self, cached: Cached) -> Cached:
        """The hardware sets the access flag of what is translated (TCR_EL1.HA)."""
        decoder = cached.decoder
        if cached.leaf.old and decoder.regime.controls.ha:
            place = cached.place
            cached.desc |= decoder.access_flag
            self.ram.write(place, cached.desc.to_bytes(decoder.regime.format.entry_size, "little"))
            cached.leaf = decoder.leaf(cached.desc, cached.level, cached.limits)
        return cached
