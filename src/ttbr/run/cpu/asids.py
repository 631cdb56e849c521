"""Address space identifiers: handed out in generations, with a roll-over when they run out.

Source: arch/arm64/mm/context.c and arch/arm/mm/context.c (new_context, flush_context,
check_update_reserved_asid, check_and_switch_context). The two differ in where the generation
begins, in KPTI's pairs, and in whether the ASID bits come from an ID register.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ARM64_GENERATION = 1 << 16
"""ASID_FIRST_VERSION of arm64, whatever the width of its ASIDs."""
ARM_BITS = 8
"""ASID_BITS of arm."""
USER_ASID = 1
"""USER_ASID_FLAG: with KPTI the odd ASID of a pair translates user space while it runs."""


@dataclass(slots=True, eq=False)
class MmContext:
    """What the architecture keeps of an address space (mm_context_t): ``mm.context``.

    ``pgd``: physical address of the root table. ``pid``: the process that CONTEXTIDR names where
    it names one. ``id``: generation and ASID; 0 before the first switch. ``cpus``: the CPUs that it
    has run on (mm_cpumask of arm).
    """

    pgd: int
    pid: int = 0
    id: int = 0
    cpus: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Asids:
    """The allocator. ``bits``: width of an ASID; ``first``: the first generation.

    ``generation``: the current one; ``map``: a byte for each ASID that is not 0 if it is taken.
    ``active`` and ``reserved``: by CPU, the context that runs on it, and the one that ran on it at
    the last roll-over. ``flush_pending``: CPUs that have to flush their TLB at the next switch.
    ``pairs``: ASIDs come in pairs (KPTI), the even ones are handed out. ``rollovers`` counts them.
    """

    bits: int
    first: int
    cpus: int
    pairs: bool = False
    generation: int = 0
    map: bytearray = field(default_factory=bytearray)
    active: list[int] = field(default_factory=list)
    reserved: list[int] = field(default_factory=list)
    flush_pending: set[int] = field(default_factory=set)
    rollovers: int = 0
    _next: int = 1

    @classmethod
    def arm64(cls, bits: int, cpus: int, *, kpti_configured: bool, kpti: bool) -> Asids:
        """arm64's: ``bits`` as ID_AA64MMFR0_EL1.ASIDBits says.

        A kernel that is built for KPTI begins with pairs, since it does not know yet; whether it
        goes on with them after a roll-over depends on ``kpti``.
        """
        found = cls(bits, ARM64_GENERATION, cpus, pairs=kpti)
        found._begin(reserve_odd=kpti_configured)
        return found

    @classmethod
    def arm(cls, cpus: int) -> Asids:
        """arm's, of 8 bits."""
        found = cls(ARM_BITS, 1 << ARM_BITS, cpus)
        found._begin(reserve_odd=False)
        return found

    @property
    def count(self) -> int:
        """NUM_USER_ASIDS: how many ASIDs the width allows."""
        return 1 << self.bits

    def asid(self, context: MmContext) -> int:
        """ASID(mm): the hardware's number in a context's id."""
        return context.id & self.count - 1

    def current(self, context: MmContext) -> bool:
        """Whether the context's ASID is of this generation."""
        return not (context.id ^ self.generation) >> self.bits

    def check(self, context: MmContext, cpu: int) -> bool:
        """Give ``context`` a valid ASID for running on ``cpu``; whether the TLB is to be flushed.

        The part of check_and_switch_context() that is about ASIDs.
        """
        if self.active[cpu] and self.current(context):
            self.active[cpu] = context.id
            return False
        if not self.current(context):
            context.id = self._new(context)
        flush = cpu in self.flush_pending
        self.flush_pending.discard(cpu)
        self.active[cpu] = context.id
        return flush

    def _begin(self, *, reserve_odd: bool) -> None:
        self.generation = self.first
        self.active = [0] * self.cpus
        self.reserved = [0] * self.cpus
        self.map = self._free_map(reserve_odd)

    def _free_map(self, reserve_odd: bool) -> bytearray:
        """A map in which nothing is taken, but for the odd ones."""
        return bytearray(b"\0\1" * (self.count // 2) if reserve_odd else self.count)

    def _new(self, context: MmContext) -> int:
        """new_context(): the same ASID if it is still the context's, or the next free one."""
        mask = self.count - 1
        old = context.id
        if old:
            renewed = self.generation | old & mask
            if self._update_reserved(old, renewed):
                return renewed
            if not self.map[old & mask]:
                self.map[old & mask] = 1
                return renewed
        found = self.map.find(0, self._next)
        if found < 0:
            self.generation += self.first
            self._flush_context()
            found = self.map.find(0, 1)
        self.map[found] = 1
        self._next = found
        context.cpus.clear()
        return found | self.generation

    def _update_reserved(self, old: int, renewed: int) -> bool:
        """check_update_reserved_asid(): carry over what was running at the roll-over."""
        hit = False
        for cpu, asid in enumerate(self.reserved):
            if asid == old:
                self.reserved[cpu] = renewed
                hit = True
        return hit

    def _flush_context(self) -> None:
        """flush_context(): a new generation; what runs keeps its ASID, and every CPU flushes."""
        self.rollovers += 1
        self.map = self._free_map(self.pairs)
        for cpu in range(self.cpus):
            # A CPU that has not switched since the last roll-over still runs its reserved one.
            asid = self.active[cpu] or self.reserved[cpu]
            self.active[cpu] = 0
            self.map[asid & self.count - 1] = 1
            self.reserved[cpu] = asid
        self.flush_pending = set(range(self.cpus))
