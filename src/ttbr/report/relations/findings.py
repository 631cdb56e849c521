"""The relation of what `audit` finds."""

from collections.abc import Mapping

import numpy as np

from ttbr.findings import Audited, audit
from ttbr.findings.finding import Mapped
from ttbr.report.relations.relation import Column, Known, Relation, Values
from ttbr.report.relations.source import Source


def _findings(source: Source) -> Mapping[str, Values]:
    subject = Audited(source.linux.image, source.linux)
    found = audit(subject)
    source.notes += [f"findings: not decided: {text}" for text in subject.unknown]
    source.notes += [
        f"findings: {finding.code}: {finding.found.more} more ranges are left out"
        for finding in found
        if finding.found.more
    ]
    rows = [(finding, one) for finding in found for one in finding.found.mapped or (None,)]
    mapped: list[Mapped | None] = [one for _, one in rows]

    def column(name: str, dtype: type[np.generic] = np.uint64) -> Known:
        """A member of the ranges; null for a finding that is about none."""
        members = [None if one is None else getattr(one, name) for one in mapped]
        return Known(
            np.array([member or 0 for member in members], dtype),
            np.array([member is not None for member in members], np.bool_),
        )

    return {
        "finding": np.repeat(
            np.arange(len(found), dtype=np.int64),
            [max(1, len(finding.found.mapped)) for finding in found],
        ),
        "code": [finding.code for finding, _ in rows],
        "severity": [str(finding.severity) for finding, _ in rows],
        "message": [finding.found.message for finding, _ in rows],
        "fix": [finding.found.fix for finding, _ in rows],
        "owner": [None if one is None else one.owner for one in mapped],
        "root": column("root"),
        "va": column("va"),
        "last": column("last"),
        "pa": column("pa"),
        "level": column("level", np.int8),
        "descriptors": column("descriptors", np.int64),
        "place": column("place"),
        "descriptor": column("descriptor"),
        "attributes": [None if one is None else one.attributes.summary() for one in mapped],
    }


FINDINGS = Relation(
    "findings",
    "What is wrong with the tables of the kernel and of all processes: a row for each range, the "
    "worst finding first.",
    "audit",
    (
        Column("finding", "int64", "number of the finding; its ranges have the same"),
        Column("code", "category", "code of the rule"),
        Column("severity", "category", "error, warning or note"),
        Column("message", "category", "what is wrong, with the numbers"),
        Column("fix", "category", "what to do"),
        Column("owner", "category", "whose space it is: kernel, or name (number) of a process"),
        Column("root", "uint64", "physical address of the root table"),
        Column("va", "uint64", "first virtual address"),
        Column("last", "uint64", "last virtual address (inclusive)"),
        Column("pa", "uint64", "physical address of the first byte"),
        Column("level", "int8", "level of the descriptors"),
        Column("descriptors", "int64", "number of descriptors"),
        Column("place", "uint64", "physical address of the first descriptor"),
        Column("descriptor", "uint64", "the first descriptor, null where memory does not hold it"),
        Column("attributes", "category", "what they say, with all that limits it"),
    ),
    _findings,
)
