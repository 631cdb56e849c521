"""``ttbr view``: boards and images as a page."""

from pathlib import Path

import click

from ttbr.cli.boards import Request, boards_and_images_options, is_board
from ttbr.cli.images import open_image
from ttbr.cli.output import progress
from ttbr.errors import InputError
from ttbr.format import about
from ttbr.report.view import Subject, linux_in, of_attempt, of_image, view
from ttbr.report.view.page import embedded


@click.command(
    "view",
    epilog="""\b
Examples:
  ttbr view vmcore -o vmcore.html
  ttbr view ram.raw@0x40000000 --registers registers.json -o machine.html
  ttbr view board.dtb --memory 2G@0x60000000 -o board.html
  ttbr view board.dtb ram.raw@0x40000000 -o predicted-and-recorded.html""",
)
@boards_and_images_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The HTML file to write.",
)
def view_command(specs: tuple[str, ...], requests: list[Request], output: Path) -> None:
    """Write a page that shows what is given: its address maps, walks, tables, boot and processes.

    It is one file that needs no network. Of several boards and images, each machine of the first
    is held against the others. Of the options below only --registers is about images.
    """
    subjects = [_subject(*each) for each in zip(specs, requests, strict=True)]
    with progress("writing the page") as step:
        page = embedded(view(subjects, progress=step))
    try:
        output.write_text(page, "utf-8")
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from error
    click.echo(f"{output}: {about(len(page))}", err=True)


def _subject(spec: str, request: Request) -> Subject:
    name = " ".join(Path(part.rpartition("@")[0] or part).name for part in spec.split(","))
    if is_board(spec):
        return of_attempt(name, request.attempt())
    image = open_image(spec, request.registers)
    return of_image(name, image, linux_in(image))
