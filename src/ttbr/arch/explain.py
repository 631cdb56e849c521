"""One descriptor or one register value, field by field, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttbr.arch.attributes import UNKNOWN, Attributes
from ttbr.arch.fields import FieldText, Layout
from ttbr.arch.format import Kind
from ttbr.arch.regime import FORMATS, make_regime
from ttbr.arch.registers import REGISTERS, register_layout, register_name
from ttbr.arch.translation_regime import TranslationRegime
from ttbr.errors import InputError

__all__ = ["FORMATS", "Explanation", "explain_descriptor", "explain_register"]

_LEAVES = (Kind.BLOCK, Kind.PAGE)
_INVALID = (Kind.INVALID, Kind.RESERVED)
_LARGE_REGISTER_FORMATS = tuple(name for name in FORMATS if "lpa" in name)
"""Formats under which TTBRn holds its address in the large form (lpae, lpa, lpa2)."""
_MEMORY_REGISTERS: Mapping[str, str] = {
    "vmsav8-64": "MAIR_ELx",
    "lpae": "MAIR1:MAIR0",
    "short": "NMRR:PRRR",
}
"""What memory types come from, as ``make_regime`` takes it for ``mair``, by format."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A word explained.

    ``title`` is the field table's name, ``source`` the section of the manual that it is from,
    ``rows`` its fields, highest first. For descriptors, ``levels`` are the levels at which the word
    reads like this, ``kind`` what it is there, ``address`` the table or output address that it
    holds, ``size`` the bytes that the mapping covers, ``attributes`` what a leaf says if no table
    above limits it. ``notes`` say what the word alone does not tell.
    """

    title: str
    value: int
    source: str
    rows: tuple[FieldText, ...]
    levels: tuple[int, ...] = ()
    kind: Kind | None = None
    address: int | None = None
    size: int | None = None
    attributes: Attributes | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The explanation ready for JSON; words and addresses in hexadecimal."""
        return {
            "title": self.title,
            "value": hex(self.value),
            "source": self.source,
            "levels": list(self.levels),
            "kind": None if self.kind is None else self.kind.name.lower(),
            "address": None if self.address is None else hex(self.address),
            "size": self.size,
            "attributes": None if self.attributes is None else self.attributes.as_dict(),
            "fields": [
                {"bits": row.bits, "name": row.name, "value": hex(row.value), "meaning": row.text}
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def explain_descriptor(
    value: int, format_name: str, level: int | None = None, mair: int | None = None
) -> list[Explanation]:
    """What the descriptor ``value`` is, at ``level`` or at every level at which it is valid.

    ``format_name`` and ``mair`` are those of ``make_regime``. Levels at which the word reads the
    same share an explanation; a word that is valid nowhere has the explanations of all levels.
    Raises InputError for a format or level that does not exist, or a value that is too large.
    """
    regime = make_regime(format_name, mair=mair)
    bits = regime.format.entry_size * 8
    if not 0 <= value < 1 << bits:
        raise InputError(f"{value:#x} is not a descriptor of {bits} bits")
    known = {step.number: step.shift for step in regime.levels}
    if level is not None and level not in known:
        first, last = min(known), max(known)
        raise InputError(f"{format_name} has levels {first} to {last}, not {level}")
    levels = tuple(known) if level is None else (level,)
    kinds = {number: _kind(regime, value, number) for number in levels}
    valid = [number for number in levels if kinds[number] not in _INVALID]
    readings: dict[tuple[Layout, Kind], list[int]] = {}
    for number in valid or levels:
        key = regime.format.layout(value, number), kinds[number]
        readings.setdefault(key, []).append(number)
    return [
        _explanation(regime, value, layout, kind, tuple(numbers))
        for (layout, kind), numbers in readings.items()
    ]


def explain_register(name: str, value: int, format_name: str | None = None) -> Explanation:
    """What the register ``name`` says with ``value``.

    ``format_name`` decides between two forms of TTBRn; without it the value does. Raises InputError
    for a register that ttbr does not know or a value that does not fit it.
    """
    if register_name(name) not in REGISTERS:
        raise InputError(f"no register {name!r}; there are {', '.join(REGISTERS)}")
    layout = register_layout(name, value, large=format_name in _LARGE_REGISTER_FORMATS)
    if not 0 <= value < 1 << layout.width:
        raise InputError(f"{register_name(name)} has {layout.width} bits, not {value:#x}")
    address = layout.address(value) if layout.address_pieces else None
    rows = tuple(layout.explain(value))
    title = register_name(name)
    return Explanation(title, value, layout.source, rows, address=address)


def _kind(regime: TranslationRegime, value: int, level: int) -> Kind:
    word = np.array([value], dtype=np.uint64)
    return Kind(int(regime.format.kinds(word, level)[0]))


def _explanation(
    regime: TranslationRegime, value: int, layout: Layout, kind: Kind, levels: tuple[int, ...]
) -> Explanation:
    rows = tuple(layout.explain(value))
    known = Explanation(layout.name, value, layout.source, rows, levels, kind)
    if kind in _INVALID:
        return known
    attributes = regime.attributes(value, levels[0]) if kind in _LEAVES else None
    return Explanation(
        title=layout.name,
        value=value,
        source=layout.source,
        rows=rows,
        levels=levels,
        kind=kind,
        address=layout.address(value),
        size=regime.format.span(value, levels[0]) if kind in _LEAVES else None,
        attributes=attributes,
        notes=tuple(_notes(regime.format.name, kind, attributes)),
    )


def _notes(format_name: str, kind: Kind, attributes: Attributes | None) -> Iterator[str]:
    """What a leaf descriptor alone does not tell."""
    if attributes is None:
        return
    if attributes.memory == UNKNOWN:
        yield f"the memory type is what {_MEMORY_REGISTERS[format_name]} says: give it with --mair"
    if format_name == "vmsav8-64-stage2":
        yield "permissions are those that stage 2 allows to EL1 and EL0: stage 1 may take them away"
        yield "the memory type is that of HCR_EL2.FWB = 0, and stage 1 may lower it"
    elif format_name == "short":
        yield "permissions are those for SCTLR.AFE = 0 and a domain that is client in DACR"
        if kind is Kind.PAGE:
            yield "domain, PXN and NS are those of the table descriptor above"
    else:
        yield "tables above may take permissions away"
