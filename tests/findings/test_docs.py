"""docs/check.md and docs/audit.md name every finding, and only those."""

import re

from rule_pages import ALL, DOCS, pages

from ttbr.findings import AUDIT, CHECK

CODES = {rule.code for rule in CHECK}


def test_every_finding_has_its_page() -> None:
    for file, rules in ALL.items():
        assert pages(rules) in file.read_text(), "run: python tests/findings/rule_pages.py"


def test_every_question_is_answered_by_findings_that_exist() -> None:
    text = DOCS.read_text()
    table = text[text.index("## Questions") : text.index("## What real kernels said")]
    rows = [line for line in table.split("\n") if line.startswith("| ")][1:]
    named = [re.findall(r"`([a-z0-9-]+)`", row.split("|")[2]) for row in rows]
    assert all(named)
    assert {code for codes in named for code in codes} == CODES
    assert len(rows) >= 34


def test_every_rule_is_explained() -> None:
    for rule in (*CHECK, *AUDIT):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.code)
        for text in (rule.title, rule.text, rule.source, rule.remedy, rule.example):
            assert len(text) >= 10, rule.code
