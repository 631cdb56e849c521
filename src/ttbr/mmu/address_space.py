"""An address space: a translation regime, the root table, and the memory that holds the tables."""

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.faults import Access, Fault, FaultKind, check_access
from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.memory.physical import OutsideMemory, PhysicalMemory
from ttbr.mmu.attribute_table import AttributeTable
from ttbr.mmu.leaves import LEAVES, Leaves
from ttbr.mmu.many import look_up, walk_many
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.tables import Tables
from ttbr.mmu.translation import Step, Translation, Translations
from ttbr.mmu.walk import ALL_ADDRESSES, Budget, Walk

# From so many addresses on it is asked whether a walk of the whole space costs less than a walk for
# each; a walk for an address costs about as much as looking at so many entries.
MANY, WORTH = 1 << 12, 1 << 7
MANY_RANGES = 1 << 15  # that are searched, out of the processor's cache, no faster than walked
AT_ONCE = 1 << 16  # addresses that are translated together: they stay in the processor's cache
# Descriptors in a batch that is only scanned, in parts, for its leaves.
ALL_AT_ONCE = 1 << 21


class AddressSpace:
    """What one root table translates: ``root`` is its physical address.

    That is every address the table has an entry for, even where the registers make the CPU look
    into the other TTBR's table: choosing between the two is `Image.translate`'s business.
    Nothing that memory holds makes these methods raise: what cannot be read or does not translate
    is a typed fault or part of the result.
    """

    def __init__(self, regime: TranslationRegime, root: int, memory: PhysicalMemory) -> None:
        self.regime = regime
        self.root = root
        self.memory = memory

    def translate(self, va: int, access: Access | None = None, *, pan: bool = False) -> Translation:
        """Walk the tables for one virtual address, keeping every step.

        Without ``access`` the answer is where the address leads; with it also whether the
        hardware would allow the access (access flag, domain, permissions; ``pan`` is PSTATE.PAN).
        """
        regime, fmt = self.regime, self.regime.format
        address = regime.canonical(va, fetch=access is not None and access.executes)
        steps: list[Step] = []

        def failed(kind: FaultKind, level: int, at: int | None, text: str) -> Translation:
            fault = Fault(kind, level, va, at, text)
            return Translation(va, tuple(steps), level=level, fault=fault)

        if not 0 <= address - regime.base < 1 << regime.input_bits:
            text = f"outside the {regime.input_bits} bits that {regime.root_register} translates"
            return failed(FaultKind.TRANSLATION, regime.fault_level, None, text)
        if regime.disabled:
            text = f"walks through {regime.root_register} are disabled"
            return failed(FaultKind.TRANSLATION, regime.fault_level, None, text)
        if self.root >> regime.output_bits:
            text = f"the root table's address has more than {regime.output_bits} bits"
            return failed(FaultKind.ADDRESS_SIZE, 0, self.root, text)

        table, limits = self.root, 0
        for level in regime.levels:
            number = level.number
            index = address - regime.base >> level.shift & level.entries - 1
            place = table + index * fmt.entry_size
            try:
                raw = int.from_bytes(self.memory.read(place, fmt.entry_size), "little")
            except OutsideMemory:
                text = f"the table at {table:#x} is outside memory"
                return failed(FaultKind.EXTERNAL, number, place, text)
            desc = np.array([raw], np.uint64)
            kind = Kind(int(fmt.kinds(desc, number)[0]))
            if kind is Kind.TABLE:
                limits |= int(fmt.limits(desc, number)[0])
            fields = tuple(fmt.layout(raw, number).explain(raw))
            steps.append(Step(number, table, index, place, raw, kind, fields, limits))
            if kind is Kind.TABLE:
                table = int(fmt.table_address(desc, number)[0])
                if table >> regime.output_bits:
                    text = f"the next table's address has more than {regime.output_bits} bits"
                    return failed(FaultKind.ADDRESS_SIZE, number, place, text)
                continue
            if kind not in LEAVES:
                text = f"descriptor {raw:#x} is {kind.name.lower()}"
                return failed(FaultKind.TRANSLATION, number, place, text)
            offset = address & (1 << level.shift) - 1
            start = np.array([address - offset], np.uint64)
            pa = int(fmt.output_address(desc, number, start)[0]) + offset
            if pa >> regime.output_bits:
                text = f"the output address has more than {regime.output_bits} bits"
                return failed(FaultKind.ADDRESS_SIZE, number, place, text)
            bits = int(fmt.attribute_bits(desc, number)[0])
            attributes = regime.attributes(bits, number, limits)
            fault = None
            if access is not None:
                fault = check_access(regime.controls, attributes, access, number, va, pan=pan)
            size = fmt.span(bits, number)
            return Translation(va, tuple(steps), pa, number, size, attributes, fault)
        raise AssertionError("the last level of a regime has no tables")

    def translate_many(self, vas: NDArray[np.uint64]) -> Translations:
        """Translate an array of virtual addresses.

        A few are walked together, one gather from memory a level. For many it is faster to find
        out once what the whole space maps and to look them up there; the answer is the same.
        Needs room for the result and little more, however many there are.
        """
        found = Translations.blank(vas, AttributeTable(self.regime))
        mappings = self._worth_mapping(len(vas))
        if mappings is not None:
            found = Translations.blank(vas, mappings.attribute_table)
        for part in found.parts(AT_ONCE):
            if mappings is not None:
                unmapped = look_up(self.regime, mappings, part)
                part.fault[unmapped], part.level[unmapped] = self._faults(part.va[unmapped])
            else:
                walk_many(self.regime, self.root, self.memory, part)
        return found

    def _worth_mapping(self, count: int) -> Mappings | None:
        """The whole space, if finding it costs less than ``count`` walks."""
        walk = self.walk()
        graph = walk.graph if count >= MANY else None
        if graph is None or graph.entries(graph.reached()) > WORTH * count:
            return None
        mappings = self._mapped(walk)
        if mappings.truncated is not None or len(mappings.ranges) > MANY_RANGES:
            return None
        return mappings

    def _faults(self, vas: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """Fault and level of addresses that are not mapped."""
        found = Translations.blank(vas, AttributeTable(self.regime))
        walk_many(self.regime, self.root, self.memory, found)
        return found.fault, found.level

    def walk(self, start: int = 0, end: int = 1 << 64, budget: Budget | None = None) -> Walk:
        """A walk through all tables that translate addresses in [``start``, ``end``)."""
        budget = budget or Budget.of(self.memory, self.regime.format.entry_size)
        first, last = max(start, 0), min(end - 1, ALL_ADDRESSES)
        return Walk(self.regime, self.root, self.memory, budget, first=first, last=last)

    def tables(self, budget: Budget | None = None) -> Tables:
        """Every table of the space, level by level."""
        walk = self.walk(budget=budget)
        for _ in walk.batches():
            pass
        return walk.tables()

    def mappings(
        self, start: int = 0, end: int = 1 << 64, budget: Budget | None = None
    ) -> Mappings:
        """The whole space, or the part that maps addresses in [``start``, ``end``), as columns.

        ``budget`` bounds the tables visited and the rows returned; `Mappings.truncated` says when
        it ended the walk. A row at a limit is not cut: its first address may lie before ``start``.
        """
        return self._mapped(self.walk(start, end, budget))

    def _mapped(self, walk: Walk) -> Mappings:
        rows = Leaves(self.regime, walk)
        for batch in walk.batches(ALL_AT_ONCE, any_order=True):
            rows.add(batch)
        return rows.mappings()
