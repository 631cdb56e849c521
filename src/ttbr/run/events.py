"""What the running kernel did, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that the running kernel did.

    ``kind``: what sort of thing, one word. ``function``: the kernel function that does it.
    ``detail``: in words. ``start``, ``end``: the first and the last byte it is about, physical or
    virtual as the kind says; both 0 where it is about none. ``values``: its figures by name.
    """

    kind: str
    function: str
    detail: str = ""
    start: int = 0
    end: int = 0
    values: Mapping[str, int | str | bool] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The event as JSON: addresses in hexadecimal."""
        return {
            "kind": self.kind,
            "function": self.function,
            "detail": self.detail,
            "start": f"{self.start:#x}",
            "end": f"{self.end:#x}",
            "values": dict(self.values),
        }


class RunLog(Sequence[RunEvent]):
    """The events since the kernel runs. Single page allocations are no events."""

    def __init__(self) -> None:
        self._events: list[RunEvent] = []

    def add(
        self,
        kind: str,
        function: str,
        detail: str = "",
        start: int = 0,
        end: int = 0,
        **values: int | str | bool,
    ) -> RunEvent:
        """Append an event, and return it."""
        event = RunEvent(kind, function, detail, start, end, values)
        self._events.append(event)
        return event

    def since(self, count: int) -> list[RunEvent]:
        """The events that came after the first ``count``."""
        return self._events[count:]

    @overload
    def __getitem__(self, index: int) -> RunEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[RunEvent]: ...
    def __getitem__(self, index: int | slice) -> RunEvent | list[RunEvent]:
        return self._events[index]

    def __iter__(self) -> Iterator[RunEvent]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)
