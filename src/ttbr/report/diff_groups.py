"""Differences added up: what changed how, by who owns the addresses and by region."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.mmu.compare import Change, Differences

WORDS = (
    "unmapped",
    "mapped",
    "remapped",
    "re-permissioned",
    "other attributes",
    "other granularity",
)
"""What became of ranges of A in B."""
_REPERMISSIONED = WORDS.index("re-permissioned")
_OF_CHANGE = {
    Change.ONLY_A: WORDS.index("unmapped"),
    Change.ONLY_B: WORDS.index("mapped"),
    Change.MOVED: WORDS.index("remapped"),
    Change.ATTRIBUTES: WORDS.index("other attributes"),
    Change.GRANULARITY: WORDS.index("other granularity"),
}
_RIGHTS = ("el0_read", "el0_write", "el0_execute", "el1_read", "el1_write", "el1_execute")


@dataclass(frozen=True, slots=True)
class Areas:
    """Ranges with names, ascending: ``names[i]`` is [``first[i]``, ``last[i]``]; uint64."""

    first: NDArray[np.uint64]
    last: NDArray[np.uint64]
    names: tuple[str, ...]

    def of_many(self, vas: NDArray[np.uint64]) -> NDArray[np.intp]:
        """For each address the area that it lies in, or −1."""
        at = np.searchsorted(self.first, vas, side="right") - 1
        inside = at >= 0
        inside[inside] = vas[inside] <= self.last[at[inside]]
        return np.where(inside, at, -1)


NO_AREAS = Areas(np.zeros(0, np.uint64), np.zeros(0, np.uint64), ())


@dataclass(frozen=True, slots=True)
class Group:
    """All ranges of one owner and region that changed alike: how many, and bytes."""

    owner: str
    region: str
    change: str
    ranges: int
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """The members by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def named(d: Differences, a: Areas, b: Areas, none: str) -> list[str]:
    """For each range the area that it lies in, of B where B maps it; ``none`` outside of all."""
    at_a, at_b = a.of_many(d.va), b.of_many(d.va)
    use_b = (at_b >= 0) & (d.attributes_b >= 0) | (at_a < 0)
    names = np.array([*a.names, *b.names, none], object)
    rows = np.where(use_b, np.where(at_b < 0, len(names) - 1, at_b + len(a.names)), at_a)
    found: list[str] = names[rows].tolist()
    return found


def changes(d: Differences) -> NDArray[np.intp]:
    """For each range its index into `WORDS`."""
    table = np.zeros(max(Change) + 1, np.intp)
    for change, word in _OF_CHANGE.items():
        table[change] = word
    words = table[d.change]
    rows = np.flatnonzero(d.change == Change.ATTRIBUTES)
    rights_a, rights_b = _rights(d.values_a), _rights(d.values_b)
    other = (rights_a[d.attributes_a[rows]] != rights_b[d.attributes_b[rows]]).any(axis=1)
    words[rows[other]] = _REPERMISSIONED
    return words


def grouped(d: Differences, owners: list[str], regions: list[str]) -> Iterator[Group]:
    """The ranges by owner, region and change, in the order of the first of each."""
    words = changes(d)
    sizes = (d.last - d.va + np.uint64(1)).tolist()
    sums: dict[tuple[str, str, int], list[int]] = {}
    for owner, region, word, size in zip(owners, regions, words.tolist(), sizes, strict=True):
        found = sums.setdefault((owner, region, word), [0, 0])
        found[0] += 1
        found[1] += size
    for (owner, region, word), (ranges, size) in sums.items():
        yield Group(owner, region, WORDS[word], ranges, size)


def _rights(values: list[Attributes]) -> NDArray[np.bool_]:
    """Who may do what, a row for each value."""
    rows = [[bool(getattr(value, name)) for name in _RIGHTS] for value in values]
    return np.array(rows, np.bool_).reshape(len(values), len(_RIGHTS))
