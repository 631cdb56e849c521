"""What happened to memory during the boot, in order: the list of events, and the kernel's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

RUNNING = "running"
"""The stage of messages that the kernel prints when the page allocator is long in charge."""
PRINTED = frozenset(
    {"memblock_add", "memblock_add_node", "memblock_remove", "memblock_reserve"}
    | {"memblock_phys_free"}
)
"""The kinds for which the kernel has a ``memblock=debug`` line (mm/memblock.c: memblock_dbg)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing done to memory.

    ``kind`` is the kernel function as its log names it (``memblock_reserve``, …), or ``map``.
    ``start`` and ``end`` are the first and the last byte as the kernel prints them: an end below
    the start belongs to a range that wraps around. ``function`` is the kernel function that asked
    for it, after inlining. ``logged``: a ``memblock=debug`` line of the kernel says so, too.
    ``detail``: what else there is to say; of an allocation, the kernel's line about the request.
    """

    kind: str
    start: int
    end: int
    function: str
    stage: str
    logged: bool
    detail: str = ""

    def as_dict(self) -> dict[str, object]:
        """The event as JSON: addresses in hexadecimal."""
        return {
            "kind": self.kind,
            "start": f"{self.start:#x}",
            "end": f"{self.end:#x}",
            "function": self.function,
            "stage": self.stage,
            "logged": self.logged,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Message:
    """A line of the kernel's log that the boot would print about memory.

    ``after``: how many events came before it. ``unknown``: what a ``?`` in the text stands for,
    where the inputs do not determine a figure.
    """

    text: str
    stage: str
    after: int = 0
    unknown: str = ""


class EventLog(Sequence[Event]):
    """The events so far. ``stage`` is put into new ones; ``printing``: memblock=debug is parsed."""

    def __init__(self) -> None:
        self.stage = "handoff"
        self.printing = False
        self.messages: list[Message] = []
        self._events: list[Event] = []

    def add(self, kind: str, start: int, end: int, function: str, detail: str = "") -> None:
        """Append an event of the current stage; ``end`` is inclusive, see `Event`."""
        logged = self.printing and kind in PRINTED
        self._events.append(Event(kind, start, end, function, self.stage, logged, detail))

    def say(self, text: str, *, unknown: str = "", stage: str | None = None) -> None:
        """Append a message that the kernel prints.

        ``unknown``: see `Message`. ``stage``: when it is printed, if that is later than now.
        """
        self.messages.append(Message(text, stage or self.stage, len(self._events), unknown))

    def in_order(self) -> Iterator[Event | Message]:
        """Events and messages together, as they came."""
        messages = iter(self.messages)
        message = next(messages, None)
        for index, event in enumerate(self._events):
            while message is not None and message.after <= index:
                yield message
                message = next(messages, None)
            yield event
        while message is not None:
            yield message
            message = next(messages, None)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)
