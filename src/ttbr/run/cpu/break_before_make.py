"""Which changes of a valid descriptor need break-before-make, and what is said of one without.

Source: Arm ARM DDI 0487, D8, Using break-before-make when updating translation table entries, and
Support levels for changing table or block size (FEAT_BBML1, FEAT_BBML2). ARMv7's rules (DDI 0406C,
B3.10.1) are the same but for those levels.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.arch.attributes import Attributes
from ttbr.arch.format import Kind
from ttbr.memory.physical import OutsideMemory
from ttbr.memory.ram import Ram
from ttbr.run.cpu.decoder import Decoder, Leaf

BREAK, STALE = "break-before-make", "stale"
"""Kinds of violations: an entry was changed without a break, and a TLB's entry was out of date."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Translation tables and TLBs disagree, or could.

    ``kind``: `BREAK` or `STALE`. ``place``: physical address of the descriptor that was changed
    from ``old`` to ``new``, at ``level`` of the tables if that is known. ``va``: an address that it
    translates, where a TLB or an access tells; ``asid``: whose, None for a global translation.
    ``reason``: what is wrong in words. ``cached``: whether a TLB held the old one.
    """

    kind: str
    place: int
    old: int
    new: int
    level: int | None
    va: int | None
    asid: int | None
    reason: str
    cached: bool

    def __str__(self) -> str:
        where = "" if self.va is None else f" for {self.va:#x}"
        who = "" if self.asid is None else f" of ASID {self.asid}"
        held = "a TLB holds the old one" if self.cached else "no TLB holds the old one"
        return (
            f"{self.kind} violation: the descriptor at {self.place:#x}{where}{who} went from "
            f"{self.old:#x} to {self.new:#x}: {self.reason}; {held}"
        )


class BreakBeforeMake:
    """Judges changes of descriptors of one regime.

    ``support``: the level of support for changing sizes (ID_AA64MMFR2_EL1.BBM): with 1 the nT bit
    excuses a change of size, with 2 nothing has to.
    """

    def __init__(self, decoder: Decoder, ram: Ram, support: int = 0) -> None:
        self.decoder = decoder
        self.ram = ram
        self.support = support

    def needed(self, old: int, new: int, level: int) -> str | None:
        """Why a change from ``old`` to ``new``, both valid, needs a break; None if it does not."""
        decoder = self.decoder
        kinds = decoder.kind(old, level), decoder.kind(new, level)
        if Kind.RESERVED in kinds:
            return None
        if Kind.TABLE in kinds:
            return self._table(old, new, level, kinds)
        was, now = decoder.leaf(old, level, 0), decoder.leaf(new, level, 0)
        if was.span != now.span and not self._size_excused(old, new, level):
            return f"its size changes from {was.span:#x} to {now.span:#x} bytes"
        reason = _memory(was.attributes, now.attributes)
        if reason is not None:
            return reason
        if self._moved(old, new, level, was, now):
            return "its output address changes, and it can be written or the contents differ"
        if was.attributes.non_global and not now.attributes.non_global:
            return "it becomes global while entries that are not may be held"
        return None

    def _table(self, old: int, new: int, level: int, kinds: tuple[Kind, Kind]) -> str | None:
        if kinds[0] is not kinds[1]:
            if self._size_excused(old, new, level):
                return None
            before, after = (kind.name.lower() for kind in kinds)
            return f"a {before} becomes a {after}"
        if self.decoder.address(old, level) != self.decoder.address(new, level):
            return "it names another table"
        return None

    def _size_excused(self, old: int, new: int, level: int) -> bool:
        if self.support >= 2:
            return True
        return self.support == 1 and any(self._not_to_be_cached(desc, level) for desc in (old, new))

    def _not_to_be_cached(self, desc: int, level: int) -> bool:
        """nT: a block that is being changed, which TLBs must not hold so that it matters."""
        field = self.decoder.shape(desc, level).layout.by_name.get("nT")
        return field is not None and bool(field.extract(desc))

    def _moved(self, old: int, new: int, level: int, was: Leaf, now: Leaf) -> bool:
        here, there = self.decoder.address(old, level), self.decoder.address(new, level)
        if here == there:
            return False
        if _writable(was.attributes) or _writable(now.attributes):
            return True
        try:
            size = was.entry_bytes
            return self.ram.read(here, size) != self.ram.read(there, size)
        except OutsideMemory:
            return True


def _memory(was: Attributes, now: Attributes) -> str | None:
    """Why the memory attributes of two leaves need a break between them."""
    if was.memory != now.memory or (was.attr_index != now.attr_index and was.memory == "unknown"):
        return f"its memory type changes from {was.memory} to {now.memory}"
    if _policy(was) != _policy(now):
        return f"its cacheability changes from {_policy(was)} to {_policy(now)}"
    if was.shareability != now.shareability:
        return f"its shareability changes from {was.shareability} to {now.shareability}"
    return None


def _policy(attributes: Attributes) -> str:
    """Inner and outer cacheability, without the hints about what to allocate."""
    return "/".join(each.split()[0] for each in (attributes.inner, attributes.outer))


def _writable(attributes: Attributes) -> bool:
    return attributes.el0_write or attributes.el1_write
