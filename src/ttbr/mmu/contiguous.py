"""Groups of entries that say they are one mapping: whether they agree.

Contiguous entries (16, 32 or 128 of them), supersections and large pages (16) promise that the
whole group maps adjoining memory alike, and the hardware may take any of them for all. Where they
do not agree, which mapping an access gets is not defined (Arm ARM DDI 0487, D8.7; DDI 0406C,
B3.5.1).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.mmu.attribute_table import AttributeTable
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.walk import ALL_ADDRESSES

REASONS = (
    "entries are missing",
    "the entries do not map adjoining memory",
    "the entries' attributes differ",
)
"""What can be wrong with a group, the first that holds."""

_MAY_DIFFER = ("AF", "software")
"""Fields that are each entry's own: the hardware may set the access flag of one of them."""
_WRITE_FIELDS = ("AP", "AP2", "S2AP")
"""The fields whose highest bit is the dirty state where DBM is set."""


@dataclass(frozen=True, slots=True)
class Disagreements:
    """The groups whose entries do not agree, as columns of equal length, by level and address.

    ``va``: where the group begins; ``size``: its bytes; ``level``: of its entries; ``reason``:
    index into ``REASONS``. ``groups`` is how many groups there were, agreeing or not.
    """

    va: NDArray[np.uint64]
    size: NDArray[np.uint64]
    level: NDArray[np.int8]
    reason: NDArray[np.uint8]
    groups: int

    def __len__(self) -> int:
        return len(self.va)

    def notes(self) -> list[str]:
        """A sentence for each level and reason."""
        found = Counter(zip(self.level.tolist(), self.reason.tolist(), strict=True))
        lines = []
        for (level, reason), count in sorted(found.items()):
            first = np.flatnonzero((self.level == level) & (self.reason == reason))[0]
            lines.append(
                f"{count} of {self.groups} contiguous groups are wrong at level {level}, the first "
                f"at va {int(self.va[first]):#x}: {REASONS[reason]}"
            )
        return lines


def disagreements(
    mappings: Mappings, start: int = 0, end: int = ALL_ADDRESSES + 1
) -> Disagreements:
    """The contiguous groups of all rows of ``mappings`` whose entries do not agree.

    The rows must be those that a walk of [``start``, ``end``) gave: of a group that is not wholly
    in the range, or in a walk that was cut short, entries are not missed.
    """
    runs = mappings.runs
    spans = mappings.attribute_spans
    if not len(runs):
        return Disagreements(runs.va, runs.va, runs.level, np.zeros(0, np.uint8), 0)
    rows = runs.chosen(spans[runs.attributes] > runs.size).single()
    span = spans[rows.attributes]
    order = np.lexsort((rows.va, rows.level))
    va, pa, size = rows.va[order], rows.pa[order], rows.size[order]
    level, span = rows.level[order], span[order]
    begin = va & ~(span - np.uint64(1))
    head = np.ones(len(va), np.bool_)
    head[1:] = (begin[1:] != begin[:-1]) | (level[1:] != level[:-1])
    first = np.flatnonzero(head)
    if not len(first):
        return Disagreements(va, va, level, np.zeros(0, np.uint8), 0)

    def differs(column: NDArray[np.uint64]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.minimum.reduceat(column, first) != np.maximum.reduceat(
            column, first
        )
        return found

    group_va, group_span = begin[first], span[first]
    counts = np.diff(first, append=len(va))
    missing = counts.astype(np.uint64) != group_span // size[first]
    missing &= group_va >= np.uint64(max(start, 0))
    missing &= group_va + (group_span - np.uint64(1)) <= np.uint64(min(end - 1, ALL_ADDRESSES))
    missing &= mappings.truncated is None
    base = pa - (va - begin)
    scattered = differs(base) | (base[first] & (group_span - np.uint64(1)) != 0)
    unlike = differs(_common(mappings.attribute_table)[rows.attributes[order]])
    reason = np.select([missing, scattered, unlike], [0, 1, 2], len(REASONS)).astype(np.uint8)
    bad = reason < len(REASONS)
    return Disagreements(group_va[bad], group_span[bad], level[first][bad], reason[bad], len(first))


def _common(table: AttributeTable) -> NDArray[np.uint64]:
    """By index of attributes: a number that is equal where only what may differ differs."""
    fmt = table.regime.format
    seen: dict[tuple[int, int, int], int] = {}
    numbers = []
    for bits, level, limits in table.keys:
        fields = fmt.layout(bits, level).by_name
        own = [*_MAY_DIFFER] if fmt.entry_size == 8 else []
        ignored = sum(fields[name].mask for name in own)
        if "DBM" in fields and fields["DBM"].extract(bits):
            ignored |= sum(1 << fields[name].high for name in _WRITE_FIELDS if name in fields)
        numbers.append(seen.setdefault((bits & ~ignored, level, limits), len(seen)))
    return np.array(numbers, np.uint64)
