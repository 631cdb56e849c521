"""Findings for continuous integration: SARIF 2.1.0, and annotations of GitHub's workflows."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ttbr.findings import Finding, Rule, Severity
from ttbr.report.findings import finding_json
from ttbr.report.hostile import visible

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MAPPED = 32
"""Ranges of address spaces that a result has."""
ANNOTATIONS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def source_file(board: Path) -> Path:
    """The file to point at: the source beside a device tree blob, if there is one."""
    source = board.with_suffix(".dts")
    return source if board.suffix == ".dtb" and source.is_file() else board


def sarif(findings: Sequence[Finding], rules: Iterable[Rule], file: Path) -> dict[str, Any]:
    """A SARIF log with one run: all the rules, and what they found in ``file``."""
    described = [_rule(rule) for rule in rules]
    places = {rule["id"]: index for index, rule in enumerate(described)}
    driver = {"name": "ttbr", "version": version("ttbr"), "rules": described}
    results = [_result(finding, places[finding.code], file) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def annotations(findings: Sequence[Finding], file: Path) -> Iterator[str]:
    """A workflow command of GitHub's for each finding."""
    for finding in findings:
        kind = ANNOTATIONS[finding.severity]
        where, title = _property(str(file)), _property(finding.code)
        places = ", ".join(map(str, finding.found.places))
        message = visible(finding.found.message)
        text = f"{message}\nchange: {places}" if places else message
        yield f"::{kind} file={where},title={title}::{_data(f'{text}{chr(10)}{finding.found.fix}')}"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.text},
        "help": {"text": f"{rule.remedy}\n\nWhere in Linux: {rule.source}"},
        "defaultConfiguration": {"level": str(rule.severity)},
    }


def _result(finding: Finding, index: int, file: Path) -> dict[str, Any]:
    details = finding_json(finding)
    kept = ("kernel", "numbers", "ranges", "fix", "more")
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(file)},
            # Which line of the source a node came from is not known: the first stands for all.
            "region": {"startLine": 1},
        }
    }
    nodes = [place for place in finding.found.places if place.node]
    if nodes:
        location["logicalLocations"] = [
            {"fullyQualifiedName": visible(str(place)), "kind": "member"} for place in nodes
        ]
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": str(finding.severity),
        "message": {"text": _plain(f"{finding.found.message}. To do: {finding.found.fix}.")},
        "locations": [location],
        "properties": {name: details[name] for name in kept if name in details}
        | {"change": details["change"]}
        | ({"mapped": details["mapped"][:MAPPED]} if "mapped" in details else {}),
    }


def _plain(text: str) -> str:
    """Text of a message, in which brackets would make a link and braces stand for an argument."""
    escaped = visible(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return escaped.replace("{", "{{").replace("}", "}}")


def _uri(file: Path) -> str:
    return file.as_uri() if file.is_absolute() else quote(file.as_posix())


def _data(text: str) -> str:
    """Text of a workflow command: what ends or begins an escape is escaped."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return visible(escaped)


def _property(text: str) -> str:
    """A property of a workflow command, which also ends at a colon or comma."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
