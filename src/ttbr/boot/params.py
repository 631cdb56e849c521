"""The kernel command line: what it is, how it is cut, and the early parameters that move memory.

Sources: lib/cmdline.c (memparse, next_arg), kernel/params.c (parse_args), init/main.c
(do_early_param), drivers/of/fdt.c (early_init_dt_scan_chosen: CONFIG_CMDLINE).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ttbr.kernel.config import Config

COMMAND_LINE_SIZE = {"arm64": 2048, "arm": 1024}
"""Bytes of the kernel's buffer, the terminating NUL included (asm/setup.h)."""

_SUFFIX_SHIFTS = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
_NUMBER = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_SPACE = " \t\n\r\f\v\xa0"
_U64 = (1 << 64) - 1


def memparse(text: str) -> tuple[int, str]:
    """Read a size such as ``64M``, ``0x1000`` or ``010k``.

    Returns the number of bytes, wrapped to 64 bits, and the rest of the text. A text that begins
    with no number gives 0.
    """
    value, rest = leading_number(text)
    if rest[:1].upper() in _SUFFIX_SHIFTS and rest:
        value <<= _SUFFIX_SHIFTS[rest[0].upper()]
        rest = rest[1:]
    return value & _U64, rest


def leading_number(text: str) -> tuple[int, str]:
    """Read a number such as ``12``, ``0x1f`` or ``017``: its value, or 0, and the rest of the text.

    Source: lib/vsprintf.c: simple_strtoull.
    """
    found = _NUMBER.match(text)
    if found is None:
        return 0, text
    digits = found.groupdict()
    if digits["hex"]:
        value = int(digits["hex"], 16)
    elif digits["decimal"]:
        value = int(digits["decimal"])
    else:
        value = int(digits["octal"] or "0", 8)
    return value, text[found.end() :]


def kstrtobool(text: str | None) -> bool | None:
    """What a yes or a no means (lib/kstrtox.c: kstrtobool); None for what it refuses."""
    lowered = (text or "").lower()
    if lowered[:1] in ("y", "t", "1") or lowered[:2] == "on":
        return True
    if lowered[:1] in ("n", "f", "0") or lowered[:2] == "of":
        return False
    return None


def sizes_by_node(text: str, nodes: int) -> tuple[dict[int, int], str]:
    """Read ``node:size[,node:size…]`` as far as it goes: ({node: bytes}, the rest of the text).

    Source: mm/hugetlb.c: cmdline_parse_hugetlb_cma, kernel/dma/contiguous.c: early_numa_cma.
    ``nodes``: MAX_NUMNODES, which ends the reading at any greater node.
    """
    found: dict[int, int] = {}
    while number := re.match(r"\s*(\d+):", text):
        nid = int(number.group(1))
        if nid >= nodes:
            break
        found[nid], text = memparse(text[number.end() :])
        if not text.startswith(","):
            break
        text = text[1:]
    return found, text


def split_arguments(text: str) -> list[tuple[str, str | None]]:
    """Cut a command line into (name, value) pairs as the kernel does; value None without ``=``.

    Blanks between double quotes do not separate; quotes around a whole argument or around a whole
    value are dropped, others stay. Reading ends at a lone ``--``.
    """
    arguments: list[tuple[str, str | None]] = []
    rest = text.lstrip(_SPACE)
    while rest:
        name, value, rest = _next_argument(rest)
        if name == "--" and value is None:
            break
        arguments.append((name, value))
    return arguments


def _next_argument(text: str) -> tuple[str, str | None, str]:
    quoted = text.startswith('"')
    text = text[1:] if quoted else text
    inside = quoted
    equals = end = 0
    while end < len(text):
        char = text[end]
        if char in _SPACE and not inside:
            break
        if char == "=" and not equals:
            equals = end
        if char == '"':
            inside = not inside
        end += 1
    argument, rest = text[:end], text[end + 1 :].lstrip(_SPACE)
    value = argument[equals + 1 :] if equals else None
    name = argument[:equals] if equals else argument
    if value is not None and value.startswith('"'):
        value = value[1:]
        if value.endswith('"'):
            value = value[:-1]
    elif quoted and argument.endswith('"'):
        if value is None:
            name = name[:-1]
        else:
            value = value[:-1]
    return name, value, rest


def command_line(bootargs: str | None, config: Config, arch: str) -> str:
    """The command line that the kernel runs with: the device tree's and CONFIG_CMDLINE's."""
    size = COMMAND_LINE_SIZE[arch] - 1
    line = (bootargs or "")[:size]
    own = config.get("CMDLINE")
    if own is None:
        return line
    if config.enabled("CMDLINE_EXTEND"):
        return f"{line} {own}"[:size]
    if config.enabled("CMDLINE_FORCE") or not line:
        return own[:size]
    return line


@dataclass(frozen=True, slots=True)
class Params:
    """A command line, cut into arguments. Names match with ``-`` and ``_`` taken for the same."""

    text: str = ""
    arguments: tuple[tuple[str, str | None], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(split_arguments(self.text)))

    def all(self, name: str) -> list[str | None]:
        """The values of every argument of that name, in order."""
        wanted = name.replace("-", "_")
        return [value for key, value in self.arguments if key.replace("-", "_") == wanted]

    def last(self, name: str) -> str | None:
        """The last value given to a name; None if it never got one."""
        return next((value for value in reversed(self.all(name)) if value is not None), None)

    def given(self, name: str) -> bool:
        """Whether the name occurs at all."""
        return bool(self.all(name))

    @property
    def memblock_debug(self) -> bool:
        """Whether the kernel logs every memblock call (mm/memblock.c: early_memblock)."""
        return any(value is not None and "debug" in value for value in self.all("memblock"))

    @property
    def cma(self) -> tuple[int, int, int] | None:
        """``cma=size[@base[-limit]]`` as (size, base, limit), 0 for what is not given, or None.

        Source: kernel/dma/contiguous.c: early_cma; a base without a limit fixes the area there.
        """
        size: int | None = None
        base = limit = 0
        for text in self.all("cma"):
            if text is None:
                continue
            size, rest = memparse(text)
            if not rest.startswith("@"):
                continue
            base, rest = memparse(rest[1:])
            limit = memparse(rest[1:])[0] if rest.startswith("-") else base + size
        return None if size is None else (size, base, limit)
