"""A scenario as it runs, as text and as JSON."""

from __future__ import annotations

from typing import Any

from ttbr.report.hostile import visible
from ttbr.run.events import RunEvent
from ttbr.run.mm.process import Process
from ttbr.run.scenario import Step

EVENT_INDENT, OUTPUT_INDENT = "    ", "  "


def step_lines(step: Step) -> list[str]:
    """A command with its result, the events that it caused, and what it prints."""
    head = f"{step.line.number}: {step.line.text.strip()}"
    result = spoken(step.result)
    lines = [f"{head}  →  {result}" if result else head]
    lines += [EVENT_INDENT + event_line(event) for event in step.events]
    lines += [OUTPUT_INDENT + line for line in step.output]
    return [visible(line, "\t") for line in lines]


def event_line(event: RunEvent) -> str:
    """An event: kind, function, addresses, words, and the figures that the words leave out."""
    where = ""
    if event.start or event.end:
        where = f" {event.start:#x}"
        if event.end > event.start:
            where += f"-{event.end:#x}"
    detail = f": {event.detail}" if event.detail else ""
    return f"[{event.kind}] {event.function}{where}{detail}"


def spoken(result: object) -> str:
    """A result in words; empty for none."""
    if isinstance(result, Process):
        return f"process {result.pid}"
    return f"{result:#x}" if isinstance(result, int) else ""


def step_json(step: Step) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "line": step.line.number,
        "command": step.line.text.strip(),
        "result": spoken(step.result) or None,
        "events": [event.as_dict() for event in step.events],
        "output": list(step.output),
    }
