"""``ttbr layout``: the address maps of a board or an image as pictures."""

import click

from ttbr.cli.boards import Request, board_or_image_options, is_board
from ttbr.cli.linux import open_linux
from ttbr.cli.output import console, json_option, print_json, progress, say
from ttbr.report.address_map import boxes_json, folded, virtual_boxes
from ttbr.report.boot import regions_json
from ttbr.report.boxes import print_boxes
from ttbr.report.machine_maps import MachineMaps, maps_of_boot, maps_of_image


@click.command(
    "layout",
    epilog="""\b
Examples:
  ttbr layout examples/qemu-virt-arm64.dtb
  ttbr layout examples/board32-1g-at-80000000.dtb --bootargs vmalloc=512M
  ttbr layout vmcore --physical
  ttbr layout ram.raw@0x40000000 --registers registers.json --json""",
)
@board_or_image_options
@click.option(
    "--physical", is_flag=True, help="Draw physical memory instead: what lies where, how free."
)
@json_option
def layout_command(spec: str, request: Request, physical: bool, as_json: bool) -> None:
    """Draw the kernel's virtual address map, the top of the space first.

    Of a BOARD.dtb that of its boot, of an IMAGE what is in it: of the options below only
    --registers is about an image.
    """
    maps = _maps(spec, request)
    for note in maps.notes:
        say(note)
    if as_json:
        print_json(boxes_json(maps.physical) if physical else regions_json(maps.virtual))
    elif physical:
        print_boxes(console(), folded(maps.physical), maps.bits)
    else:
        print_boxes(console(), virtual_boxes(maps.virtual), maps.bits, maps.marks)


def _maps(spec: str, request: Request) -> MachineMaps:
    if is_board(spec):
        return maps_of_boot(request.run())
    linux = open_linux(spec, request.registers)
    with progress("reading the image"):
        return maps_of_image(linux)
