"""``ttbr ps``: the tasks in an image."""

from pathlib import Path

import click

from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress, say
from ttbr.report.tasks import print_tasks, tasks_json, unknown_notes


@click.command(
    "ps",
    epilog="""\b
Examples:
  ttbr ps ram.raw@0x40000000
  ttbr ps vmcore --users --json
  ttbr ps vmcore --hidden
  ttbr dump vmcore --root pid:1""",
)
@linux_options
@click.option("--users", is_flag=True, help="Leave out the kernel's own threads.")
@click.option(
    "--hidden", is_flag=True, help="Also look for roots of processes that no task has: all of RAM."
)
@json_option
def ps_command(
    image_spec: str,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    users: bool,
    hidden: bool,
    as_json: bool,
) -> None:
    """List the tasks in IMAGE: numbers, task and mm, root table, ASID, and what is mapped.

    RSS and TABLES are counted in the tables themselves: pages that the process has, and tables
    that it has for itself, with the root. Names in brackets are the kernel's threads.
    """
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    with progress("looking for tasks") as step:
        tasks = linux.tasks
        rows = [row for row in range(len(tasks)) if tasks.mm[row] or not users]
        extra = linux.unlisted_roots(step) if hidden else ()
    notes = unknown_notes(linux, tasks.unknown)
    if as_json:
        document = {"tasks": tasks_json(linux, tasks, rows), "unknown": list(tasks.unknown)}
        if hidden:
            document["unlisted_roots"] = [hex(root) for root in extra]
        print_json(document)
        return
    out = console()
    print_tasks(out, linux, tasks, rows)
    for root in extra:
        out.print(f"a root table at {root:#x} is no listed task's: hidden, or of one that ended")
    if hidden and not extra:
        out.print("every root table that was found is a listed task's")
    for note in notes:
        say(note)
