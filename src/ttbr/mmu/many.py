"""Many addresses at once: walked together, or looked up in what a whole space maps."""

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.faults import FaultKind
from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.memory.physical import PhysicalMemory
from ttbr.mmu.kernels import locate
from ttbr.mmu.leaves import LEAVES
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.tables import FAULT_CODE
from ttbr.mmu.translation import Translations


def walk_many(
    regime: TranslationRegime, root: int, memory: PhysicalMemory, into: Translations
) -> None:
    """Walk the tables for all addresses of ``into`` together, one gather from memory a level."""
    fmt, table = regime.format, into.attribute_table
    pa, size, fault, levels, codes = into.pa, into.size, into.fault, into.level, into.attributes
    levels[:] = regime.fault_level

    address = canonical(regime, into.va)
    offset = address - np.uint64(regime.base)
    inside = offset >> np.uint64(regime.input_bits) == 0
    if regime.disabled:
        inside[:] = False
    fault[~inside] = FAULT_CODE[FaultKind.TRANSLATION]
    live = np.flatnonzero(inside)
    if root >> regime.output_bits:
        fault[live] = FAULT_CODE[FaultKind.ADDRESS_SIZE]
        levels[live] = 0
        live = live[:0]
    tables = np.full(len(live), root, np.uint64)
    limits = np.zeros(len(live), np.uint16)

    for level in regime.levels:
        number = level.number
        index = offset[live] >> np.uint64(level.shift) & np.uint64(level.entries - 1)
        places = tables + index * np.uint64(fmt.entry_size)
        words, present = memory.read_words(places, 1, fmt.entry_size)
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


def look_up(regime: TranslationRegime, mappings: Mappings, into: Translations) -> NDArray[np.intp]:
    """Translate by what the whole space maps; the rows of the addresses that it does not map."""
    ranges = mappings.ranges
    address = canonical(regime, into.va)
    row = locate(ranges.va, ranges.last, address)
    unmapped = np.flatnonzero(row < 0)
    if len(unmapped) == len(row):
        return unmapped
    np.add(address, mappings.range_offsets[row], out=into.pa)
    into.level[:] = ranges.level[row]
    into.attributes[:] = ranges.attributes[row]
    into.size[:] = mappings.attribute_spans[into.attributes]
    if len(unmapped):
        into.pa[unmapped], into.size[unmapped], into.attributes[unmapped] = 0, 0, -1
    return unmapped


def canonical(regime: TranslationRegime, vas: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The addresses without a tag in the top byte, where the regime ignores it."""
    if not regime.tbi:
        return vas
    distinct, which = np.unique(vas >> np.uint64(55), return_inverse=True)
    low = np.uint64((1 << 55) - 1)
    tops = [regime.canonical(top << 55) & ~int(low) for top in distinct.tolist()]
    return np.array(tops, np.uint64)[which] | vas & low
