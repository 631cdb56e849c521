"""The kernel's log about memory, as this boot would print it: without timestamps."""

import re
from collections.abc import Iterator

from ttbr.boot.events import Message
from ttbr.boot.machine import Machine
from ttbr.report.hostile import visible

REQUEST = re.compile(r"memblock_\w*alloc\w*: \d+ bytes align=")
OFFSETS = "+?/?"
WHERE = "how far in the function the call is, and how long the function"


def dmesg(machine: Machine) -> Iterator[tuple[str, str]]:
    """(line, what a ``?`` in it stands for) in the kernel's order; the second mostly empty.

    With ``memblock=debug`` every call of memblock is a line, and a request for memory one more.
    """
    pa = machine.memblock.pa
    for entry in machine.log.in_order():
        if isinstance(entry, Message):
            for line in entry.text.split("\n"):
                request = REQUEST.match(line)  # one that was in vain
                yield (
                    visible(line, "\t") + OFFSETS * bool(request),
                    entry.unknown or WHERE * bool(request),
                )
        elif entry.logged:
            if entry.detail:
                yield entry.detail + OFFSETS, WHERE
            span = f"{pa(entry.start)}-{pa(entry.end)}"
            yield f"{entry.kind}: [{span}] {entry.function}{OFFSETS}", WHERE


def dmesg_json(machine: Machine) -> list[dict[str, str]]:
    """The same as JSON: ``text``, and ``unknown`` where a part of it is not determined."""
    return [
        {"text": text, "unknown": unknown} if unknown else {"text": text}
        for text, unknown in dmesg(machine)
    ]
