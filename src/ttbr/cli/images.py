"""Options with which every command that reads an image says which one and how to read it."""

from collections.abc import Callable
from typing import Any

import click

REGISTERS_HELP = (
    "System registers: a registers.json file, or NAME=VALUE,… such as "
    "TTBR1_EL1=0x41853000,TCR_EL1=0x…. They win over those that the image holds."
)
ROOT_HELP = "Which tables: kernel, user, user:PA (a process's root table) or PA."


def registers_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--registers FILE|NAME=VALUE,…``."""
    return click.option("--registers", metavar="FILE|NAME=VALUE,…", help=REGISTERS_HELP)(function)


def root_option(default: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--root kernel|user|user:PA|PA``."""
    return click.option(
        "--root", metavar="ROOT", default=default, show_default=default is not None, help=ROOT_HELP
    )
