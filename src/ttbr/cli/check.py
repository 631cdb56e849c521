"""``ttbr check``: what is wrong with a board, before it is powered on."""

import click

from ttbr.cli.boards import Request, board_options
from ttbr.cli.findings import Wanted, findings_options
from ttbr.findings import CHECK, check
from ttbr.report.ci import source_file
from ttbr.report.findings import findings_json, print_findings


@click.command(
    "check",
    epilog="""\b
Examples:
  ttbr check board.dtb
  ttbr check board.dtb --memory 2G@0x80000000 --bootargs 'cma=256M' --fail-on warning
  ttbr check board.dtb --config .config --system-map System.map --sarif check.sarif
  ttbr check board.dtb --github
  ttbr check --explain cma-misaligned
\b
Exit codes: 0 nothing found at or above --fail-on, 1 something found, 2 bad input.""",
)
@board_options
@findings_options(CHECK, "ttbr check")
@click.pass_context
def check_command(context: click.Context, request: Request, wanted: Wanted) -> None:
    """Boot Linux on BOARD.dtb as far as it goes, and say what is wrong and what to change.

    Findings are errors (the kernel refuses something), warnings (memory is lost, something is not
    as it was asked for) and notes (worth knowing). Each has the kernel's own message, if it has
    one, with this board's numbers.
    """
    subject = request.attempt()
    findings = check(subject)
    code = wanted.give(
        findings,
        CHECK,
        source_file(request.dtb),
        lambda: findings_json(subject, findings, request.dtb),
        lambda out: print_findings(out, subject, findings, request.dtb),
    )
    context.exit(code)
