"""Options with which every command that reads an image says which one and how to read it."""

from collections.abc import Callable
from typing import Any

import click

import ttbr
from ttbr.cli.output import progress, say
from ttbr.errors import InputError
from ttbr.recover.identified import Identified
from ttbr.recover.identify import with_kernel
from ttbr.recover.linux import Linux
from ttbr.report.identified import inferred

REGISTERS_HELP = (
    "System registers: a registers.json file, or NAME=VALUE,… such as "
    "TTBR1_EL1=0x41853000,TCR_EL1=0x…. They win over those that the image holds; without any, "
    "the kernel's tables are looked for in memory."
)
ROOT_HELP = (
    "Which tables: kernel, user, pid:N (those of process N), user:PA (a process's root table) or "
    "PA; el2, el3 and stage2 (of a hypervisor, firmware, a guest), each also with :PA."
)

OTHER_ROOTS = ("el2", "el3", "stage2")
"""Root tables that are not a kernel's or a process's."""


def registers_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--registers FILE|NAME=VALUE,…``."""
    return click.option("--registers", metavar="FILE|NAME=VALUE,…", help=REGISTERS_HELP)(function)


def root_option(default: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--root kernel|user|user:PA|PA``."""
    return click.option(
        "--root", metavar="ROOT", default=default, show_default=default is not None, help=ROOT_HELP
    )


def root_of(image: ttbr.Image, root: str) -> str:
    """The root as an image knows it: ``user:PA`` for ``pid:N``, others as they are."""
    kind, _, number = root.partition(":")
    if kind != "pid":
        return root
    if not number.isascii() or not number.isdigit():
        raise InputError(f"root '{root}' is not pid:N with a process's number")
    linux = Linux(image)
    with progress("looking for the process"):
        table = int(linux.tasks.pgd[linux.process(int(number))])
    if not table:
        raise InputError(f"process {number} has no tables: a thread of the kernel, or ended")
    return f"user:{table:#x}"


def open_image(spec: str, registers: str | None, root: str | None = None) -> ttbr.Image:
    """The image of a command that reads tables; what had to be found for it is said on stderr.

    The kernel is only looked for where ``root`` is one that Linux has.
    """
    image = ttbr.open(spec, registers)
    if root is not None and root.partition(":")[0] in OTHER_ROOTS:
        return image
    image, found = look_for_kernel(spec, image)
    if found is not None:
        say(inferred(found))
    return image


def look_for_kernel(spec: str, image: ttbr.Image) -> tuple[ttbr.Image, Identified | None]:
    """The image with what memory tells of its kernel's tables, where its registers don't suffice.

    `InputError` if there is nothing to read it by.
    """
    with progress("looking for the kernel") as step:
        return with_kernel(image, spec, step)
