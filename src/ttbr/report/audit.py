"""What `audit` found in an image, as text and JSON; how a finding is shown is `report.findings`."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ttbr.findings import Audited, Finding
from ttbr.format import about, hex_value
from ttbr.report.findings import all_json, print_all, print_unknowns
from ttbr.report.hostile import visible


def audit_json(
    subject: Audited, findings: Sequence[Finding], image: str, accepted: int
) -> dict[str, Any]:
    """Everything found, as JSON; ``accepted`` ranges were left out because a baseline has them."""
    ram = subject.ram
    return {
        "image": image,
        "arch": subject.image.arch,
        "roots": [hex_value(space.space.root) for space in subject.spaces],
        "ram": None if ram is None else {"bytes": ram.all.bytes, "source": ram.source},
        "accepted": accepted,
        **all_json(findings),
        "unknown": [visible(text) for text in subject.unknown],
    }


def print_audit(
    out: Console, subject: Audited, findings: Sequence[Finding], image: str, accepted: int
) -> None:
    """Everything found, as text, the worst first; then what was not decided."""
    ram = "unknown" if subject.ram is None else about(subject.ram.all.bytes)
    out.print(visible(f"{image}: {len(subject.spaces)} root tables, RAM {ram}"), soft_wrap=True)
    print_all(out, findings, "ttbr audit")
    if accepted:
        out.print(f"{accepted} more are in the baseline")
    print_unknowns(out, "not decided", subject.unknown)
