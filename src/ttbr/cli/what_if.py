"""``ttbr boot --against`` and ``--sweep``: what a change changes, and a row for each variant."""

import sys
from collections.abc import Callable
from typing import Any

import click

from ttbr.cli.boards import Request
from ttbr.cli.output import console, print_json, progress
from ttbr.cli.variants import variants, with_options
from ttbr.errors import InputError, TtbrError
from ttbr.report.against import compare_boots, print_against
from ttbr.report.overview import overview
from ttbr.report.sweep import Row, print_sweep, write_sweep_csv

ANSWER_IS_NO = 1

against_option = click.option(
    "--against",
    metavar="B.dtb|OPTIONS",
    help="Print what changes with another board, or with other options in one string; what they "
    "leave out stays.",
)


def sweep_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a sweep."""
    for option in (
        click.option("--csv", "as_csv", is_flag=True, help="Print a --sweep as CSV."),
        click.option(
            "--sweep",
            multiple=True,
            metavar="KEY=V1,V2,…",
            help="Print a row for each value: of memory, kernel, set, cpus, loader, initrd, "
            "kaslr-seed …, or of a kernel parameter such as vmalloc. May be repeated: every "
            "combination.",
        ),
    ):
        function = option(function)
    return function


def compare(request: Request, text: str, stage: str | None, *, as_json: bool) -> None:
    """Print what ``text`` changes, and end with exit code 1 if that is anything."""
    first, other = request.run(stage), with_options(request, text, "--against")
    try:
        second = other.run(stage)
    except TtbrError as error:
        raise InputError(f"--against: {error}") from error
    result = compare_boots(first, second)
    if as_json:
        print_json(result.as_json())
    else:
        print_against(console(), result)
    sys.exit(0 if result.identical else ANSWER_IS_NO)


def run_sweep(
    request: Request, sweeps: tuple[str, ...], stage: str | None, *, as_csv: bool, as_json: bool
) -> None:
    """Print the rows of a sweep; exit code 1 if a variant does not boot."""
    if as_csv and (as_json or not sweeps):
        raise InputError("--csv is a form of --sweep, in place of --json")
    rows = []
    found = variants(request, sweeps)
    with progress("booting") as step:
        for number, (chosen, variant) in enumerate(found, 1):
            name = " ".join(f"{key}={value}" for key, value in chosen.items())
            step(f"{number} of {len(found)}, {name}")
            rows.append(_row(chosen, variant, stage))
    if as_json:
        print_json([row.as_json() for row in rows])
    elif as_csv:
        write_sweep_csv(sys.stdout, rows)
    else:
        print_sweep(console(), rows)
    if any(row.error for row in rows):
        sys.exit(ANSWER_IS_NO)


def _row(chosen: dict[str, str], variant: Request | InputError, stage: str | None) -> Row:
    """What a variant comes to; what keeps it from booting is its error, and no other's."""
    if isinstance(variant, InputError):
        return Row(chosen, error=str(variant))
    try:
        result = variant.run(stage, quiet=True)
    except (TtbrError, OSError) as error:
        return Row(chosen, error=" ".join(str(error).split()))
    reached = result.stages[-1]
    messages = tuple(message.text for message in result.events.messages)
    return Row(chosen, reached, overview(result, reached), messages)
