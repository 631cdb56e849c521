"""``ttbr check``: what is wrong with a board, before it is powered on."""

import json
from pathlib import Path

import click

from ttbr.cli.boards import Request, board_options
from ttbr.cli.output import console, json_option, print_json
from ttbr.findings import CHECK, Severity, check
from ttbr.report.ci import annotations, sarif, source_file
from ttbr.report.findings import (
    by_severity,
    findings_json,
    print_findings,
    print_rule,
    print_rules,
    rule_json,
)

SEVERITIES = {str(severity): severity for severity in sorted(Severity, reverse=True)}
STDOUT = Path("-")


def _explain(context: click.Context, parameter: click.Parameter, code: str | None) -> None:
    if code is None or context.resilient_parsing:
        return
    rule = CHECK.get(code)
    if rule is None:
        raise click.BadParameter(f"no finding '{code}': ttbr check --list names them all")
    if context.params["as_json"]:
        print_json(rule_json(rule))
    else:
        print_rule(console(), rule)
    context.exit()


def _list(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        rules = by_severity(CHECK)
        if context.params["as_json"]:
            print_json([rule_json(rule) for rule in rules])
        else:
            print_rules(console(), rules)
        context.exit()


@click.command(
    "check",
    short_help="Find what is wrong with a board, before it is powered on.",
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
@click.option(
    "--sarif",
    "sarif_file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Also write a SARIF log; - prints it instead of the text.",
)
@click.option(
    "--github", is_flag=True, help="Print annotations of a GitHub workflow instead of the text."
)
@click.option(
    "--fail-on",
    type=click.Choice(list(SEVERITIES)),
    default="error",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option(
    "--explain",
    metavar="CODE",
    expose_value=False,
    callback=_explain,
    help="Print the page about a finding.",
)
@click.option(
    "--list",
    is_flag=True,
    expose_value=False,
    callback=_list,
    help="List all findings that there are.",
)
@json_option
@click.pass_context
def check_command(
    context: click.Context,
    request: Request,
    sarif_file: Path | None,
    github: bool,
    fail_on: str,
    as_json: bool,
) -> None:
    """Boot Linux on BOARD.dtb as far as it goes, and say what is wrong and what to change.

    Findings are errors (the kernel refuses something), warnings (memory is lost, something is not
    as it was asked for) and notes (worth knowing). Each has the kernel's own message, if it has
    one, with this board's numbers.
    """
    if sum((as_json, github, sarif_file == STDOUT)) > 1:
        raise click.UsageError("--json, --github and --sarif - all print: choose one")
    subject = request.attempt()
    findings = check(subject)
    file = source_file(request.dtb)
    if sarif_file is not None:
        log = sarif(findings, CHECK, file)
        if sarif_file == STDOUT:
            print_json(log)
        else:
            sarif_file.write_text(json.dumps(log, indent=1) + "\n")
    if as_json:
        print_json(findings_json(subject, findings, request.dtb))
    elif github:
        for line in annotations(findings, file):
            click.echo(line)
    elif sarif_file != STDOUT:
        print_findings(console(), subject, findings, request.dtb)
    if any(finding.severity >= SEVERITIES[fail_on] for finding in findings):
        context.exit(1)
