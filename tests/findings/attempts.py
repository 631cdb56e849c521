"""Attempts to boot `console_cases`, with Debian's kernels as they are or with other options."""

import json
from functools import cache
from importlib import resources
from pathlib import Path

from console_cases import Case

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import boot_until_failure
from ttbr.boot.loader import custom
from ttbr.findings import Attempt, Finding, attempt, check
from ttbr.kernel.kernel import Kernel

KERNELS = Path(__file__).parent.parent / "fixtures" / "kernels"


@cache
def described(name: str) -> dict:
    """A profile that ships with ttbr, or of the fixtures."""
    file = KERNELS / f"{name}.json"
    if not file.exists():
        file = resources.files("ttbr.kernel") / "profiles" / f"{name}.json"
    return json.loads(file.read_text())


def kernel(case: Case, release: str | None = None, **options: str) -> Kernel:
    """The case's kernel; an option "n" is off. Symbols stay, whatever the release."""
    facts = dict(described(f"debian-{case.release}-{case.flavour}"))
    facts["config"] = {**facts["config"], **options}
    facts["config"] = {name: value for name, value in facts["config"].items() if value != "n"}
    facts["release"] = release or facts["release"]
    return Kernel.from_description(facts, "test")


def attempted(case: Case, made: Kernel | None = None, *, reserve=(), stop=None) -> Attempt:
    booted = made or kernel(case)
    return attempt(
        blob(case.tree, reserve=reserve),
        Board.from_dtb,
        lambda board: booted,
        lambda board, chosen: custom(board, case.text, case.dtb_at),
        lambda *given: boot_until_failure(*given, stop=stop),
    )


def codes(subject: Attempt) -> set[str]:
    return {finding.code for finding in check(subject)}


def of(subject: Attempt, code: str) -> list[Finding]:
    return [finding for finding in check(subject) if finding.code == code]
