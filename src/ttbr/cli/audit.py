"""``ttbr audit``: what is wrong with the translation tables in an image."""

from pathlib import Path

import click

from ttbr.cli.findings import Wanted, findings_options
from ttbr.cli.images import ROOT_HELP, root_of
from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import progress
from ttbr.findings import AUDIT, Audited, audit
from ttbr.findings.baseline import Baseline
from ttbr.report.audit import audit_json, print_audit

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "audit",
    epilog="""\b
Examples:
  ttbr audit ram.raw@0x40000000 --registers registers.json
  ttbr audit vmcore --fail-on warning --sarif audit.sarif
  ttbr audit vmcore --root kernel --root pid:1 --json
  ttbr audit vmcore --write-baseline known.json
  ttbr audit vmcore --baseline known.json
  ttbr audit --explain read-only-image-writable-alias
\b
Exit codes: 0 nothing found at or above --fail-on, 1 something found, 2 bad input.""",
)
@linux_options
@click.option(
    "--root",
    "roots",
    metavar="ROOT",
    multiple=True,
    help=f"Only these tables, more than once for more; without it the kernel's and all "
    f"processes'. {ROOT_HELP}",
)
@click.option("--baseline", type=_FILE, help="Leave out what this file accepts.")
@click.option(
    "--write-baseline",
    type=_FILE,
    help="Write a file that accepts all that is found; the exit code is 0.",
)
@findings_options(AUDIT, "ttbr audit")
@click.pass_context
def audit_command(
    context: click.Context,
    image_spec: str,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    roots: tuple[str, ...],
    baseline: Path | None,
    write_baseline: Path | None,
    wanted: Wanted,
) -> None:
    """Look at all tables of the kernel and the processes in IMAGE, and say what is wrong.

    Each finding has the ranges (virtual and physical), the descriptors and what they say, why it
    matters and what to do. What the image does not determine is listed as not decided.
    """
    known = None if baseline is None else Baseline.read(baseline)
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    with progress("auditing") as step:
        named = tuple(root_of(linux.image, root) for root in roots)
        subject = Audited(linux.image, linux, named, progress=step)
        findings = audit(subject)
    accepted = 0
    if known is not None:
        findings, accepted = known.remaining(findings)
    if write_baseline is not None:
        Baseline.of(findings).write(write_baseline)
    code = wanted.give(
        findings,
        AUDIT,
        Path(image_spec.partition(",")[0].rpartition("@")[0] or image_spec),
        lambda: audit_json(subject, findings, image_spec, accepted),
        lambda out: print_audit(out, subject, findings, image_spec, accepted),
    )
    context.exit(0 if write_baseline is not None else code)
