"""``ttbr dump``: what an address space maps."""

import sys

import click

from ttbr.cli.images import open_image, registers_option, root_of, root_option
from ttbr.cli.output import console, progress, say
from ttbr.cli.values import RANGE
from ttbr.errors import InputError
from ttbr.mmu.contiguous import disagreements
from ttbr.mmu.where import parse_where
from ttbr.recover.linux_reading import LinuxReader
from ttbr.recover.linux_view import linux_view
from ttbr.recover.release import known_release
from ttbr.report.kernel_page_tables import kernel_page_tables
from ttbr.report.linux_view import print_linux_view, write_linux_csv, write_linux_json
from ttbr.report.mappings import print_mappings, write_csv, write_json


@click.command(
    "dump",
    epilog="""\b
Examples:
  ttbr dump prediction.elf
  ttbr dump ram.raw.zst@0x40000000 --registers registers.json --format ptdump
  ttbr dump vmcore --where 'w and x' --format json
  ttbr dump vmcore --root user:0x40dff000 --range 0x400000-0x800000
  ttbr dump vmcore --root user:0x40dff000 --linux
  ttbr dump ram.raw@0x40000000 --root pid:1""",
)
@click.argument("image_spec", metavar="IMAGE")
@registers_option
@root_option("kernel")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "ptdump", "json", "csv"]),
    default="text",
    show_default=True,
    help="ptdump is the form of the kernel's own kernel_page_tables.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--range", "span", type=RANGE, help="Only addresses from A up to B (A-, -B).")
@click.option(
    "--where",
    metavar="EXPRESSION",
    help="Only ranges that match: r w x (EL1), ur uw ux (EL0), device, normal, global, "
    "contiguous, level==3 … with and, or, not.",
)
@click.option(
    "--linux",
    is_flag=True,
    help="Linux's own entries instead of the hardware's: what is PROT_NONE, old, swapped out or "
    "migrating, too, and young, dirty, special …",
)
def dump_command(
    image_spec: str,
    registers: str | None,
    root: str,
    form: str,
    as_json: bool,
    span: tuple[int, int] | None,
    where: str | None,
    linux: bool,
) -> None:
    """List what IMAGE maps: virtual range, physical address, attributes."""
    if as_json and form not in ("text", "json"):
        raise click.UsageError(f"--json and --format {form} are two forms: choose one")
    form = "json" if as_json else form
    condition = parse_where(where) if where else None
    image = open_image(image_spec, registers, root)
    root = root_of(image, root)
    space = image.address_space(root)
    if form == "ptdump":
        if condition is not None or span is not None or linux:
            raise InputError(
                "--format ptdump is the whole dump: leave out --range, --where and --linux"
            )
        with progress("reading the tables"):
            dump, notes = kernel_page_tables(image, space)
        sys.stdout.write(dump)
        for note in notes:
            say(note)
        return
    first, end = span or (0, 1 << 64)
    if linux:
        if condition is not None:
            raise InputError("--where is about the hardware's attributes: leave it out of --linux")
        reader = LinuxReader(space.regime, known_release(image))
        with progress("reading the tables"):
            view = linux_view(space, reader, first, end)
        if form == "json":
            write_linux_json(sys.stdout, space, reader, view)
        elif form == "csv":
            write_linux_csv(sys.stdout, view)
        else:
            print_linux_view(console(), space, reader, view)
        return
    with progress("reading the tables"):
        mappings = space.mappings(first, end)
        wrong = disagreements(mappings, first, end)
    if condition is not None:
        mappings = mappings.where(condition.mask(mappings))
    if form == "json":
        write_json(sys.stdout, space, mappings, wrong)
    elif form == "csv":
        write_csv(sys.stdout, mappings)
    else:
        print_mappings(console(), image, space, mappings, wrong)
