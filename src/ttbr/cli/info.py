"""``ttbr info``: what an image is."""

import click

import ttbr
from ttbr.cli.images import registers_option
from ttbr.cli.output import console, json_option, print_json
from ttbr.report.info import image_info, print_info


@click.command(
    "info",
    short_help="What an image holds: memory, registers, regime, roots, kernel.",
    epilog="""\b
Examples:
  ttbr info prediction.elf
  ttbr info ram.raw.zst@0x40000000 --registers registers.json --json""",
)
@click.argument("image_spec", metavar="IMAGE")
@registers_option
@json_option
def info_command(image_spec: str, registers: str | None, as_json: bool) -> None:
    """Say what IMAGE is: its memory, registers, translation regimes, root tables and kernel."""
    image = ttbr.open(image_spec, registers)
    info = image_info(image)
    if as_json:
        print_json(info)
    else:
        print_info(console(), info)
