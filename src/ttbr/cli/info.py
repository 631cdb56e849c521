"""``ttbr info``: what an image is."""

import click

import ttbr
from ttbr.cli.images import registers_option
from ttbr.cli.output import console, json_option, print_json, progress
from ttbr.recover.identify import with_registers
from ttbr.report.info import image_info, print_info


@click.command(
    "info",
    epilog="""\b
Examples:
  ttbr info prediction.elf
  ttbr info ram.raw.zst@0x40000000
  ttbr info ram.raw.zst@0x40000000 --registers registers.json --json""",
)
@click.argument("image_spec", metavar="IMAGE")
@registers_option
@json_option
def info_command(image_spec: str, registers: str | None, as_json: bool) -> None:
    """Say what IMAGE is: its memory, registers, translation regimes, root tables and kernel.

    Without registers the kernel is looked for in memory; each finding has a confidence (certain,
    likely, guess) and its evidence.
    """
    image = ttbr.open(image_spec, registers)
    with progress("looking for the kernel") as step:
        image, found = with_registers(image, user_roots=True, progress=step)
        info = image_info(image, found)
    if as_json:
        print_json(info)
    else:
        print_info(console(), info)
