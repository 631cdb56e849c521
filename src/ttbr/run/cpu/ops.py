"""A sequence of TLB maintenance operations with the barriers around it, as one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttbr.run.events import RunLog


class Ops:
    """Operations between barriers. ``before``: the barriers that come first."""

    def __init__(self, before: str) -> None:
        self._before = before
        self._counts: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> Ops:
        """Count more operations of a kind."""
        self._counts[name] = self._counts.get(name, 0) + count
        return self

    def log(
        self,
        log: RunLog,
        function: str,
        after: str,
        start: int = 0,
        end: int = 0,
        **values: int,
    ) -> None:
        """Append the event: how many of which operations, and the barriers, in order."""
        tlbi = "; ".join(f"tlbi {name} × {count}" for name, count in self._counts.items())
        detail = "; ".join(part for part in (self._before, tlbi, after) if part)
        log.add("tlb", function, detail, start, end, **values, **self._counts)
