"""What the spaces of a document have in common, each once: field tables, regimes, attributes.

The page decodes descriptors by these: the rules are declared in `ttbr.arch` alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ttbr.arch.attributes import Attributes
from ttbr.arch.fields import Layout
from ttbr.arch.format import Kind
from ttbr.arch.regime import Level, TranslationRegime
from ttbr.format import hex_value
from ttbr.mmu.attribute_table import AttributeTable
from ttbr.report.view.columns import Head

_ALL = (1 << 64) - 1
_TYPES = range(4)
_WIDE = "supersection"


class Catalogue:
    """Numbers what is entered; equal things have one number."""

    def __init__(self) -> None:
        self._layouts: dict[Layout, int] = {}
        self._regimes: dict[TranslationRegime, int] = {}
        self._regime_heads: list[Head] = []
        self._meanings: dict[Attributes, int] = {}
        self._keys: list[dict[tuple[int, int, int], tuple[int, int]]] = []

    def layout(self, layout: Layout) -> int:
        """The number of a field table."""
        return self._layouts.setdefault(layout, len(self._layouts))

    def regime(self, regime: TranslationRegime) -> int:
        """The number of a regime."""
        if regime not in self._regimes:
            self._regimes[regime] = len(self._regimes)
            self._keys.append({})
            self._regime_heads.append(self._regime(regime))
        return self._regimes[regime]

    def meanings(self, table: AttributeTable) -> Sequence[int]:
        """The numbers of the attributes of a table, by its index."""
        keys = self._keys[self.regime(table.regime)]
        numbers = [self.meaning(value) for value in table.values]
        for key, number, span in zip(table.keys, numbers, table.spans.tolist(), strict=True):
            keys[key] = number, span
        return numbers

    def meaning(self, attributes: Attributes) -> int:
        """The number of some attributes."""
        return self._meanings.setdefault(attributes, len(self._meanings))

    def as_json(self) -> Head:
        """All of it; called when nothing more is to be entered."""
        regimes = [
            head
            | {
                "attributes": [
                    [hex_value(bits), level, limits, number, span]
                    for (bits, level, limits), (number, span) in keys.items()
                ]
            }
            for head, keys in zip(self._regime_heads, self._keys, strict=True)
        ]
        return {
            "layouts": [layout_json(layout) for layout in self._layouts],
            "regimes": regimes,
            "meanings": [
                {
                    "summary": value.summary(),
                    "exception_levels": list(value.exception_levels),
                    "permissions": [value.permissions(el) for el in value.exception_levels],
                    **value.as_dict(),
                }
                for value in self._meanings
            ],
        }

    def _regime(self, regime: TranslationRegime) -> Head:
        return {
            "format": regime.format.name,
            "entry_size": regime.format.entry_size,
            "ttbr": regime.ttbr,
            "root_register": regime.root_register,
            "base": hex_value(regime.base),
            "first": hex_value(regime.first),
            "last": hex_value(regime.last),
            "input_bits": regime.input_bits,
            "output_bits": regime.output_bits,
            "fault_level": regime.fault_level,
            "tbi": regime.tbi,
            "exception_levels": list(regime.controls.exception_levels),
            "hpd": regime.controls.hpd,
            "unknown": list(regime.unknown),
            "levels": [self._level(regime, level) for level in regime.levels],
        }

    def _level(self, regime: TranslationRegime, level: Level) -> Head:
        fmt, number = regime.format, level.number
        return {
            "number": number,
            "shift": level.shift,
            "bits": level.bits,
            "forms": [self._form(regime, level, *form) for form in _forms(regime, level)],
            "limits": [
                [bit, hex_value(limit)]
                for bit in range(fmt.entry_size * 8)
                if (limit := int(fmt.limits(_words(1 << bit), number)[0]))
            ]
            if number != fmt.last_level
            else [],
        }

    def _form(self, regime: TranslationRegime, level: Level, mask: int, value: int) -> Head:
        fmt, number = regime.format, level.number
        kind = Kind(int(fmt.kinds(_words(value), number)[0]))
        form: Head = {
            "mask": hex_value(mask),
            "value": hex_value(value),
            "kind": kind.name.lower(),
            "layout": self.layout(fmt.layout(value, number)),
        }
        if kind in (Kind.BLOCK, Kind.PAGE):
            form["offset_mask"] = hex_value(
                int(fmt.output_address(_words(value), number, _words(_ALL))[0])
            )
            form["attribute_mask"] = hex_value(
                int(fmt.attribute_bits(_words(_every(mask, value, fmt.entry_size)), number)[0])
            )
        return form


def layout_json(layout: Layout) -> Head:
    """A field table."""
    return {
        "name": layout.name,
        "width": layout.width,
        "source": layout.source,
        "fields": [
            {
                "name": field.name,
                "high": field.high,
                "low": field.low,
                "meaning": field.meaning,
                "values": {str(value): said for value, said in field.values.items()},
            }
            for field in layout.fields
        ],
        "address": [list(piece) for piece in layout.address_pieces],
    }


def _forms(regime: TranslationRegime, level: Level) -> list[tuple[int, int]]:
    """(mask, value) of the bits that tell the forms of a level's descriptors; the first counts.

    That is their type, and of sections whether they are supersections.
    """
    found = []
    for value in _TYPES:
        layout = regime.format.layout(value, level.number)
        if _WIDE in layout.by_name:
            wide = layout.by_name[_WIDE].mask
            found.append((3 | wide, value | wide))
        found.append((3, value))
    return found


def _every(mask: int, value: int, entry_size: int) -> int:
    """The descriptor of a form that has every other bit set."""
    return value | ((1 << 8 * entry_size) - 1) & ~mask


def _words(value: int) -> Any:
    return np.array([value], np.uint64)
