"""What the TLBs hold, held against the tables: changes without a break, entries out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.arch.faults import Access, Fault
from ttbr.run.cpu.break_before_make import BREAK, STALE, BreakBeforeMake, Violation
from ttbr.run.cpu.cached import GLOBAL, Cached, LastTable
from ttbr.run.cpu.decoder import BITS, Decoder
from ttbr.run.cpu.walker import Half, read_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ttbr.memory.ram import Ram
    from ttbr.run.cpu.asids import Asids, MmContext
    from ttbr.run.cpu.cpu import CpuState
    from ttbr.run.events import RunLog

_WRITES = BITS[Access.EL0_WRITE] | BITS[Access.EL1_WRITE]
EVERY = sum(BITS.values())
"""All kinds of access."""
TABLE_HALF = 0x800
"""Where the hardware's half of a page with second-level tables begins (arm, short descriptors)."""


class TlbChecks:
    """Watches how tables are written (`ttbr.run.table_writes.TableWatch`) and how TLBs are used.

    ``violations``: what was found. ``contexts``: the address spaces by their root table, as long
    as they live: the kernel's own root is none of them. ``support``: the CPU's level of support
    for changing sizes (FEAT_BBM).
    """

    def __init__(
        self,
        ram: Ram,
        log: RunLog,
        cpus: Sequence[CpuState],
        asids: Asids,
        entry_size: int,
        *,
        support: int = 0,
    ) -> None:
        self.ram = ram
        self.entry_size = entry_size
        self.log = log
        self.asids = asids
        self.support = support
        self.violations: list[Violation] = []
        self.cpus = cpus
        self.contexts: dict[int, MmContext] = {}
        self.kernel_roots: set[int] = set()

    def held(self, first: int, last: int) -> bool:
        """Whether a TLB holds a translation from a descriptor between two physical addresses."""
        for cpu in self.cpus:
            tlb = cpu.tlb
            if tlb.leaves:
                for place in range(first, last + 1, self.entry_size):
                    if tlb.holds(place):
                        return True
        return False

    def changed(self, table: int, index: int, old: int, new: int) -> None:
        """A valid descriptor became another valid one."""
        decoder = self._decoder()
        place = table + index * self.entry_size
        holder = next(iter(self._holders(place)), None)
        level = holder.level_of(place) if holder else self._level(decoder, table, old, new)
        if level is None:
            return
        reason = self._judge(decoder).needed(old, new, level)
        if reason is not None:
            self._report(BREAK, place, old, new, level, reason, holder)

    def made(self, table: int, index: int, new: int) -> None:
        """An invalid descriptor became a valid one, and a TLB holds what was there before."""
        decoder = self._decoder()
        place = table + index * self.entry_size
        for holder in self._holders(place):
            old, level = holder.expected(place), holder.level_of(place)
            reason = self._judge(decoder).needed(old, new, level)
            if reason is not None:
                reason = f"{reason}, and nothing was invalidated since it was taken away"
                self._report(BREAK, place, old, new, level, reason, holder)
                return

    def look_again(self, cpu: CpuState, cached: Cached, half: Half, va: int, bit: int) -> None:
        """Compare what a TLB said for ``va`` with what the tables of ``half`` say now.

        An entry that allows less than the tables is no violation, nor is one whose access flag
        or software bits are other than memory's; ``bit`` is the access.
        """
        fresh = cpu.walker.peek(half, va)
        reason = self._out_of_date(cached, fresh, half.decoder, va, bit)
        if reason is None:
            # What this access may do another one may not: then it is looked at again.
            if self._out_of_date(cached, fresh, half.decoder, va, EVERY) is None:
                cached.seen = cpu.tables.changes
                cached.root = half.root if cached.tag != GLOBAL else cached.root
            return
        if cached.reported:
            return
        cached.reported = True
        place, old, new, level = self._difference(cached, va)
        self._report(STALE, place, old, new, level, reason, cached, va)

    def look_at_table(self, known: LastTable, half: Half, va: int, asid: int) -> None:
        """Compare what a walk cache says with the table descriptors in memory."""
        for number, (place, old) in enumerate(known.tables):
            new = read_entry(self.ram, place, self.entry_size)
            if new == old and known.root == half.root:
                continue
            reason = "a walk cache led to the table that it named"
            level = half.decoder.regime.levels[number].number
            found = Violation(STALE, place, old, new, level, va, asid, reason, cached=True)
            self._add(found)
            return

    def _out_of_date(
        self, cached: Cached, fresh: Cached | Fault, decoder: Decoder, va: int, bit: int
    ) -> str | None:
        if isinstance(fresh, Fault):
            return f"it was used although the tables give a {fresh.kind} fault"
        if fresh.pa + va - fresh.va != cached.pa + va - cached.va:
            return "it was used although the tables lead to another address"
        held = decoder.leaf(cached.desc, cached.level, cached.limits)
        now = fresh.leaf
        if now.old:
            now = decoder.leaf(fresh.desc | decoder.access_flag, fresh.level, fresh.limits)
        was, new = held.attributes, now.attributes
        if (was.memory, was.inner, was.outer) != (new.memory, new.inner, new.outer):
            return f"it was used as {was.memory} although the tables say {new.memory}"
        if held.allowed & ~now.allowed & bit:
            return "it allowed what the tables do not"
        if bit & _WRITES and now.clean and not held.clean:
            return "it was written through as dirty although the tables say clean"
        return None

    def _difference(self, cached: Cached, va: int) -> tuple[int, int, int, int]:
        """The first descriptor on the way to ``va`` that is not as it was read."""
        way = [*cached.tables, (cached.place_of(va), cached.expected(cached.place_of(va)))]
        for place, old in way:
            new = read_entry(self.ram, place, self.entry_size)
            if new != old:
                return place, old, new, cached.level_of(place)
        return cached.place, cached.desc, cached.desc, cached.level

    def _holders(self, place: int) -> list[Cached]:
        """The translations that TLBs hold from a descriptor and that can still be used."""
        return [
            cached for cpu in self.cpus for cached in cpu.tlb.holders(place) if self._usable(cached)
        ]

    def _usable(self, cached: Cached) -> bool:
        """Whether an access can still hit the entry: its ASID belongs to the same tables."""
        if cached.tag == GLOBAL or cached.root in self.kernel_roots:
            return True
        context = self.contexts.get(cached.root)
        if context is None:
            return False
        asids = self.asids
        if not asids.current(context) and context.id not in asids.reserved:
            return False
        own = asids.asid(context)
        return cached.tag in (own, own | 1) if asids.pairs else cached.tag == own

    def _level(self, decoder: Decoder, table: int, old: int, new: int) -> int | None:
        """The level of a table's entries as far as it matters; None if they are not hardware's.

        In the long formats tables and pages hold their address alike, and blocks differ from both
        by their type. Of arm's second-level tables only half of the page is the hardware's.
        """
        fmt = decoder.regime.format
        if self.entry_size == 8:
            return fmt.last_level if old & new & 2 else fmt.last_level - 1
        if table in self.contexts or table in self.kernel_roots:
            return 1
        return fmt.last_level if table & TABLE_HALF else None

    def _decoder(self) -> Decoder:
        return self.cpus[0].kernel_decoder

    def _judge(self, decoder: Decoder) -> BreakBeforeMake:
        return BreakBeforeMake(decoder, self.ram, self.support)

    def _report(
        self,
        kind: str,
        place: int,
        old: int,
        new: int,
        level: int | None,
        reason: str,
        holder: Cached | None,
        va: int | None = None,
    ) -> None:
        asid = None
        if holder is not None:
            va = holder.va if va is None else va
            asid = None if holder.tag == GLOBAL else holder.tag
        cached = holder is not None
        self._add(Violation(kind, place, old, new, level, va, asid, reason, cached))

    def _add(self, found: Violation) -> None:
        self.violations.append(found)
        values = {"place": found.place, "old": found.old, "new": found.new, "cached": found.cached}
        at = found.va or 0
        self.log.add("violation", found.kind, str(found), at, at, **values)
