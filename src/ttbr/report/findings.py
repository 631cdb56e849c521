"""Findings as text and JSON, and the page about a rule."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from ttbr.findings import Attempt, Finding, Mapped, Place, Rule, Severity
from ttbr.format import counted, hex_value
from ttbr.report.hostile import shown, visible

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
INDENT = " " * 9
SHOWN, LISTED = 8, 256
"""Ranges of address spaces of one finding that text and JSON show."""


def findings_json(subject: Attempt, findings: Sequence[Finding], file: Path) -> dict[str, Any]:
    """Everything found, as JSON: ranges in hex with ``last`` inclusive, sizes in bytes."""
    machine = subject.boot.machine if subject.boot else None
    return {
        "file": str(file),
        "board": None if subject.board is None else {"model": subject.board.model},
        "kernel": None
        if subject.kernel is None
        else {
            "name": subject.kernel.name,
            "arch": subject.kernel.arch,
            "release": str(subject.kernel.release),
        },
        "loader": None if subject.placement is None else subject.placement.loader,
        "stages": [] if subject.boot is None else subject.boot.stages,
        **all_json(findings),
        "unknown": list(machine.unknowns) if machine else [],
    }


def all_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """How many there are of each severity, and all of them."""
    return {
        "counts": {str(severity): count for severity, count in _counts(findings).items()},
        "findings": [finding_json(finding) for finding in findings],
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """One finding as JSON; of ranges in address spaces the first `LISTED`."""
    found = finding.found
    document: dict[str, Any] = {
        "code": finding.code,
        "severity": str(finding.severity),
        "title": finding.rule.title,
        "why": finding.rule.text,
        "message": visible(found.message),
        "kernel": list(found.kernel),
        "numbers": {name: int(value) for name, value in found.numbers.items()},
        "ranges": {
            name: {"start": hex_value(first), "last": hex_value(last)}
            for name, (first, last) in found.ranges.items()
        },
        "change": [place_json(place) for place in found.places],
        "fix": found.fix,
    }
    if found.mapped:
        document["mapped"] = [mapped_json(one) for one in found.mapped[:LISTED]]
        document["more"] = found.more + max(0, len(found.mapped) - LISTED)
    return document


def mapped_json(one: Mapped) -> dict[str, Any]:
    """A range of an address space, with its first descriptor and what it says."""
    return {
        "owner": shown(one.owner),
        "root": hex_value(one.root),
        "va": hex_value(one.va),
        "last": hex_value(one.last),
        "pa": hex_value(one.pa),
        "pa_last": hex_value(one.pa_last),
        "level": one.level,
        "descriptors": one.descriptors,
        "place": hex_value(one.place),
        "descriptor": None if one.descriptor is None else hex_value(one.descriptor),
        "attributes": one.attributes.as_dict(),
    }


def place_json(place: Place) -> dict[str, str]:
    """What to change, as JSON: only the fields that say something."""
    fields = ("node", "property", "argument", "config", "loader")
    return {name: getattr(place, name) for name in fields if getattr(place, name)}


def print_findings(out: Console, subject: Attempt, findings: Sequence[Finding], file: Path) -> None:
    """Everything found, as text, the worst first; what the inputs don't tell follows."""
    about = ""
    if subject.kernel is not None and subject.placement is not None:
        kernel = subject.kernel
        about = f": Linux {kernel.release} ({kernel.name}), loader {subject.placement.loader}"
    out.print(visible(f"{file}{about}"))
    print_all(out, findings, "ttbr check")
    unknowns = subject.boot.machine.unknowns if subject.boot else []
    print_unknowns(out, "not known from the inputs", unknowns)


def print_all(out: Console, findings: Sequence[Finding], command: str) -> None:
    """The findings, and how many there are."""
    for finding in findings:
        _print_finding(out, finding)
    counts = _counts(findings)
    total = ", ".join(
        counted(counts[severity], str(severity)) for severity in sorted(Severity, reverse=True)
    )
    out.print()
    out.print(total + ("" if not findings else f"; {command} --explain CODE says more of each"))


def print_unknowns(out: Console, heading: str, unknowns: Sequence[str]) -> None:
    """What is not known, if there is anything."""
    if unknowns:
        out.print()
        out.print(f"{heading}:")
        for line in unknowns:
            out.print(visible(f"- {line}"))


def _print_finding(out: Console, finding: Finding) -> None:
    found = finding.found
    out.print()
    out.print(f"{finding.severity!s:<8}", style=COLOURS[finding.severity], end=" ")
    out.print(visible(f"{finding.code}: {found.message}"))
    for line in found.kernel:
        out.print(visible(f"{INDENT}kernel:  {line}"))
    facts = [f"{name} {value}" for name, value in found.numbers.items()]
    if found.mapped:
        # The first sentence: --explain has the rest
        why = finding.rule.text.replace("\n", " ").partition(". ")[0].removesuffix(".")
        out.print(f"{INDENT}why:     {why}")
    for one in found.mapped[:SHOWN]:
        _print_mapped(out, one)
    left = found.more + max(0, len(found.mapped) - SHOWN)
    if left:
        out.print(f"{INDENT}         … and {left} more")
    facts += [
        f"{name} {hex_value(first)}-{hex_value(last)}"
        for name, (first, last) in found.ranges.items()
    ]
    if facts:
        out.print(visible(f"{INDENT}numbers: {', '.join(facts)}"))
    if found.places:
        out.print(visible(f"{INDENT}change:  {', '.join(map(str, found.places))}"))
    out.print(visible(f"{INDENT}fix:     {found.fix}"))


def _print_mapped(out: Console, one: Mapped) -> None:
    word = "?" if one.descriptor is None else hex_value(one.descriptor)
    where = f"{one.va:#x}-{one.last:#x} -> {one.pa:#x}-{one.pa_last:#x}"
    out.print(
        f"{INDENT}mapped:  {shown(one.owner)}: {where}, L{one.level}, "
        f"{one.descriptors} × {word} at {one.place:#x}: {one.attributes.summary()}",
        soft_wrap=True,
    )


def print_rule(out: Console, rule: Rule) -> None:
    """The page about a rule."""
    out.print(f"{rule.code}: {rule.title}", style="bold")
    out.print(f"severity: {rule.severity}")
    _section(out, "What it means", rule.text)
    if rule.kernel:
        _section(out, "What the kernel prints", "\n".join(rule.kernel))
    _section(out, "Where in Linux", rule.source)
    _section(out, "What to do", rule.remedy)
    _section(out, "Example", rule.example)


def rule_json(rule: Rule) -> dict[str, Any]:
    """The page about a rule, as JSON values."""
    return asdict(rule) | {"severity": str(rule.severity)}


def by_severity(rules: Iterable[Rule]) -> list[Rule]:
    """The rules, the worst kinds first."""
    return sorted(rules, key=lambda rule: (-rule.severity, rule.code))


def print_rules(out: Console, rules: Sequence[Rule]) -> None:
    """One line for each rule."""
    width = max(len(rule.code) for rule in rules)
    for rule in rules:
        out.print(f"{rule.severity!s:<8}", style=COLOURS[rule.severity], end=" ")
        out.print(f"{rule.code:<{width}}  {rule.title}")


def _section(out: Console, heading: str, text: str) -> None:
    out.print()
    out.print(heading, style="bold")
    for line in text.split("\n"):
        out.print(f"  {line}".rstrip())


def _counts(findings: Sequence[Finding]) -> Counter[Severity]:
    return Counter(finding.severity for finding in findings)
