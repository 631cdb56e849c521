"""Options and output that all commands with findings have."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ttbr.cli.output import console, json_option, print_json
from ttbr.findings import Finding, Rules, Severity
from ttbr.report.ci import annotations, sarif
from ttbr.report.findings import by_severity, print_rule, print_rules, rule_json

SEVERITIES = {str(severity): severity for severity in sorted(Severity, reverse=True)}
STDOUT = Path("-")
ANSWER_IS_NO = 1


@dataclass(frozen=True)
class Wanted:
    """How findings are to be given: what the options of `findings_options` said."""

    sarif_file: Path | None
    github: bool
    fail_on: str
    as_json: bool

    def give(
        self,
        findings: Sequence[Finding],
        rules: Rules[Any],
        file: Path,
        document: Callable[[], Any],
        text: Callable[[Console], None],
    ) -> int:
        """Print and write findings in ``file``; the exit code.

        ``document`` makes the JSON, ``text`` prints.
        """
        if self.sarif_file is not None:
            log = sarif(findings, rules, file)
            if self.sarif_file == STDOUT:
                print_json(log)
            else:
                self.sarif_file.write_text(json.dumps(log, indent=1) + "\n")
        if self.as_json:
            print_json(document())
        elif self.github:
            for line in annotations(findings, file):
                click.echo(line)
        elif self.sarif_file != STDOUT:
            text(console())
        worst = any(finding.severity >= SEVERITIES[self.fail_on] for finding in findings)
        return ANSWER_IS_NO if worst else 0


def findings_options(
    rules: Rules[Any], command: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--sarif``, ``--github``, ``--fail-on``, ``--explain``, ``--list`` and ``--json``.

    The function gets a `Wanted` as ``wanted``.
    """

    def explain(context: click.Context, parameter: click.Parameter, code: str | None) -> None:
        if code is None or context.resilient_parsing:
            return
        rule = rules.get(code)
        if rule is None:
            raise click.BadParameter(f"no finding '{code}': {command} --list names them all")
        if context.params["as_json"]:
            print_json(rule_json(rule))
        else:
            print_rule(console(), rule)
        context.exit()

    def list_all(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
        if asked and not context.resilient_parsing:
            ordered = by_severity(rules)
            if context.params["as_json"]:
                print_json([rule_json(rule) for rule in ordered])
            else:
                print_rules(console(), ordered)
            context.exit()

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_wanted(
            sarif_file: Path | None, github: bool, fail_on: str, as_json: bool, **others: Any
        ) -> Any:
            if sum((as_json, github, sarif_file == STDOUT)) > 1:
                raise click.UsageError("--json, --github and --sarif - all print: choose one")
            return function(wanted=Wanted(sarif_file, github, fail_on, as_json), **others)

        wrapped: Callable[..., Any] = with_wanted
        for option in reversed(
            (
                click.option(
                    "--sarif",
                    "sarif_file",
                    type=click.Path(path_type=Path, allow_dash=True),
                    metavar="FILE",
                    help="Also write a SARIF log; - prints it instead of the text.",
                ),
                click.option(
                    "--github",
                    is_flag=True,
                    help="Print annotations of a GitHub workflow instead of the text.",
                ),
                click.option(
                    "--fail-on",
                    type=click.Choice(list(SEVERITIES)),
                    default="error",
                    show_default=True,
                    help="The least severity that makes the exit code 1.",
                ),
                click.option(
                    "--explain",
                    metavar="CODE",
                    expose_value=False,
                    callback=explain,
                    help="Print the page about a finding.",
                ),
                click.option(
                    "--list",
                    is_flag=True,
                    expose_value=False,
                    callback=list_all,
                    help="List all findings that there are.",
                ),
                json_option,
            )
        ):
            wrapped = option(wrapped)
        return wrapped

    return decorate
