"""``ttbr tui``: an image in the terminal, to walk through."""

import sys
from pathlib import Path

import click

from ttbr.cli.images import open_image, registers_option, root_of, root_option
from ttbr.cli.output import progress
from ttbr.errors import InputError


@click.command(
    "tui",
    epilog="""\b
Examples:
  ttbr tui prediction.elf
  ttbr tui ram.raw@0x40000000 --registers registers.json --root pid:1
\b
Keys: 1 map, 2 walk, 3 tables, g an address, r the next root, ? all keys, q the end. On the map
enter zooms in, - out, [ and ] go on, w walks. Needs the extra: pip install 'ttbr[tui]'""",
)
@click.argument("image_spec", metavar="IMAGE")
@registers_option
@root_option("kernel")
def tui_command(image_spec: str, registers: str | None, root: str) -> None:
    """Explore IMAGE: the map from the whole space to a page, the walk of an address, the tables."""
    try:
        from ttbr.tui.app import Explorer  # noqa: PLC0415 - an extra
        from ttbr.tui.explored import Explored  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "this needs textual, which is not installed: pip install 'ttbr[tui]'"
        ) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("the explorer needs a terminal; 'ttbr layout' and 'ttbr dump' do not")
    image = open_image(image_spec, registers, root)
    with progress("reading the tables"):
        explored = Explored(Path(image_spec).name, image, root_of(image, root))
        explored.space(explored.roots[0]).zoom  # noqa: B018 - read before the screen is taken
    Explorer(explored).run()
