"""The note that ttbr puts into a core which it saves: registers and facts, as JSON.

``{"version": 1, "registers": {"cpu0": {NAME: "0x…"}}, "arch": …, "release": …, "stage": …,
"page_offset": "0x…", "markers": [["0x…", name], …], "roots": {symbol: "0x…"},
"symbols": {symbol: "0x…"}}``; what is not known is missing.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ttbr.errors import InputError
from ttbr.memory.notes import Note
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.registers import number, parse_json, registers_in

NAME = "ttbr"
TYPE = 1
VERSION = 1
WHERE = "the core's note 'ttbr'"
ARCHITECTURES = ("arm64", "arm")


def image_note(image: Image) -> Note:
    """The note for the core of this image."""
    facts = image.facts
    content: dict[str, Any] = {
        "version": VERSION,
        "registers": {"cpu0": _hexadecimal(image.registers)},
        "arch": facts.arch,
        "release": facts.release,
        "stage": facts.stage,
        "page_offset": None if facts.page_offset is None else hex(facts.page_offset),
        "markers": [[hex(va), name] for va, name in facts.markers],
        "roots": _hexadecimal(facts.roots),
        "symbols": _hexadecimal(facts.symbols),
        "source": facts.source,
    }
    known = {key: value for key, value in content.items() if value not in (None, [], {}, "")}
    return Note(NAME, TYPE, json.dumps(known).encode())


def read_note(notes: Iterable[Note]) -> tuple[dict[str, int], ImageFacts]:
    """Registers and facts of the first such note; nothing without one. `InputError` if damaged."""
    note = next((note for note in notes if (note.name, note.type) == (NAME, TYPE)), None)
    if note is None:
        return {}, ImageFacts()
    content = parse_json(WHERE, note.data)
    if not isinstance(content, Mapping) or content.get("version") != VERSION:
        raise InputError(f"{WHERE} is not of version {VERSION}, which this ttbr reads")
    arch = _text(content, "arch")
    if arch not in (None, *ARCHITECTURES):
        raise InputError(f"{WHERE}: arch {arch!a} is not one of {', '.join(ARCHITECTURES)}")
    registers = registers_in(content, WHERE) if "registers" in content else {}
    page_offset = content.get("page_offset")
    return registers, ImageFacts(
        arch=arch,
        release=_text(content, "release"),
        stage=_text(content, "stage"),
        page_offset=None if page_offset is None else number(page_offset, f"{WHERE}: page_offset"),
        markers=_markers(content.get("markers", [])),
        symbols=_addresses(content, "symbols"),
        roots=_addresses(content, "roots"),
        source=_text(content, "source") or "",
    )


def _hexadecimal(values: Mapping[str, int]) -> dict[str, str]:
    return {name: hex(value) for name, value in values.items()}


def _text(content: Mapping[str, Any], key: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{WHERE}: {key} is no text")
    return value


def _addresses(content: Mapping[str, Any], key: str) -> dict[str, int]:
    value = content.get(key, {})
    if not isinstance(value, Mapping):
        raise InputError(f"{WHERE}: {key} is no object of names and addresses")
    return {name: number(text, f"{WHERE}: {key}: {name!a}") for name, text in value.items()}


def _markers(value: Any) -> tuple[tuple[int, str], ...]:
    if not isinstance(value, list):
        raise InputError(f"{WHERE}: markers is no list")
    for row in value:
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[1], str):
            raise InputError(f"{WHERE}: a marker is not [address, name]")
    return tuple((number(va, f"{WHERE}: marker {name!a}"), name) for va, name in value)
