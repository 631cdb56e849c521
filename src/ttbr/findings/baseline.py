"""Findings that are known and accepted: written to a file once, left out afterwards.

A range of an address space is known by the code of its finding, whose space it is (a process by
its name: numbers change), its virtual addresses and what its descriptors say. Where addresses are
random, such findings come back with the next boot. Findings without ranges are known by their
message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ttbr.errors import InputError
from ttbr.findings.finding import Mapped
from ttbr.findings.rule import Finding

FORM = "ttbr-baseline-1"
_Key = tuple[str, str, str]


def _key(code: str, one: Mapped) -> _Key:
    owner, _, number = one.owner.rpartition(" (")
    return code, owner if number else one.owner, one.attributes.summary()


@dataclass(frozen=True)
class Baseline:
    """``ranges``: (first, last) virtual addresses by what they are known by; ``messages``: (code,
    message) of findings without ranges.
    """

    ranges: dict[_Key, list[tuple[int, int]]]
    messages: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Baseline:
        """All that was found. Ranges that are only counted cannot be accepted."""
        ranges: dict[_Key, list[tuple[int, int]]] = {}
        for finding in findings:
            for one in finding.found.mapped:
                ranges.setdefault(_key(finding.code, one), []).append((one.va, one.last))
        bare = {(f.code, f.found.message) for f in findings if not f.found.mapped}
        return cls(ranges, frozenset(bare))

    @classmethod
    def read(cls, file: Path) -> Baseline:
        """What `write` wrote; `InputError` for anything else."""
        try:
            document = json.loads(file.read_text())
            if document["form"] != FORM:
                raise ValueError
            ranges: dict[_Key, list[tuple[int, int]]] = {}
            for row in document["ranges"]:
                key = str(row["code"]), str(row["owner"]), str(row["attributes"])
                ranges.setdefault(key, []).append((int(row["va"], 16), int(row["last"], 16)))
            bare = {(str(row["code"]), str(row["message"])) for row in document["findings"]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{file}: no baseline that ttbr audit --write-baseline wrote"
            ) from error
        return cls(ranges, frozenset(bare))

    def write(self, file: Path) -> None:
        """As JSON, sorted, so that changes can be read."""
        rows: list[dict[str, Any]] = [
            {"code": code, "owner": owner, "attributes": said, "va": hex(va), "last": hex(last)}
            for (code, owner, said), ranges in sorted(self.ranges.items())
            for va, last in sorted(set(ranges))
        ]
        bare = [{"code": code, "message": message} for code, message in sorted(self.messages)]
        document = {"form": FORM, "ranges": rows, "findings": bare}
        file.write_text(json.dumps(document, indent=1) + "\n")

    def accepts(self, code: str, one: Mapped) -> bool:
        """Whether a range is known: it lies in one of those of its kind."""
        known = self.ranges.get(_key(code, one), [])
        return any(first <= one.va and one.last <= last for first, last in known)

    def remaining(self, findings: Sequence[Finding]) -> tuple[list[Finding], int]:
        """The findings without what is known, and how many ranges and findings that was."""
        left: list[Finding] = []
        accepted = 0
        for finding in findings:
            found = finding.found
            if not found.mapped:
                known = (finding.code, found.message) in self.messages
                accepted += known
                left += [] if known else [finding]
                continue
            kept = tuple(one for one in found.mapped if not self.accepts(finding.code, one))
            gone = len(found.mapped) - len(kept)
            accepted += gone
            if not gone:
                left.append(finding)
            elif kept or found.more:
                message = f"{found.message}; {gone} of the ranges are in the baseline"
                left.append(replace(finding, found=replace(found, message=message, mapped=kept)))
        return left, accepted
