"""One translation: every step of the walk as text or JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from ttbr.format import address, size
from ttbr.mmu.translation import Step
from ttbr.recover.translate import Answer


def translation_json(found: Answer) -> dict[str, Any]:
    """The answer as JSON values: addresses in hex, ``pa`` null where nothing maps the address.

    What only Linux knows is in ``linux`` beside the hardware's ``fault``; a page that is present
    for it has ``pa``.
    """
    answer, linux = found.hardware, found.linux
    fault = answer.fault
    return {
        "va": hex(answer.va),
        "pa": None if found.pa is None else hex(found.pa),
        "fault": None if fault is None else str(fault.kind),
        "level": answer.level if fault is None else fault.level,
        "text": None if fault is None else fault.text,
        "size": answer.size,
        "attributes": None if answer.attributes is None else answer.attributes.as_dict(),
        "linux": None
        if linux is None
        else {
            "pa": None if linux.pa is None else hex(linux.pa),
            "reason": linux.kind,
            "entry": hex(linux.entry),
            "address": hex(linux.address),
            "swap_type": linux.swap_type,
            "swap_offset": linux.swap_offset,
            "flags": list(linux.flags),
        },
        "steps": [_step_json(step) for step in answer.steps],
    }


def print_translation(out: Console, found: Answer, *, steps: bool) -> None:
    """The answer in one line, with ``steps`` preceded by the walk."""
    if steps:
        for step in found.hardware.steps:
            _print_step(out, step)
    for line in answer_lines(found):
        out.print(line)


def answer_lines(found: Answer) -> Iterator[str]:
    """Where the address leads, or the fault, and what only Linux knows, a line each."""
    answer = found.hardware
    va = address(answer.va, 64 if answer.va >> 32 else 32)
    if answer.fault is not None:
        level = "" if answer.fault.level is None else f", level {answer.fault.level}"
        yield f"{va}: {answer.fault.kind} fault{level}: {answer.fault.text}"
    if found.linux is not None:
        yield f"{va}: {found.linux}"
    if answer.pa is not None and answer.attributes is not None:
        yield (
            f"{va} -> {answer.pa:#x}  level {answer.level}, {size(answer.size)}  "
            f"{answer.attributes.summary()}"
        )


def _print_step(out: Console, step: Step) -> None:
    out.print(
        f"level {step.level}: table {step.table:#x} [{step.index}] at {step.address:#x}: "
        f"{step.descriptor:#x} {step.kind.name.lower()}"
    )
    for row in step.fields:
        out.print(f"    {row.bits:>8} {row.name:<24} {row.value:#x}  {row.text}".rstrip())


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "level": step.level,
        "table": hex(step.table),
        "index": step.index,
        "address": hex(step.address),
        "descriptor": hex(step.descriptor),
        "kind": step.kind.name.lower(),
        "fields": [
            {
                "name": row.name,
                "high": row.high,
                "low": row.low,
                "value": hex(row.value),
                "text": row.text,
            }
            for row in step.fields
        ],
    }
