"""The markers between the parts of a kernel's own table dump: virtual addresses and names.

A kernel that can dump its tables holds them itself, as an array of pairs (start address, pointer to
a name) that ends with the address −1 (``struct addr_marker``; arch/arm64/mm/ptdump.c, filled by
ptdump_init while the kernel boots; arch/arm/mm/dump.c). Of another kernel they can be computed, as
far as its tables show how it was built.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ttbr.memory.physical import OutsideMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import ARM_ADDRESS_BITS, Image
from ttbr.mmu.walk import ALL_ADDRESSES
from ttbr.recover.markers_computed import computed_markers
from ttbr.recover.release import known_release
from ttbr.recover.search import find

Markers = tuple[tuple[int, str], ...]

# A name that only this array has, by architecture, and the names that may come before it there.
_ANCHORS = {"arm64": b"Linear Mapping start", "arm": b"vmalloc() Area"}
_BEFORE = {"Kasan shadow start", "Kasan shadow end", "Modules", "Kernel Mapping"}

# Bounds of the search, which a real kernel does not come near: places where the name lies and its
# virtual addresses, pointers to it, entries of the array, bytes of a name; and how far in virtual
# memory the array may be from the name, both being parts of the kernel image.
_PLACES = 16
_POINTERS = 64
_ENTRIES = 32
_NAME = 64
_DISTANCE = 64 << 20


@dataclass(frozen=True, slots=True)
class FoundMarkers:
    """``markers`` in the kernel's order; ``unknown``: names whose address nothing tells;
    ``source``: where they come from, in words.
    """

    markers: Markers
    unknown: tuple[str, ...]
    source: str


def find_markers(image: Image) -> FoundMarkers:
    """The markers of the kernel in an image: its own, else those that came with it, else computed.

    Raises `MissingRegister` if the kernel's tables cannot be walked for lack of a register.
    """
    own = _own_markers(image)
    if own:
        return FoundMarkers(own, (), "the kernel's address_markers")
    if image.facts.markers:
        return FoundMarkers(image.facts.markers, (), image.facts.source)
    return FoundMarkers(*computed_markers(image, known_release(image)))


def _own_markers(image: Image) -> Markers:
    """The kernel's own array, or nothing."""
    anchor = _ANCHORS[image.arch]
    places = list(islice(find(image.memory, anchor + b"\0"), _PLACES))
    if not places:
        return ()
    reader = _Virtual(image.address_space("kernel"))
    _, vas = reader.mappings.reverse_many(np.array(places, np.uint64))
    for va in vas[:_PLACES].tolist():
        for entry in islice(reader.pointers_to(va), _POINTERS):
            markers = reader.array_around(entry)
            if markers:
                return markers
    return ()


class _Virtual:
    """Reads the kernel's virtual memory: words, names, and the array of markers."""

    def __init__(self, space: AddressSpace) -> None:
        self.mappings = space.mappings()
        self._memory = space.memory
        self._word = 4 if space.regime.input_bits <= ARM_ADDRESS_BITS else 8

    def read(self, va: int, size: int) -> bytes:
        """The ``size`` bytes from ``va`` on, or those before the first that cannot be read."""
        data = b""
        while len(data) < size:
            at = va + len(data)
            row = int(np.searchsorted(self.mappings.va, np.uint64(at), side="right")) - 1
            left = int(self.mappings.last[row]) - at + 1 if row >= 0 else 0
            if left <= 0:
                break
            pa = int(self.mappings.pa[row]) + at - int(self.mappings.va[row])
            try:
                data += self._memory.read(pa, min(left, size - len(data)))
            except OutsideMemory:
                break
        return data

    def pointers_to(self, va: int) -> Iterator[int]:
        """Virtual addresses of words that hold ``va``, in the kernel image around it."""
        near = self.mappings.where(
            (self.mappings.last >= np.uint64(max(va - _DISTANCE, 0)))
            & (self.mappings.va <= np.uint64(min(va + _DISTANCE, ALL_ADDRESSES)))
        )
        regions = near.regions()
        columns = (regions.va.tolist(), regions.last.tolist(), regions.pa.tolist())
        for first, last, pa in zip(*columns, strict=True):
            start, end = max(first, va - _DISTANCE), min(last, va + _DISTANCE)
            size = (end - start + 1) // self._word * self._word
            try:
                data = self._memory.read(pa + start - first, size)
            except OutsideMemory:  # a device: no place for the array
                continue
            words = np.frombuffer(data, f"<u{self._word}")
            for index in np.flatnonzero(words == va).tolist():
                yield start + index * self._word

    def array_around(self, pointer: int) -> Markers:
        """The array of markers of which the word at ``pointer`` is a name, or nothing."""
        pair = 2 * self._word
        start = pointer - self._word
        for _ in range(_ENTRIES):
            before = self._entry(start - pair)
            if before is None or before[1] not in _BEFORE:
                break
            start -= pair
        markers: list[tuple[int, str]] = []
        while len(markers) < _ENTRIES:
            entry = self._entry(start + len(markers) * pair)
            if entry is None:
                break
            if entry[0] == (1 << 8 * self._word) - 1:
                return tuple(markers)
            if entry[1] is None or entry[0] < (markers[-1][0] if markers else 1):
                break
            markers.append((entry[0], entry[1]))
        return ()

    def _entry(self, va: int) -> tuple[int, str | None] | None:
        """Address and name of the pair at ``va``; None if it cannot be read."""
        raw = self.read(va, 2 * self._word)
        if len(raw) < 2 * self._word:
            return None
        address, pointer = np.frombuffer(raw, f"<u{self._word}").tolist()
        text, end, _ = self.read(pointer, _NAME).partition(b"\0")
        name = text.decode("ascii", "replace")
        return address, name if end and name.isascii() and name.isprintable() else None
