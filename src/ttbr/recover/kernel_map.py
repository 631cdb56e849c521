"""What an arm64 kernel's tables say about the kernel: its image, its linear map, itself.

Linux maps all RAM once at one distance between virtual and physical addresses (the linear map,
never executable), and its own image at another (arch/arm64/mm/mmu.c: map_mem; map_kernel). The
image holds swapper_pg_dir, so the tables of a kernel map their own root twice.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import RegimePair, TranslationRegime
from ttbr.kernel.arm64_geometry import MEMSTART_SHIFTS
from ttbr.memory.physical import PhysicalMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.walk import Budget
from ttbr.recover.assumed_registers import arm64_registers

ADDRESSES = 1 << 64
IMAGE_ALIGN = 1 << 21  # MIN_KIMG_ALIGN (arch/arm64/include/asm/boot.h)
# What a 52-bit kernel makes do with where the CPU has no 52-bit addresses, by page size.
WITHOUT_52 = {0x1000: 48, 0x4000: 47, 0x10000: 48}
# Distances at which the root is that are looked at: Linux has two.
_MOST_DISTANCES = 16
_FEWEST_ENTRIES, _MOST_ENTRIES = 1 << 18, 1 << 26


@dataclass(frozen=True, slots=True)
class Candidate:
    """A root as TTBR1 would hold it: ``granule`` in bytes, ``va_bits`` it translates, ``root``.

    ``swapper``: swapper_pg_dir, which is the root but in a 52-bit kernel of 64K pages without the
    hardware.
    """

    granule: int
    va_bits: int
    root: int
    swapper: int

    @classmethod
    def of(cls, granule: int, configured: int, va_bits: int, swapper: int) -> "Candidate":
        """What TTBR1 holds of a swapper_pg_dir made for ``configured`` bits, of ``va_bits`` in use.

        Without 52-bit addresses 64K pages keep as many levels, and TTBR1 points to the entries for
        the highest 48 bits (6.1 asm/assembler.h: offset_ttbr1); other pages have a level less.
        """
        whole = cls(granule, configured, swapper, swapper).regime.levels[0]
        used = cls(granule, va_bits, swapper, swapper).regime.levels[0]
        skipped = whole.entries - used.entries if whole.number == used.number else 0
        return cls(granule, va_bits, swapper + 8 * skipped, swapper)

    @property
    def regime(self) -> TranslationRegime:
        """How TTBR1 would translate."""
        found = RegimePair.from_registers(arm64_registers(self.granule, self.va_bits, self.root))
        assert found.upper is not None
        return found.upper


@dataclass(frozen=True)
class KernelMap:
    """A candidate with all that it maps of ``memory``."""

    candidate: Candidate
    mappings: Mappings
    memory: PhysicalMemory

    @classmethod
    def of(cls, candidate: Candidate, memory: PhysicalMemory) -> "KernelMap":
        """Walk all tables below a root, in time and room that the size of memory bounds."""
        pages = sum(bank.size for bank in memory.banks) >> 12
        budget = Budget(min(max(_FEWEST_ENTRIES, 4 * pages), _MOST_ENTRIES))
        space = AddressSpace(candidate.regime, candidate.root, memory)
        return cls(candidate, space.mappings(budget=budget), memory)

    @cached_property
    def _distance(self) -> NDArray[np.uint64]:
        """VA − PA of each row, modulo 2^64."""
        return self.mappings.va - self.mappings.pa

    @cached_property
    def executable(self) -> NDArray[np.bool_]:
        """Which rows the kernel may execute."""
        values = [value.el1_execute for value in self.mappings.attribute_values]
        return np.array([*values, False])[self.mappings.attributes]

    @cached_property
    def _bytes(self) -> dict[int, int]:
        """Bytes of RAM that are mapped at each distance at which the root is; most first."""
        root = np.uint64(self.candidate.swapper)
        own = self.mappings.reverse(self.candidate.swapper) - root
        ram = self.memory.contains(self.mappings.pa)
        distances, which = np.unique(self._distance[ram], return_inverse=True)
        mapped = np.bincount(which, self.mappings.size[ram], minlength=len(distances))
        rows = np.flatnonzero(np.isin(distances, own))
        rows = rows[np.argsort(-mapped[rows], kind="stable")][:_MOST_DISTANCES]
        return {int(distances[row]): int(mapped[row]) for row in rows.tolist()}

    @cached_property
    def image_distance(self) -> int | None:
        """VA − PA of the kernel image (kimage_voffset): where the root lies beside code.

        The image may be anywhere, but its addresses keep their place in 2 MiB.
        """
        possible = (d for d in self._bytes if d % IMAGE_ALIGN == 0 and d != self._identity)
        return next((distance for distance in possible if self._code(distance).any()), None)

    @cached_property
    def linear_distance(self) -> int | None:
        """VA − PA of the linear map: the other distance at which the root is.

        memstart_addr is a multiple of ARM64_MEMSTART_ALIGN, and so is this.
        """
        align = 1 << MEMSTART_SHIFTS[self.candidate.granule.bit_length() - 1]
        possible = (d for d in self._bytes if d % align == 0 and d != self.image_distance)
        return next((distance for distance in possible if not self._code(distance).any()), None)

    @property
    def _identity(self) -> int:
        """The distance that an identity map would have if TTBR1 held it."""
        return self.candidate.regime.base

    def _code(self, distance: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.executable & (self._distance == np.uint64(distance))
        return found

    @property
    def linear_bytes(self) -> int:
        """Bytes of RAM in the linear map."""
        distance = self.linear_distance
        return 0 if distance is None else self._bytes[distance]

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """What makes one candidate with an image better than another.

        A linear map, the RAM in it, and being where the image has swapper_pg_dir: that is what
        tells it from init_pg_dir, which lies behind the data, while the kernel boots.
        """
        first, last = self.image_pa
        placed = first <= self.candidate.swapper <= last
        return self.linear_distance is not None, self.linear_bytes, placed

    @cached_property
    def code(self) -> tuple[int, int]:
        """First and last virtual address of the longest run of code in the image, [_stext,_etext).

        Only for maps that have an image.
        """
        assert self.image_distance is not None
        code = self.mappings.where(self._code(self.image_distance)).regions(contiguous_pa=True)
        runs = _joined(code.va, code.last)
        return max(runs, key=lambda run: run[1] - run[0])

    @cached_property
    def image(self) -> tuple[int, int]:
        """First and last virtual address of what is mapped of the image without a hole.

        That is [_text or _stext, __init_begin) in a kernel that runs.
        """
        assert self.image_distance is not None
        rows = self.mappings.where(self._distance == np.uint64(self.image_distance))
        runs = _joined(rows.va, rows.last)
        return next(run for run in runs if run[0] <= self.code[0] <= run[1])

    @property
    def image_pa(self) -> tuple[int, int]:
        """The same as physical addresses."""
        assert self.image_distance is not None
        first, last = ((va - self.image_distance) % ADDRESSES for va in self.image)
        return first, last


def _joined(first: NDArray[np.uint64], last: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Ranges in ascending order, those that touch taken together."""
    new = np.ones(len(first), np.bool_)
    new[1:] = first[1:] != last[:-1] + np.uint64(1)
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(first)) - 1
    return list(zip(first[starts].tolist(), last[ends].tolist(), strict=True))
