"""What Linux makes of table entries: the kind, the page or the place in swap, and the flags."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.errors import InputError
from ttbr.kernel.linux_pte import FLAGS, LinuxEntries, Patterns, fits, linux_entries
from ttbr.kernel.release import Release
from ttbr.kernel.swap_types import SPECIAL, WITH_PAGE, special_types

PRESENT, PROT_NONE, OLD, INVALIDATED, SWAP, UNKNOWN = range(6)
KINDS = ("present", "PROT_NONE", "old", "invalidated", "swap", "not present", *SPECIAL)
"""By code: ``present`` to hardware and Linux; then pages that only Linux has: PROT_NONE, old (not
young, on CPUs without an access flag), invalidated for a moment; ``swap``; ``not present`` where
the kernel's release is not known; then what is no swap file."""

_PAGES = (PRESENT, PROT_NONE, OLD, INVALIDATED)
NO_SWAP_TYPE = -1


@dataclass(frozen=True, slots=True)
class Readings:
    """Entries as Linux reads them, as columns of equal length.

    ``kind``: uint8, index into ``KINDS``. ``pa``: physical address of the page that the entry
    names, 0 if it names none, uint64; ``has_page`` tells. ``swap_type``: int16, −1 for pages;
    ``swap_offset``: in pages, uint64. ``flags``: uint16, bit 1 << index into `FLAGS`.
    """

    kind: NDArray[np.uint8]
    pa: NDArray[np.uint64]
    swap_type: NDArray[np.int16]
    swap_offset: NDArray[np.uint64]
    flags: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def has_page(self) -> NDArray[np.bool_]:
        """Which entries name a page: present ones, and migration entries and the like."""
        return _HAS_PAGE[self.kind]


_HAS_PAGE = np.array([code in _PAGES or name in WITH_PAGE for code, name in enumerate(KINDS)])


class LinuxReader:
    """Reads the entries of one regime's tables as the kernel of a ``release`` does.

    `InputError` if the reading depends on a release that is not known, or if Linux has no tables of
    its own in such a regime.
    """

    def __init__(self, regime: TranslationRegime, release: Release | None) -> None:
        if 0 not in regime.controls.exception_levels:
            raise InputError(f"Linux has no processes in the tables of {regime.root_register}")
        self.regime = regime
        self.release = release
        self.entries: LinuxEntries = linux_entries(regime.format.name, release)
        special = {} if release is None else special_types(release)
        self._codes = np.full(32, SWAP, np.uint8)
        for number, name in special.items():
            self._codes[number] = KINDS.index(name)

    def has_entries(self, level: int) -> bool:
        """Whether entries of ``level`` can be pages or swap: the last ones, and blocks of Linux's.

        With short descriptors Linux has blocks for itself only, without entries of its own.
        """
        fmt = self.regime.format
        if level == fmt.last_level or self.entries.distance:
            return level == fmt.last_level
        return Kind(int(fmt.kinds(np.ones(1, np.uint64), level)[0])) is Kind.BLOCK

    def read(
        self,
        entries: NDArray[np.uint64],
        hardware: NDArray[np.uint64],
        level: int,
        va: NDArray[np.uint64],
    ) -> Readings:
        """Read Linux's ``entries``, none of them zero unless the ``hardware``'s is a leaf.

        Both are of ``level``, and of the addresses ``va``; they are the same words but with short
        descriptors.
        """
        fmt, linux = self.regime.format, self.entries
        mapped = np.isin(fmt.kinds(hardware, level), (Kind.BLOCK, Kind.PAGE))
        block = level != fmt.last_level
        named = linux.is_present(entries, block=block)
        count = len(entries)
        kind = np.full(count, INVALIDATED, np.uint8)
        kind[~fits(entries, linux.flags["young"])] = OLD
        kind[fits(entries, linux.prot_none)] = PROT_NONE
        kind[mapped] = PRESENT
        swapped = ~named & ~mapped
        pa = np.zeros(count, np.uint64)
        pa[mapped] = fmt.output_address(hardware[mapped], level, va[mapped])
        hidden = named & ~mapped
        pa[hidden] = self._page(entries[hidden], level)
        swap_type = np.full(count, NO_SWAP_TYPE, np.int16)
        swap_offset = np.zeros(count, np.uint64)
        flags = _flags(entries, linux.flags)
        if linux.distance and block:
            flags[:] = 0  # sections have no entry of Linux's own
        flags[swapped] = 0
        if linux.swap is None:
            kind[swapped] = UNKNOWN
        else:
            found = entries[swapped]
            types = linux.swap.types(found)
            swap_type[swapped], swap_offset[swapped] = types, linux.swap.offsets(found)
            kind[swapped] = self._codes[types]
            flags[swapped] = _flags(found, linux.swap.flags)
            frames = swapped & _HAS_PAGE[kind]
            shift = self.regime.levels[-1].shift
            frame = swap_offset[frames] & np.uint64((1 << self.regime.output_bits - shift) - 1)
            pa[frames] = frame << np.uint64(shift)
        return Readings(kind, pa, swap_type, swap_offset, flags)

    def _page(self, entries: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
        """The pages of entries that only Linux finds present."""
        if self.entries.address:
            return entries & np.uint64(self.entries.address)
        # The entry as it was when the hardware could use it: only the lowest bits differ.
        block = level != self.regime.format.last_level
        valid = np.uint64(0b1 if block else 0b11)
        zero = np.zeros(len(entries), np.uint64)
        cleared = entries & ~np.uint64(0b11)
        return self.regime.format.output_address(cleared | valid, level, zero)


def _flags(entries: NDArray[np.uint64], known: Mapping[str, Patterns]) -> NDArray[np.uint16]:
    flags = np.zeros(len(entries), np.uint16)
    for at, name in enumerate(FLAGS):
        if name in known:
            flags |= fits(entries, known[name]).astype(np.uint16) << np.uint16(at)
    return flags


def flag_names(flags: int) -> tuple[str, ...]:
    """The names of the bits of a reading's ``flags``."""
    return tuple(name for at, name in enumerate(FLAGS) if flags >> at & 1)
