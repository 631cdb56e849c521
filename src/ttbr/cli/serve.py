"""``ttbr serve``: images as pages over HTTP."""

from contextlib import suppress
from pathlib import Path

import click

from ttbr.cli.images import registers_option
from ttbr.errors import InputError
from ttbr.memory.remote import is_url


@click.command(
    "serve",
    epilog="""\b
Examples:
  ttbr serve dumps/ board.dtb
  ttbr serve vmcore ram.raw@0x40000000 --registers registers.json
  ttbr serve dumps/ --host 0.0.0.0 --name lab7.example --port 8080
\b
Needs the extra: pip install 'ttbr[serve]'""",
)
@click.argument("places", metavar="FOLDER|IMAGE|BOARD.dtb...", nargs=-1, required=True)
@registers_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen. There is no password: whoever reaches this address sees the images.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8017,
    show_default=True,
    help="0 takes one that is free.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Another name of this machine that requests may be addressed to. May be repeated.",
)
def serve_command(
    places: tuple[str, ...], registers: str | None, host: str, port: int, names: tuple[str, ...]
) -> None:
    """Serve the page of each IMAGE or BOARD.dtb, and of each in a FOLDER, until interrupted.

    The page asks the server for what is too large to be in it. Requests that are addressed to
    another host, or come from a page of another site, are refused; files outside the folders are
    never read. A raw image in a folder needs its banks beside it: NAME.raw and NAME.json.
    """
    try:
        from ttbr.web.server import listen, names_of, run  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError(
            "this needs starlette and uvicorn, which are not installed: pip install 'ttbr[serve]'"
        ) from None
    from ttbr.web.library import Library  # noqa: PLC0415 - loaded with the above

    for place in places:
        if not (Path(place).exists() or is_url(place) or set("@,") & set(place)):
            raise InputError(f"{place}: there is no such file or folder")
    asked = names_of(host, names)
    library = Library(places, registers)
    with listen(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"http://{shown}:{listening.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):
            run(library, listening, asked)
