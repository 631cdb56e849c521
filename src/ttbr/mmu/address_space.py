"""An address space: a translation regime, the root table, and the memory that holds the tables."""

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.faults import Access, Fault, FaultKind, check_access
from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.memory.physical import OutsideMemory, PhysicalMemory
from ttbr.mmu.attribute_table import AttributeTable
from ttbr.mmu.leaves import LEAVES, Leaves
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.tables import FAULT_CODE, Tables
from ttbr.mmu.translation import Step, Translation, Translations
from ttbr.mmu.walk import ALL_ADDRESSES, Budget, Walk

# From so many addresses on a walk of the whole space costs less than a walk for each.
MANY = 1 << 16


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
        """
        if len(vas) >= MANY:
            mappings = self.mappings()
            if mappings.truncated is None:
                return self._looked_up(vas, mappings)
        return self._walked(vas)

    def _looked_up(self, vas: NDArray[np.uint64], mappings: Mappings) -> Translations:
        """Translate by what the whole space maps; only what is not mapped is walked."""
        runs = mappings.runs
        address = self._canonical(vas)
        row = np.searchsorted(runs.va, address, side="right") - 1
        mapped = row >= 0
        mapped[mapped] = address[mapped] <= runs.last[row[mapped]]
        faults = self._walked(vas[~mapped])
        pa, size = np.zeros(len(vas), np.uint64), np.zeros(len(vas), np.uint64)
        fault = np.zeros(len(vas), np.uint8)
        level = np.empty(len(vas), np.int8)
        codes = np.full(len(vas), -1, np.int16)
        fault[~mapped], level[~mapped] = faults.fault, faults.level
        row = row[mapped]
        pa[mapped] = runs.pa[row] + (address[mapped] - runs.va[row])
        level[mapped] = runs.level[row]
        codes[mapped] = runs.attributes[row]
        size[mapped] = mappings.attribute_spans[runs.attributes[row]]
        return Translations(vas, pa, size, fault, level, codes, mappings.attribute_table)

    def _walked(self, vas: NDArray[np.uint64]) -> Translations:
        """Translate by walking all addresses together, one gather from memory a level."""
        regime, fmt = self.regime, self.regime.format
        count = len(vas)
        pa = np.zeros(count, np.uint64)
        size = np.zeros(count, np.uint64)
        fault = np.zeros(count, np.uint8)
        levels = np.full(count, regime.fault_level, np.int8)
        codes = np.full(count, -1, np.int16)
        table = AttributeTable(regime)

        address = self._canonical(vas)
        offset = address - np.uint64(regime.base)
        inside = offset >> np.uint64(regime.input_bits) == 0
        if regime.disabled:
            inside[:] = False
        fault[~inside] = FAULT_CODE[FaultKind.TRANSLATION]
        live = np.flatnonzero(inside)
        if self.root >> regime.output_bits:
            fault[live] = FAULT_CODE[FaultKind.ADDRESS_SIZE]
            levels[live] = 0
            live = live[:0]
        tables = np.full(len(live), self.root, np.uint64)
        limits = np.zeros(len(live), np.uint16)

        for level in regime.levels:
            number = level.number
            index = offset[live] >> np.uint64(level.shift) & np.uint64(level.entries - 1)
            places = tables + index * np.uint64(fmt.entry_size)
            words, present = self.memory.read_words(places, 1, fmt.entry_size)
            desc = words[:, 0]
            levels[live] = number
            fault[live[~present]] = FAULT_CODE[FaultKind.EXTERNAL]
            kinds = fmt.kinds(desc, number)
            down = present & (kinds == Kind.TABLE)
            leaf = present & np.isin(kinds, LEAVES)
            fault[live[present & ~down & ~leaf]] = FAULT_CODE[FaultKind.TRANSLATION]

            if leaf.any():
                rows, found = live[leaf], desc[leaf]
                within = address[rows] & np.uint64((1 << level.shift) - 1)
                out = fmt.output_address(found, number, address[rows] - within) + within
                good = out >> np.uint64(regime.output_bits) == 0
                fault[rows[~good]] = FAULT_CODE[FaultKind.ADDRESS_SIZE]
                rows, found = rows[good], found[good]
                pa[rows] = out[good]
                size[rows] = np.uint64(1 << level.shift)
                bits = fmt.attribute_bits(found, number)
                codes[rows] = table.encode(bits, number, limits[leaf][good])
            live = live[down]
            if not len(live):
                break
            tables = fmt.table_address(desc[down], number)
            limits = limits[down] | fmt.limits(desc[down], number)
            good = tables >> np.uint64(regime.output_bits) == 0
            fault[live[~good]] = FAULT_CODE[FaultKind.ADDRESS_SIZE]
            live, tables, limits = live[good], tables[good], limits[good]
        known = codes >= 0
        size[known] = table.spans[codes[known]]
        return Translations(vas, pa, size, fault, levels, codes, table)

    def _canonical(self, vas: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The addresses without a tag in the top byte, where the regime ignores it."""
        if not self.regime.tbi:
            return vas
        distinct, which = np.unique(vas >> np.uint64(55), return_inverse=True)
        low = np.uint64((1 << 55) - 1)
        tops = [self.regime.canonical(top << 55) & ~int(low) for top in distinct.tolist()]
        return np.array(tops, np.uint64)[which] | vas & low

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
        walk = self.walk(start, end, budget)
        rows = Leaves(self.regime, walk)
        for batch in walk.batches():
            rows.add(batch)
        return rows.mappings()
