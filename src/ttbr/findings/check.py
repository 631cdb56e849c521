"""The rules of `check`: what is wrong with a board, as a boot of it shows."""

from __future__ import annotations

from ttbr.findings.attempt import Attempt
from ttbr.findings.rule import Finding, Rules

CHECK: Rules[Attempt] = Rules()
"""Every rule over an attempted boot; importing `ttbr.findings` fills it."""


def check(subject: Attempt) -> list[Finding]:
    """Everything that the rules find, the worst first."""
    return CHECK.findings(subject)
