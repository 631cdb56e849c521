"""``crashkernel=``: what a command line asks for, by the rules of the kernel's own reader.

Source: 6.1 kernel/crash_core.c (__parse_crashkernel and what it calls). The kernel searches the
text of the line, not its arguments; so does this.
"""

from __future__ import annotations

from enum import StrEnum

from ttbr.boot.params import memparse

NAME = "crashkernel="
ROUNDED = 128 << 20  # RAM is rounded up to this before ranges are compared
NO_END = (1 << 64) - 1


class Suffix(StrEnum):
    """What an argument ends in that asks for memory of one kind only."""

    HIGH = ",high"
    LOW = ",low"


class BadCrashkernel(ValueError):
    """The kernel would not understand the argument (-EINVAL)."""


def parse_crashkernel(line: str, system_ram: int) -> tuple[int, int] | None:
    """(size, base) in bytes that the last ``crashkernel=`` without suffix asks for.

    ``base`` is 0 unless it was given; ``system_ram``: bytes of memory, which the form with ranges
    depends on. None without such an argument; `BadCrashkernel` for one that the kernel refuses.
    """
    found = _last(line, None)
    if found is None:
        return None
    if ":" in found.partition(" ")[0]:
        return _by_ranges(found, -(-system_ram // ROUNDED) * ROUNDED)
    size, rest = _number(found)
    if rest.startswith("@"):
        return size, memparse(rest[1:])[0]
    if rest[:1] not in ("", " "):
        raise BadCrashkernel(found)
    return size, 0


def parse_crashkernel_suffix(line: str, suffix: Suffix) -> int | None:
    """Bytes that the last ``crashkernel=`` with a suffix asks for, or None without one.

    `BadCrashkernel` for one that the kernel refuses.
    """
    found = _last(line, suffix)
    if found is None:
        return None
    size, rest = _number(found)
    if not rest.startswith(suffix) or rest[len(suffix) :][:1] not in ("", " "):
        raise BadCrashkernel(found)
    return size


def _last(line: str, suffix: Suffix | None) -> str | None:
    """The line behind the last ``crashkernel=`` whose argument ends in the suffix, or in none."""
    found = None
    at = line.find(NAME)
    while at >= 0:
        argument = line[at:].partition(" ")[0]
        wanted = argument.endswith(suffix) if suffix else not argument.endswith(tuple(Suffix))
        if wanted:
            found = line[at + len(NAME) :]
        at = line.find(NAME, at + 1)
    return found


def _by_ranges(text: str, ram: int) -> tuple[int, int]:
    """``parse_crashkernel_mem``: START-[END]:SIZE[,…][@BASE]; the first range with ``ram`` counts.

    No size if none has it.
    """
    while True:
        start, text = _number(text)
        text = _behind("-", text)
        end = NO_END
        if not text.startswith(":"):
            end, text = _number(text)
            if end <= start:
                raise BadCrashkernel(text)
        size, text = _number(_behind(":", text))
        if size >= ram:
            raise BadCrashkernel(text)
        if start <= ram < end:
            break
        if not text.startswith(","):
            return 0, 0
        text = text[1:]
    if not size:
        return 0, 0
    _, at, base = text.partition(" ")[0].partition("@")
    return size, _number(base)[0] if at else 0


def _behind(character: str, text: str) -> str:
    if not text.startswith(character):
        raise BadCrashkernel(text)
    return text[1:]


def _number(text: str) -> tuple[int, str]:
    """A size and the rest; `BadCrashkernel` if there is none."""
    value, rest = memparse(text)
    if rest == text:
        raise BadCrashkernel(text)
    return value, rest
