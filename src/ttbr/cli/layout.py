"""``ttbr layout``: the virtual address map alone."""

import click

from ttbr.cli.boards import Request, board_options
from ttbr.cli.output import console, json_option, print_json
from ttbr.errors import InputError
from ttbr.mmu.regions import kernel_mappings, regions
from ttbr.report.boot import boot_json
from ttbr.report.va_map import print_va_map


@click.command(
    "layout",
    epilog="""\b
Examples:
  ttbr layout examples/qemu-virt-arm64.dtb
  ttbr layout examples/board32-1g-at-80000000.dtb --bootargs vmalloc=512M""",
)
@board_options
@json_option
def layout_command(request: Request, as_json: bool) -> None:
    """Draw the kernel's virtual address map on BOARD.dtb, the top of the space first."""
    result = request.run()
    stage = result.stages[-1]
    image = result.images[stage]
    if as_json:
        print_json(boot_json(result, stage, events=False)["virtual"])
        return
    mappings = kernel_mappings(image)
    if mappings is None:
        raise InputError("the boot ends before the kernel has tables of its own")
    bits = 64 if image.arch == "arm64" else 32
    marks = {
        va: f"kernel {name}"
        for name, va in image.facts.symbols.items()
        if name in ("_text", "_end")
    }
    print_va_map(console(), regions(image, mappings), bits, marks)
