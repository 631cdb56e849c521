"""Two boots held against each other: what a change of board, kernel or command line changes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from rich.console import Console

from ttbr.boot.boot import Boot
from ttbr.format import size
from ttbr.mmu.regions import kernel_mappings
from ttbr.report.boot import boot_json
from ttbr.report.diff import KERNEL, diff_images
from ttbr.report.hostile import shown
from ttbr.report.overview import overview

SHOWN = 40  # changes that the text form lists per section; JSON has them all

# Section of a boot's JSON → the field by which a row in both is known to be the same thing.
IDENTITY = {"physical": "what", "virtual": "name", "linear_map": "kind", "cma": "name"}


@dataclass(frozen=True, slots=True)
class Change:
    """What A has and B has in its place; None on the side that has nothing."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two boots compared: changes by section, sections without any left out."""

    sections: dict[str, list[Change]]

    @property
    def identical(self) -> bool:
        """Nothing differs."""
        return not self.sections

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "identical": self.identical,
            "sections": {
                name: [{"key": change.key, "a": change.a, "b": change.b} for change in changes]
                for name, changes in self.sections.items()
            },
        }


def compare_boots(a: Boot, b: Boot) -> Comparison:
    """Everything that `ttbr boot` tells of A and of B, each at the last stage that it reached."""
    sections: dict[str, list[Change]] = {}
    documents = [
        boot_json(one, one.stages[-1], events=False)
        | {"overview": overview(one, one.stages[-1]).as_json()}
        for one in (a, b)
    ]
    first, second = (_flat(document) for document in documents)
    for name in [*first, *(name for name in second if name not in first)]:
        changes = _changes(name, first.get(name), second.get(name))
        if changes:
            sections[name] = changes
    mapped = _mapped_differently(a, b)
    if mapped:
        sections["kernel_mappings"] = mapped
    return Comparison(sections)


def _mapped_differently(a: Boot, b: Boot) -> list[Change]:
    """Virtual ranges that the kernels' tables map to other memory, otherwise, or on one side only.

    What regions and their sizes don't show: permissions, memory types, where it all lies.
    """
    first, second = (boot.images[boot.stages[-1]] for boot in (a, b))
    if kernel_mappings(first) is None or kernel_mappings(second) is None:
        return []
    (root,) = diff_images(first, second, [], [KERNEL]).as_json()["roots"]
    return [
        Change(f"{row['va']}-{row['last']}", _mapping(row, "a"), _mapping(row, "b"))
        for row in root["differences"]
    ]


def _mapping(row: dict[str, Any], side: str) -> dict[str, Any] | None:
    """One side of a range: where it is, what it is called, and what of it differs."""
    mine, other = row[side], row["b" if side == "a" else "a"]
    if mine is None:
        return None
    shown = {"region": row["region"], "pa": mine["pa"], "level": mine["level"]}
    if other is None:
        return shown
    return shown | {
        name: value
        for name, value in mine["attributes"].items()
        if value != other["attributes"].get(name)
    }


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the overview's parts as sections; its numbers are those of memory."""
    inside = document.pop("overview")
    numbers = {key: value for key, value in inside.items() if isinstance(value, int)}
    more = {key: value for key, value in inside.items() if not isinstance(value, int)}
    return {"memory": numbers, **more, **document}


def _changes(name: str, a: Any, b: Any) -> list[Change]:
    if a == b:
        return []
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        return [Change(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]
    if isinstance(a, list) and isinstance(b, list):
        return _of_rows(a, b, IDENTITY.get(name))
    return [Change("", a, b)]


def _of_rows(a: list[Any], b: list[Any], identity: str | None) -> list[Change]:
    """Rows that only one side has, in order; those that are the same thing as one change."""
    first, second = ([json.dumps(row, sort_keys=True) for row in rows] for rows in (a, b))
    changes: list[Change] = []
    for what, i, j, k, m in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if what != "equal":
            changes += _paired(a[i:j], b[k:m], identity)
    return _joined(changes, identity)


def _paired(a: Sequence[Any], b: Sequence[Any], identity: str | None) -> list[Change]:
    return [Change(_name(row, identity), row, None) for row in a] + [
        Change(_name(row, identity), None, row) for row in b
    ]


def _name(row: Any, identity: str | None) -> str:
    return str(row.get(identity, "")) if identity and isinstance(row, dict) else ""


def _joined(changes: list[Change], identity: str | None) -> list[Change]:
    """Where one row of A and one of B bear a name, one change of both, at the place of A's."""
    if identity is None:
        return changes
    gone = [change for change in changes if change.b is None]
    come = [change for change in changes if change.a is None]
    unique = {
        name
        for name in {change.key for change in gone} & {change.key for change in come}
        if sum(c.key == name for c in gone) == 1 and sum(c.key == name for c in come) == 1
    }
    partners = {change.key: change.b for change in come if change.key in unique}
    return [
        Change(change.key, change.a, partners.get(change.key)) if change.b is None else change
        for change in changes
        if change.a is not None or change.key not in unique
    ]


def print_against(out: Console, result: Comparison) -> None:
    """The comparison as text: a heading a section, ``-`` before what A has, ``+`` before B's."""
    if result.identical:
        out.print("identical")
    for name, changes in result.sections.items():
        out.print(name.replace("_", " ").upper(), style="bold")
        for change in changes[:SHOWN]:
            for sign, value in (("-", change.a), ("+", change.b)):
                if value is not None:
                    out.print(f"{sign} {_words(change.key, value)}", soft_wrap=True)
        if len(changes) > SHOWN:
            out.print(f"… and {len(changes) - SHOWN} more (--json lists them all)")
        out.print()


def _words(key: str, value: Any) -> str:
    """A row in one line."""
    if not isinstance(value, dict):
        text = _amount(key, value)
        return f"{shown(key)}: {text}" if key else text
    parts = dict(value)
    start, last = parts.pop("start", None), parts.pop("last", None)
    span = "-".join(edge for edge in (start, last) if edge)
    span = f"{span}  " if span else ""
    own = "  ".join(
        f"{name} {_amount(name, item)}"
        for name, item in parts.items()
        if item not in ("", key, False)
        and not (span and name == "size")
        and not isinstance(item, list)  # what is in it is a section of its own
    )
    return f"{span}{shown(key) + '  ' if key else ''}{own}".rstrip()


def _amount(name: str, value: Any) -> str:
    """A value in words: bytes as a size."""
    if isinstance(value, int) and name.endswith(("bytes", "size")) and value is not True:
        return size(value)
    return shown(value) if isinstance(value, str) else json.dumps(value)
