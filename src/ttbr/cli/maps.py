"""``ttbr maps``: the areas of a process."""

from pathlib import Path

import click
import numpy as np

from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress, say
from ttbr.errors import InputError
from ttbr.report.tasks import print_vmas, unknown_notes, vmas_json


@click.command(
    "maps",
    epilog="""\b
Examples:
  ttbr maps ram.raw@0x40000000 1
  ttbr maps vmcore 4711 --json
  ttbr dump vmcore --root pid:4711 --linux""",
)
@linux_options
@click.argument("pid", type=click.IntRange(min=1))
@json_option
def maps_command(
    image_spec: str,
    pid: int,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    as_json: bool,
) -> None:
    """List the areas of process PID as /proc/PID/maps does, with what its tables really map.

    Behind the columns that the kernel has: how much of the area is present, PROT_NONE, old,
    swapped out and so on, by Linux's own entries.
    """
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    with progress("looking for the process"):
        row = linux.process(pid)
        mm, root = int(linux.tasks.mm[row]), int(linux.tasks.pgd[row])
        if not mm or not root:
            raise InputError(f"process {pid} is a thread of the kernel, or has ended: no areas")
        vmas, space = linux.vmas, linux.processes.of(root)
        rows = np.flatnonzero(vmas.mm == np.uint64(mm)).tolist()
    if as_json:
        print_json({"pid": pid, "areas": vmas_json(vmas, rows, space)})
        return
    print_vmas(console(), vmas, rows, space, linux.word)
    for note in unknown_notes(linux, vmas.unknown):
        say(note)
