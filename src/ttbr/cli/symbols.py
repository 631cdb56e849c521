"""``ttbr symbols``: the kernel's symbols, out of the image itself."""

import sys
from pathlib import Path

import click

from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress
from ttbr.cli.values import NUMBER
from ttbr.errors import InputError
from ttbr.report.symbols import matching, print_nearest, symbols_json, write_symbols


@click.command(
    "symbols",
    epilog="""\b
Examples:
  ttbr symbols vmcore > kallsyms.txt
  ttbr symbols ram.raw@0x40000000 --name 'init_(task|mm)' --json
  ttbr symbols vmcore --at 0xffff80008029db28""",
)
@linux_options
@click.option("--name", metavar="REGEX", help="Only those whose whole name matches.")
@click.option(
    "--at", type=NUMBER, multiple=True, help="Which symbol is at or below ADDRESS (repeatable)."
)
@json_option
def symbols_command(
    image_spec: str,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    name: str | None,
    at: tuple[int, ...],
    as_json: bool,
) -> None:
    """List the symbols of the kernel in IMAGE and of its modules, as /proc/kallsyms does.

    They are the kernel's own table (kallsyms), found in memory and decoded; symbols of BPF
    programs, ftrace and kprobes are not among them.
    """
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    with progress("looking for the kernel's symbols"):
        symbols = linux.symbols
    if not len(symbols):
        raise InputError(f"{image_spec}: the kernel has no symbols that were found")
    if at:
        if as_json:
            found = [(address, symbols.nearest(address)) for address in at]
            print_json(
                [
                    {"address": hex(a), "name": near and near[0], "offset": near and near[1]}
                    for a, near in found
                ]
            )
            sys.exit(0 if all(near for _, near in found) else 1)
        sys.exit(0 if print_nearest(console(), symbols, list(at)) else 1)
    rows = matching(symbols, name)
    if as_json:
        print_json(symbols_json(symbols, rows))
    else:
        write_symbols(sys.stdout, symbols, rows, linux.word)
    sys.exit(0 if rows else 1)
