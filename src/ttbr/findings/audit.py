"""The rules of `audit`: what is wrong with the translation tables in an image."""

from __future__ import annotations

from ttbr.findings.audited import Audited
from ttbr.findings.rule import Finding, Rules

AUDIT: Rules[Audited] = Rules()
"""Every rule over an image; importing `ttbr.findings` fills it."""


def audit(subject: Audited) -> list[Finding]:
    """Everything that the rules find, the worst first."""
    return AUDIT.findings(subject)
