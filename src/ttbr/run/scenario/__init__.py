"""Scenarios: what a running kernel is to do, as text, one command a line (docs/scenarios.md)."""

from ttbr.run.scenario.errors import BadScenario, NotAsExpected, StepFailed
from ttbr.run.scenario.language import Line, parse, parse_line
from ttbr.run.scenario.session import Outside, Session, Step

__all__ = [
    "BadScenario",
    "Line",
    "NotAsExpected",
    "Outside",
    "Session",
    "Step",
    "StepFailed",
    "parse",
    "parse_line",
]
