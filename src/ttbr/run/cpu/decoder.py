"""Descriptors of one regime, decoded once for each distinct value of their attribute bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ttbr.arch.attributes import Attributes
from ttbr.arch.faults import Access, Fault, check_access
from ttbr.arch.fields import Layout
from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime

BITS: Final = {access: 1 << number for number, access in enumerate(Access)}
"""A bit for each kind of access."""
MOST_TABLES: Final = 1 << 16
"""Table descriptors that are remembered by level."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a leaf descriptor says apart from its address, under the limits of the tables above.

    ``entry_bytes``: what one descriptor maps; ``span``: the contiguous range it belongs to.
    ``allowed``: the accesses that the hardware allows, as `BITS`; ``allowed_pan`` with PSTATE.PAN.
    ``old``: the access flag is not set. ``clean``: writes are allowed, and the first makes the
    hardware note it.
    """

    attributes: Attributes
    entry_bytes: int
    span: int
    allowed: int
    allowed_pan: int
    old: bool
    clean: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """Descriptors of one level that hold their address alike."""

    kind: Kind
    layout: Layout
    mask: int
    in_place: bool


class Decoder:
    """Reads descriptors of a regime.

    ``access_flag`` and ``read_only`` are the bits that hardware updates set and clear; 0 where the
    format has none.
    """

    def __init__(self, regime: TranslationRegime) -> None:
        self.regime = regime
        fmt = regime.format
        self.valid = 1 if fmt.entry_size == 8 else 3
        self._supersection = 0
        self.access_flag = self.read_only = 0
        if fmt.entry_size == 8:
            fields = fmt.layout(3, fmt.last_level).by_name
            self.access_flag = fields["AF"].mask
            self.read_only = 1 << fields["AP"].high
        else:
            self._supersection = fmt.layout(2, 1).by_name["supersection"].mask
        self._shapes: dict[tuple[int, int], _Shape] = {}
        self._tables: dict[int, dict[int, tuple[int, int]]] = {
            level.number: {} for level in regime.levels
        }
        self._leaves: dict[tuple[int, int, int], Leaf] = {}

    def shape(self, desc: int, level: int) -> _Shape:
        """How a descriptor is to be read: what it is, and where its address is."""
        low = desc & 3
        if self._supersection and level == 1:
            low |= desc & self._supersection
        found = self._shapes.get((level, low))
        if found is None:
            fmt = self.regime.format
            kind = Kind(int(fmt.kinds(np.array([desc], np.uint64), level)[0]))
            layout = fmt.layout(desc, level)
            pieces = layout.address_pieces
            in_place = all(layout.by_name[name].low == lowest for name, lowest in pieces)
            found = _Shape(kind, layout, layout.address_mask, in_place)
            self._shapes[level, low] = found
        return found

    def kind(self, desc: int, level: int) -> Kind:
        """What a descriptor is at a level."""
        return self.shape(desc, level).kind

    def address(self, desc: int, level: int) -> int:
        """The address in a descriptor: of the next table, or of what it maps."""
        shape = self.shape(desc, level)
        return desc & shape.mask if shape.in_place else shape.layout.address(desc)

    def table(self, desc: int, level: int) -> tuple[int, int] | None:
        """Address and limits of the table that a descriptor names; None if it names none."""
        known = self._tables[level]
        found = known.get(desc)
        if found is not None:
            return found
        if self.shape(desc, level).kind is not Kind.TABLE:
            return None
        limits = int(self.regime.format.limits(np.array([desc], np.uint64), level)[0])
        if len(known) >= MOST_TABLES:
            known.clear()
        found = known[desc] = self.address(desc, level), limits
        return found

    def leaf(self, desc: int, level: int, limits: int) -> Leaf:
        """What a leaf descriptor means under ``limits``."""
        bits = desc & ~self.shape(desc, level).mask
        key = (bits, level, limits)
        found = self._leaves.get(key)
        if found is None:
            found = self._leaves[key] = self._decode(bits, level, limits)
        return found

    def fault(self, leaf: Leaf, access: Access, level: int, va: int, *, pan: bool) -> Fault | None:
        """The fault that an access takes on a leaf, or None."""
        return check_access(self.regime.controls, leaf.attributes, access, level, va, pan=pan)

    def _decode(self, bits: int, level: int, limits: int) -> Leaf:
        regime = self.regime
        fmt, controls = regime.format, regime.controls
        attributes = regime.attributes(bits, level, limits)
        span = fmt.span(bits, level)
        entry_bytes = next(each for each in regime.levels if each.number == level)
        allowed = allowed_pan = 0
        for access, bit in BITS.items():
            if check_access(controls, attributes, access, level, 0) is None:
                allowed |= bit
            if check_access(controls, attributes, access, level, 0, pan=True) is None:
                allowed_pan |= bit
        clean = attributes.dirty_managed and controls.hd and bool(bits & self.read_only)
        return Leaf(
            attributes=attributes,
            entry_bytes=1 << entry_bytes.shift,
            span=span,
            allowed=allowed,
            allowed_pan=allowed_pan,
            old=not attributes.access_flag,
            clean=clean,
        )
