"""Where the parts of a raw file belong: a JSON file of banks beside it, ``FILE@BANKS.json``.

For dumps that have their banks one behind the other and no header: of boot loaders, of Android's
and embedded crash handlers, LiME's ``raw``. The file is a list of ``{"base": …, "size": …}``, or an
object with that list as ``"banks"``; numbers are 0x… or decimal, as text or as JSON numbers.
``"offset"`` is where a bank begins in FILE, without it behind the bank before. Banks with a
``"file"`` of another name are of another file. ``ram.json`` of a recording is such a list.
"""

import json
import re
from pathlib import Path
from typing import Any

from ttbr.errors import InputError
from ttbr.memory.banked import Piece
from ttbr.memory.raw import Content, open_regular

SUFFIX = ".json"
LIMIT = 1 << 24  # bytes of a sidecar
MOST_BANKS = 1 << 16
NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")


def read_sidecar(content: Content, sidecar: Path) -> list[Piece]:
    """The banks of a raw file. `InputError` if one is not in the file, or there are none."""
    pieces: list[Piece] = []
    behind = 0
    for entry in _entries(sidecar):
        where = f"{sidecar}: bank {len(pieces)}"
        if not isinstance(entry, dict):
            raise InputError(f'{where} is not {{"base": …, "size": …}}')
        named = entry.get("file", Path(content.name).name)
        if named != Path(content.name).name:
            continue
        base, size = _number(entry, "base", where), _number(entry, "size", where)
        offset = _number(entry, "offset", where) if "offset" in entry else behind
        behind = offset + size
        if not size or base + size > 1 << 64:
            raise InputError(f"{where}: {size:#x} bytes at {base:#x} are no bank of memory")
        if behind > content.size:
            raise InputError(
                f"{where}: ends {behind - content.size:#x} bytes behind {content.name}"
            )
        pieces.append(Piece(base, size, content.data[offset:behind]))
    if not pieces:
        raise InputError(f"{sidecar}: no bank of {Path(content.name).name} in it")
    return pieces


def _entries(sidecar: Path) -> list[Any]:
    """The list of banks."""
    with open_regular(sidecar) as file:
        text = file.read(LIMIT + 1)
    if len(text) > LIMIT:
        raise InputError(f"{sidecar}: more than {LIMIT} bytes cannot be a list of banks")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{sidecar}: not JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get("banks")
    if not isinstance(value, list) or len(value) > MOST_BANKS:
        raise InputError(f"{sidecar}: not a list of at most {MOST_BANKS} banks")
    return value


def _number(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return int(value, 16 if value[:2].lower() == "0x" else 10)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{where}: {key} is {value!r}, not a number (0x… or decimal)")
    return value
