"""Register values that a user or a recorder wrote down."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttbr.arch.registers import REGISTERS, known_registers, register_name
from ttbr.errors import InputError
from ttbr.kernel.cpu import IDENTIFICATION
from ttbr.memory.raw import names_file, open_regular
from ttbr.recover.prstatus import GENERAL

LIMIT = 1 << 24  # bytes of a registers file; one has a few KiB
NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")
LARGEST = (1 << 64) - 1


def read_registers(text: str) -> dict[str, int]:
    """The registers in ``text``: the name of a JSON file, or ``NAME=VALUE,NAME=VALUE``.

    The file has ``{"cpu0": {NAME: VALUE, …}}``, as recordings do, or such an object as the
    "registers" of a stage, or the plain ``{NAME: VALUE, …}``. Names that debuggers use become
    architectural ones. Of names that ttbr does not know, those in a file stay, others are refused.
    `InputError` names the register.
    """
    if "=" in text and not names_file(text):
        return _listed(text)
    with open_regular(Path(text)) as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise InputError(f"{text}: more than {LIMIT} bytes cannot be a file of registers")
    return registers_in(parse_json(text, content), text)


def registers_in(value: Any, where: str) -> dict[str, int]:
    """The registers of the first CPU in a JSON object; ``where`` it was is for errors."""
    for key in ("registers", "cpu0"):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
    if not isinstance(value, Mapping):
        raise InputError(f'{where}: no registers in it, which are {{"cpu0": {{"NAME": "0x…"}}}}')
    return _known(
        {name: number(text, f"register {_printed(name)}") for name, text in value.items()}, where
    )


def number(value: Any, what: str) -> int:
    """A number of at most 64 bits, as JSON has it or as 0x… or decimal text."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = int(value, 16 if value[:2].lower() == "0x" else 10)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise InputError(f"{what}: {value!r} is not a number of 64 bits (0x… or decimal)")
    return value


def parse_json(where: str, content: bytes) -> Any:
    """The value in a JSON text; `InputError` if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from error


def _listed(text: str) -> dict[str, int]:
    registers: dict[str, int] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not name or not equals:
            raise InputError(f"registers: '{_printed(item)}' is not NAME=VALUE")
        if name in registers:
            raise InputError(f"registers: {_printed(name)} is given twice")
        known = register_name(name) in REGISTERS or name in GENERAL
        if not known and not name.startswith(IDENTIFICATION):
            raise InputError(f"registers: '{_printed(name)}' is no register that ttbr knows")
        registers[name] = number(value, f"register {_printed(name)}")
    return _known(registers, "registers")


def _printed(name: str) -> str:
    """A name from a file, for an error of one line."""
    return name if name.isprintable() else ascii(name)


def _known(registers: dict[str, int], where: str) -> dict[str, int]:
    try:
        return known_registers(registers)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
