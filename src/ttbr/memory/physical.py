"""Physical memory: bytes by physical address, with holes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import TtbrError
from ttbr.memory.words import Words

BANKS_NAMED = 4


@dataclass(frozen=True, slots=True, order=True)
class Bank:
    """A run of physical memory without a hole: ``size`` bytes from the address ``base``."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind the bank."""
        return self.base + self.size

    def __str__(self) -> str:
        return f"{self.base:#x}-{self.end - 1:#x}"


class OutsideMemory(TtbrError):
    """A read or write of physical addresses that no bank holds; ``address`` is the first one."""

    def __init__(self, address: int, banks: Sequence[Bank]) -> None:
        named = ", ".join(str(bank) for bank in banks[:BANKS_NAMED])
        more = f" and {len(banks) - BANKS_NAMED} more" if len(banks) > BANKS_NAMED else ""
        super().__init__(
            f"physical address {address:#x} is outside memory, which is {named or 'empty'}{more}"
        )
        self.address = address


class PhysicalMemory(Protocol):
    """What everything above memory reads: banks, bytes and arrays of words.

    Words are little-endian, as Linux runs both Arm architectures nearly everywhere.
    """

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The memory there is, in ascending order, without overlaps."""

    def read(self, pa: int, size: int) -> bytes:
        """The ``size`` bytes from ``pa`` on; `OutsideMemory` if one of them is in no bank."""

    def read_words(
        self, pa: NDArray[np.uint64], count: int, word: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Gather tables: ``count`` words of ``word`` (4 or 8) bytes from each address of ``pa``.

        Returns an array of shape (n, count), and an array of shape (n,) that says which rows are
        wholly inside memory. The other rows are zeros.
        """

    def in_place(self, pa: NDArray[np.uint64], count: int, word: int) -> Words | None:
        """The same tables where they lie, without a copy.

        None where that cannot be done for all of them, for whatever reason: then `read_words` is
        to be asked.
        """

    def contains(self, pa: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the addresses are in a bank."""

    def written(self) -> list[Bank]:
        """The runs that can hold anything but zeros, ascending: what a search has to read."""
