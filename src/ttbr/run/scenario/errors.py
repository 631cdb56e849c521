"""What is wrong with a scenario, and where."""

from __future__ import annotations

from ttbr.errors import InputError, TtbrError


class BadScenario(InputError):
    """A scenario that cannot be run as it is written: ``SOURCE:LINE:COLUMN: what``."""

    def __init__(self, source: str, line: int, column: int, text: str) -> None:
        self.line, self.column, self.text = line, column, text
        super().__init__(f"{source}:{line}:{column}: {text}")


class StepFailed(TtbrError):
    """A command did not come to its end; what it had done until then is undone or accounted for.

    ``cause``: what stopped it. ``report``: the kernel's own words about it, line by line.
    """

    def __init__(
        self, source: str, line: int, cause: TtbrError, report: tuple[str, ...] = ()
    ) -> None:
        self.cause, self.report = cause, report
        super().__init__(f"{source}:{line}: {cause}")


class NotAsExpected(TtbrError):
    """An ``expect`` that does not hold, or a ``fails`` whose command did not fail."""
