"""``ttbr explain``: the bits of one descriptor or register."""

import click

from ttbr.arch.explain import Explanation, explain_descriptor, explain_register
from ttbr.arch.regime import FORMATS
from ttbr.cli.output import console, json_option, print_json
from ttbr.cli.values import NUMBER
from ttbr.errors import InputError
from ttbr.format import number
from ttbr.report.explanation import print_explanation


@click.command(
    "explain",
    epilog="""\b
Examples:
  ttbr explain 0x00e8000040200703 --format arm64-4k --level 3 --mair 0x40044ffff
  ttbr explain 0x4021140e --format short --level 1
  ttbr explain TCR_EL1=0x400034b5503510""",
)
@click.argument("what", metavar="DESCRIPTOR|REGISTER=VALUE")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="The descriptor's format (not needed for a register, except TTBCR and TTBRn: lpae).",
)
@click.option("--level", type=int, help="The level of the table that holds the descriptor.")
@click.option(
    "--mair", type=NUMBER, help="MAIR_ELx (lpae: MAIR1<<32|MAIR0): names the memory type."
)
@json_option
def explain_command(
    what: str, format_name: str | None, level: int | None, mair: int | None, as_json: bool
) -> None:
    """Explain a translation-table DESCRIPTOR, or a system REGISTER=VALUE."""
    name, equals, value = what.partition("=")
    try:
        raw = number(value if equals else what)
    except ValueError as error:
        raise InputError(str(error)) from None
    explanations: list[Explanation]
    if equals:
        explanations = [explain_register(name, raw, format_name)]
    elif format_name is None:
        raise InputError(f"say which format {what} has: --format {'|'.join(FORMATS)}")
    else:
        explanations = explain_descriptor(raw, format_name, level=level, mair=mair)
    if as_json:
        print_json([explanation.as_dict() for explanation in explanations])
    else:
        out = console()
        for explanation in explanations:
            print_explanation(out, explanation)
