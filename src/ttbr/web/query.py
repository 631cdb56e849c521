"""Parameters of a request: few, each once, and none longer than it can mean something."""

import re
from collections.abc import Mapping

from starlette.datastructures import QueryParams

from ttbr.errors import InputError

LONGEST = 1024
LARGEST = (1 << 64) - 1
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")


class BadRequest(InputError):
    """A request that cannot be understood."""


def parameters(query: QueryParams, known: Mapping[str, bool]) -> dict[str, str]:
    """Those given, by name; ``known`` says of each whether it is needed.

    `BadRequest` for a parameter that is unknown, given twice, too long or missing.
    """
    given: dict[str, str] = {}
    for name, value in query.multi_items():
        if name not in known:
            raise BadRequest(f"no parameter '{name[:40]}': there are {', '.join(known)}")
        if name in given:
            raise BadRequest(f"parameter {name} is given twice")
        if len(value) > LONGEST:
            raise BadRequest(f"parameter {name} is longer than {LONGEST} characters")
        given[name] = value
    for name, needed in known.items():
        if needed and name not in given:
            raise BadRequest(f"parameter {name} is missing")
    return given


def number(given: Mapping[str, str], name: str, otherwise: int = 0) -> int:
    """A number of at most 64 bits, 0x… or decimal; ``otherwise`` where it is left out."""
    text = given.get(name)
    if text is None:
        return otherwise
    value = -1
    if _NUMBER.fullmatch(text):
        value = int(text, 16 if text[:2].lower() == "0x" else 10)
    if not 0 <= value <= LARGEST:
        raise BadRequest(f"{name} is not a number of 64 bits (0x… or decimal)")
    return value
