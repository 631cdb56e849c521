"""Generated images: translation tables of any size, lying in memory as a kernel's do: anywhere."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import RegimePair
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.address_space import AddressSpace

REGISTERS = {
    "TCR_EL1": 0x34B5503510,  # 4K granule, 48-bit halves
    "MAIR_EL1": 0x40044FFFF,
    "SCTLR_EL1": 0x34F4D91D,
    "TTBR1_EL1": 0,
}
BASE = 0x40000000
ENTRIES, PAGE = 512, 4096
LEVELS = 4
LINEAR = 0xFFFF000000000000
ADDRESS = np.uint64(0x0000FFFFFFFFF000)
TABLE, LEAF = np.uint64(0x1800000000000003), np.uint64(0x00E8000000000707)
SEED = 1


@dataclass(frozen=True)
class Generated:
    """An image whose kernel maps ``leaves`` pages from `BASE` on at `LINEAR`.

    Its tables are the first pages of memory, the root first and the others in random order; with
    ``adjoining``, in the order of what they map. With ``scattered`` the pages that are mapped are
    in random order, too, so that no two entries make a run.
    """

    leaves: int
    adjoining: bool = False
    scattered: bool = False

    @property
    def name(self) -> str:
        """What it is, in words."""
        tables = "tables adjoining" if self.adjoining else "tables anywhere"
        return f"{self.leaves:,} leaves, {tables}" + ", pages anywhere" * self.scattered

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The words of all tables, from `BASE` on."""
        random = np.random.default_rng(SEED)
        counts = [self.leaves]
        while len(counts) <= LEVELS:
            counts.append(-(-counts[-1] // ENTRIES))
        per_level = counts[1:][::-1]
        others = np.arange(1, sum(per_level))
        place = np.append(0, others if self.adjoining else random.permutation(others))
        words = np.zeros((sum(per_level), ENTRIES), np.uint64)
        first = 0
        for level, count in enumerate(per_level):
            mine = place[first : first + count]
            first += count
            flat = np.zeros(count * ENTRIES, np.uint64)
            if level == LEVELS - 1:
                pages = np.arange(self.leaves, dtype=np.uint64)
                if self.scattered:
                    random.shuffle(pages)
                flat[: self.leaves] = pages * np.uint64(PAGE) + (np.uint64(BASE) | LEAF)
            else:
                below = place[first : first + per_level[level + 1]].astype(np.uint64)
                flat[: len(below)] = below * np.uint64(PAGE) + np.uint64(BASE) | TABLE
            words[mine] = flat.reshape(count, ENTRIES)
        return words.reshape(-1)

    @cached_property
    def space(self) -> AddressSpace:
        """The kernel's address space."""
        memory = BankedMemory([Piece(BASE, self.words.nbytes, self.words.view(np.uint8))])
        regime = RegimePair.from_registers(REGISTERS).upper
        assert regime is not None
        return AddressSpace(regime, BASE, memory)

    def random_addresses(self, count: int) -> NDArray[np.uint64]:
        """Mapped virtual addresses, in random order; minus `LINEAR` and plus `BASE` physical."""
        random = np.random.default_rng(SEED)
        return np.uint64(LINEAR) + random.integers(0, self.leaves * PAGE, count, dtype=np.uint64)

    def read_once(self) -> int:
        """The floor of a dump: one pass over the table bytes."""
        return int(self.words.sum())

    def read_dependently(self, vas: NDArray[np.uint64], at_once: int = 1 << 16) -> int:
        """The floor of translations: the reads that these walks make, each at a place that the one
        before decides, and nothing else.
        """
        seen = 0
        for begin in range(0, len(vas), at_once):
            part = vas[begin : begin + at_once]
            table = np.zeros(len(part), np.uint64)
            for level in range(LEVELS):
                index = part >> np.uint64(39 - 9 * level) & np.uint64(ENTRIES - 1)
                word = self.words.take((table + index).astype(np.int64))
                table = ((word & ADDRESS) - np.uint64(BASE)) >> np.uint64(3)
            seen += int(table[0])
        return seen
