"""A boot: the machine at each of its stages, and what happened in between."""

from ttbr.boot.boot import Boot
from ttbr.report.view.columns import Head, text
from ttbr.report.view.machines import Pen, held_roots, machine_json
from ttbr.report.view.physical import free_table, of_boot


def boot_json(pen: Pen, result: Boot) -> tuple[list[Head], Head]:
    """The machine at each stage; and the boot's events, messages, and what it does not know."""
    machine, stages = result.machine, []
    for stage in result.stages:
        pen.progress(stage)
        image, done = result.images[stage], stage == result.stages[-1]
        free = None
        if done and machine.handed_over is not None:
            blocks = machine.handed_over.free
            free = free_table(pen.body, blocks.pfn, blocks.order, machine.kernel.page_size)
        roots = held_roots(image)
        stages.append(machine_json(pen, image, roots, of_boot(result, done=done), free))
    return stages, {
        "board": machine.board.model or None,
        "kernel": machine.kernel.name,
        "release": str(machine.kernel.release),
        "loader": machine.placement.loader,
        "command_line": machine.params.text,
        "events": _events(pen, result),
        "messages": _messages(pen, result),
        "failure": None if result.failure is None else str(result.failure),
        "unknown": list(machine.unknowns),
    }


def _events(pen: Pen, result: Boot) -> Head:
    """The events in order; an ``end`` below the start belongs to a range that wraps around."""
    body, events = pen.body, result.events
    names: dict[str, dict[str, int]] = {"kind": {}, "function": {}, "stage": {}, "detail": {}}
    codes: dict[str, list[int]] = {name: [] for name in names}
    for event in events:
        for name, known in names.items():
            codes[name].append(known.setdefault(getattr(event, name), len(known)))
    return body.table(
        len(events),
        {
            "start": body.integers([event.start % (1 << 64) for event in events], "word"),
            "end": body.integers([event.end % (1 << 64) for event in events], "word"),
            **{
                name: {**body.integers(codes[name], "code"), "values": text(list(known))["values"]}
                for name, known in names.items()
            },
        },
    )


def _messages(pen: Pen, result: Boot) -> Head:
    """The kernel's lines; ``after``: how many events came before each."""
    messages = result.events.messages
    return pen.body.table(
        len(messages),
        {
            "after": pen.body.integers([message.after for message in messages]),
            "text": text([message.text for message in messages]),
            "stage": text([message.stage for message in messages]),
        },
    )
