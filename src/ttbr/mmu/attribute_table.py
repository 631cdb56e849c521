"""Attribute bits, dictionary-encoded: each distinct value is decoded once and named by an index."""

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.arch.regime import TranslationRegime

# A real machine has some dozens. An image with thousands is not a table but noise, and decoding
# one by one what is different in every row would take time without bound.
MOST_VALUES = 4096

LIMIT_BITS = 16


class AttributeTable:
    """The distinct (attribute bits, level, inherited limits) of some leaves of one regime."""

    def __init__(self, regime: TranslationRegime) -> None:
        self.regime = regime
        self._index: dict[tuple[int, int, int], int] = {}
        self._values: list[Attributes] = []

    def __len__(self) -> int:
        return len(self._index)

    @property
    def keys(self) -> list[tuple[int, int, int]]:
        """(attribute bits, level, limits) by index."""
        return list(self._index)

    @property
    def values(self) -> list[Attributes]:
        """The decoded attributes by index."""
        for key in self.keys[len(self._values) :]:
            self._values.append(self.regime.attributes(*key))
        return self._values

    @property
    def spans(self) -> NDArray[np.uint64]:
        """Bytes of the mapping that a leaf belongs to, by index (a block, a contiguous run, …)."""
        span = self.regime.format.span
        return np.array([span(bits, level) for bits, level, _ in self._index], np.uint64)

    def encode(
        self, bits: NDArray[np.uint64], level: int, limits: NDArray[np.uint16]
    ) -> NDArray[np.int16]:
        """The index of each leaf's attributes; −1 where `MOST_VALUES` others came first."""
        if not len(bits):
            return np.zeros(0, np.int16)
        if (bits == bits[0]).all() and (limits == limits[0]).all():
            return np.full(len(bits), self._code(int(bits[0]), level, int(limits[0])), np.int16)
        # Neighbours mostly agree, so sorting the runs is much cheaper than sorting the rows.
        change = np.ones(len(bits), np.bool_)
        change[1:] = (bits[1:] != bits[:-1]) | (limits[1:] != limits[:-1])
        heads = np.flatnonzero(change)
        distinct_bits, which = np.unique(bits[heads], return_inverse=True)
        pairs = (which.astype(np.uint64) << np.uint64(LIMIT_BITS)) | limits[heads]
        distinct, first, which = np.unique(pairs, return_index=True, return_inverse=True)
        codes = np.empty(len(distinct), np.int16)
        # In the order of appearance, so that what is kept does not depend on the values.
        for place in np.argsort(first):
            pair = int(distinct[place])
            bits_here = int(distinct_bits[pair >> LIMIT_BITS])
            codes[place] = self._code(bits_here, level, pair & ((1 << LIMIT_BITS) - 1))
        lengths = np.diff(heads, append=len(bits))
        return np.repeat(codes[which.reshape(-1)], lengths)

    def _code(self, bits: int, level: int, limits: int) -> int:
        """The index of a value, new where it is; −1 where there are too many."""
        key = bits, level, limits
        if key in self._index or len(self._index) < MOST_VALUES:
            return self._index.setdefault(key, len(self._index))
        return -1
