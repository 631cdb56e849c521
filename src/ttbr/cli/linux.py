"""Options of the commands that read Linux's own structures in an image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ttbr.cli.images import open_image, registers_option
from ttbr.errors import InputError
from ttbr.kernel.debug_info import open_types
from ttbr.kernel.symbols import Symbols
from ttbr.recover.linux import Linux

Command = Callable[..., Any]


def linux_options(function: Command) -> Command:
    """IMAGE, ``--registers``, and what a user can have of the kernel beside the image."""
    for option in (
        click.option(
            "--system-map",
            type=click.Path(path_type=Path, dir_okay=False),
            help="The kernel's System.map, used instead of the symbols in the image.",
        ),
        click.option(
            "--btf",
            type=click.Path(path_type=Path, dir_okay=False),
            help="The kernel's types as BTF (/sys/kernel/btf/vmlinux of the same kernel).",
        ),
        click.option(
            "--vmlinux",
            type=click.Path(path_type=Path, dir_okay=False),
            help="The kernel's vmlinux, for types from its BTF or debugging information.",
        ),
        registers_option,
        click.argument("image_spec", metavar="IMAGE"),
    ):
        function = option(function)
    return function


def open_linux(
    image_spec: str,
    registers: str | None,
    vmlinux: Path | None = None,
    btf: Path | None = None,
    system_map: Path | None = None,
) -> Linux:
    """The Linux in the image that a command names."""
    if vmlinux is not None and btf is not None:
        raise InputError("--vmlinux and --btf both give the types: leave one of them out")
    image = open_image(image_spec, registers, "kernel")
    types = vmlinux or btf
    return Linux(
        image,
        given_types=None if types is None else open_types(types, 8 if image.arch == "arm64" else 4),
        system_map=None if system_map is None else Symbols.from_file(system_map),
    )
