"""``ttbr page``: one frame, and who reaches it."""

import sys
from pathlib import Path

import click
import numpy as np

from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress
from ttbr.cli.values import NUMBER
from ttbr.errors import InputError
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.page_use import PageUse
from ttbr.report.page import page_json, print_page

ANSWER_IS_NO = 1


@click.command(
    "page",
    epilog="""\b
Examples:
  ttbr page ram.raw@0x40000000 0x40dff000
  ttbr page vmcore 0x40dff --as pfn --json
  ttbr page vmcore 0xffff800080396000
  ttbr page vmcore 0xffffb9ec8000 --pid 33""",
)
@linux_options
@click.argument("address", type=NUMBER)
@click.option(
    "--as",
    "meaning",
    type=click.Choice(["pa", "pfn", "va"]),
    help="What the number is. Without it: a virtual address of the kernel if it is mapped, else a "
    "physical address if memory has it, else a frame number.",
)
@click.option("--pid", type=click.IntRange(min=1), help="A virtual address of this process.")
@json_option
def page_command(
    image_spec: str,
    address: int,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    meaning: str | None,
    pid: int | None,
    as_json: bool,
) -> None:
    """Say what frame is at ADDRESS (PFN, PA or VA), what it is used for, and who maps it.

    Every process and every kernel address that reaches it is named; of processes also entries that
    only Linux can use (PROT_NONE, old pages). Exit code 1: nothing maps it.
    """
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    with progress("looking who maps it"):
        pa = _physical(linux, address, meaning, pid)
        found = page_json(PageUse(KernelMemory(linux)), pa)
    if as_json:
        print_json(found)
    else:
        print_page(console(), found)
    sys.exit(0 if found["kernel"] or found["processes"] else ANSWER_IS_NO)


def _physical(linux: Linux, number: int, meaning: str | None, pid: int | None) -> int:
    """The physical address that is meant."""
    if pid is not None:
        view = linux.processes.of(_root(linux, pid)).view
        row = int(np.searchsorted(view.va, np.uint64(number), side="right")) - 1
        if row < 0 or number - int(view.va[row]) >= int(view.size[row]):
            raise InputError(f"process {pid} has no page at {number:#x}")
        if not view.readings.has_page[row]:
            raise InputError(f"the page of process {pid} at {number:#x} is not in memory")
        return int(view.readings.pa[row]) + number - int(view.va[row])
    mapped = linux.memory.pa(number) if meaning in (None, "va") else None
    if mapped is not None:
        return mapped
    if meaning == "va":
        raise InputError(f"the kernel does not map {number:#x} (--pid N for a process's address)")
    frame = number * linux.page_size
    inside = linux.image.memory.contains(np.array([number], np.uint64))[0]
    if meaning == "pa" or (meaning is None and inside):
        return number
    if frame < 1 << 64 and linux.image.memory.contains(np.array([frame], np.uint64))[0]:
        return frame
    raise InputError(f"{number:#x} is neither mapped by the kernel nor an address or frame of RAM")


def _root(linux: Linux, pid: int) -> int:
    root = int(linux.tasks.pgd[linux.process(pid)])
    if not root:
        raise InputError(f"process {pid} has no tables: a thread of the kernel, or ended")
    return root
