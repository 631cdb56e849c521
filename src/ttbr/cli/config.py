"""``ttbr config``: the configuration that a kernel has built in."""

import sys

import click

from ttbr.cli.images import registers_option
from ttbr.cli.linux import open_linux
from ttbr.cli.output import json_option, print_json, progress, say
from ttbr.report.config import config_lines
from ttbr.report.hostile import shown


@click.command(
    "config",
    epilog="""\b
Examples:
  ttbr config vmcore > .config
  ttbr config ram.raw@0x40000000 --json
  ttbr boot board.dtb --config .config""",
)
@click.argument("image_spec", metavar="IMAGE")
@registers_option
@json_option
def config_command(image_spec: str, registers: str | None, as_json: bool) -> None:
    """Print the .config in IMAGE's kernel (CONFIG_IKCONFIG). Exit code 1: it has none."""
    linux = open_linux(image_spec, registers)
    with progress("looking for the configuration"):
        found = linux.built_in_config
    if found is None:
        say("the kernel has no configuration built in")
        sys.exit(1)
    config, text = found
    if as_json:
        options = {f"CONFIG_{name}": shown(value) for name, value in config.items()}
        print_json({"release": config.release, "options": options})
    else:
        sys.stdout.write("".join(f"{line}\n" for line in config_lines(text)))
