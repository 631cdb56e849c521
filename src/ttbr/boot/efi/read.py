"""Reading the firmware's part from a file: JSON, the descriptors as they are, or a boot log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ttbr.boot.efi.boot_log import firmware_in
from ttbr.boot.efi.firmware import TABLES, Firmware
from ttbr.boot.efi.memory_map import Descriptor, decode_map, parse_attribute, parse_type
from ttbr.errors import InputError
from ttbr.kernel.textfile import read_start

LIMIT = 64 << 20  # bytes; logs are the longest
KEYS = ("memory_map", "memmap", "desc_size", "system_table", "tables")


def read_firmware(path: str | Path, stride: int | None = None) -> Firmware:
    """What a file says of the firmware; gzip, xz and zstd are taken off.

    Args:
        path: JSON (``{"memory_map": […], …}`` or the list alone), the descriptors' bytes as
            firmware or kernel have them, or a kernel log with ``efi=debug``.
        stride: bytes from one descriptor to the next, which bytes alone may not tell.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    data = read_start(path, LIMIT + 1, LIMIT)
    try:
        if len(data) > LIMIT:
            raise InputError(f"more than {LIMIT >> 20} MiB, so no memory map and no log")
        text = data.decode("utf-8", "replace")
        start = text.lstrip()[:1]
        if b"\0" in data[:4096] and "efi:" not in text:
            descriptors, size = decode_map(data, stride)
            return Firmware(tuple(descriptors), stride=size)
        if start in ("{", "["):
            try:
                return _described(json.loads(text))
            except (ValueError, RecursionError):
                if "efi: " not in text:  # a log's lines begin with a bracket, too
                    raise InputError("neither JSON nor a kernel log with efi=debug") from None
        return firmware_in(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _described(document: Any) -> Firmware:
    """The firmware in a JSON document."""
    if isinstance(document, list):
        document = {"memory_map": document}
    if not isinstance(document, dict) or not isinstance(document.get("memory_map"), list):
        raise InputError('no list "memory_map" of {"type", "phys", "pages", "attribute"}')
    strange = sorted(set(document) - set(KEYS))
    if strange:
        raise InputError(f"{strange[0][:40]!r} is not known: keys are {', '.join(KEYS)}")
    tables = document.get("tables", {})
    if not isinstance(tables, dict) or not set(tables) <= set(TABLES):
        raise InputError(f'"tables" has other names than {", ".join(TABLES)}')
    return Firmware(
        memory_map=tuple(
            _descriptor(entry, number) for number, entry in enumerate(document["memory_map"])
        ),
        memmap=_optional(document, "memmap"),
        stride=_number(document.get("desc_size", 48), "desc_size"),
        tables={name: _ranges(value, name) for name, value in tables.items()},
        system_table=_optional(document, "system_table"),
    )


def _descriptor(entry: Any, number: int) -> Descriptor:
    where = f"memory_map[{number}]"
    if not isinstance(entry, dict) or not {"type", "phys", "pages", "attribute"} <= set(entry):
        raise InputError(f'{where} has no "type", "phys", "pages" and "attribute"')
    return Descriptor(
        kind=parse_type(str(entry["type"])),
        phys=_number(entry["phys"], where),
        pages=_number(entry["pages"], where),
        attribute=parse_attribute(str(entry["attribute"])),
        virt=_number(entry.get("virt", 0), where),
    )


def _ranges(value: Any, name: str) -> tuple[tuple[int, int], ...]:
    """One range or a list of them, each ``{"phys": …, "size": …}``."""
    entries = value if isinstance(value, list) else [value]
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"phys", "size"} <= set(entry):
            raise InputError(f'tables: {name} has no "phys" and "size"')
        found.append((_number(entry["phys"], name), _number(entry["size"], name)))
    return tuple(found)


def _optional(document: dict[str, Any], key: str) -> int | None:
    return _number(document[key], key) if document.get(key) is not None else None


def _number(value: Any, where: str) -> int:
    """A JSON number, or a string such as ``0x40000000``, of 64 bits; `InputError`."""
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 64:
        raise InputError(f"{where}: {str(value)[:40]!r} is no number of 64 bits")
    return number
