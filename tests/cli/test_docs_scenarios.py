"""docs/scenarios.md lists every command, question and shipped scenario, as the code has them.

``TTBR_WRITE_DOCS=1 pytest tests/cli/test_docs_scenarios.py`` writes the tables anew.
"""

import os
import re
from pathlib import Path

from ttbr.report.running import KERNEL_VIEWS, PROCESS_VIEWS
from ttbr.run.scenario import Session
from ttbr.run.scenario.questions import QUESTIONS
from ttbr.run.scenario.shipped import shipped_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"
TABLE = r"(<!-- {name}: [^>]*-->\n)(?:\n\|(?:.|\n)*?\n(?=\n##))?"


def table(head: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head} | |", "|---|---|", *(f"| `{one}` | {other} |" for one, other in rows)]
    return "\n" + "\n".join(lines) + "\n"


def written(page: str) -> str:
    commands = [(each.usage, each.help) for each in Session.commands.values()]
    asked = [(f"{n}({','.join(q.arguments)})", q.help) for n, q in QUESTIONS.items()]
    for name, text in (
        ("commands", table("command", commands)),
        ("questions", table("question", asked)),
    ):
        pattern = TABLE.format(name=name)
        page = re.sub(pattern, lambda found, text=text: found[1] + text, page)
    return page


def test_the_tables_are_current() -> None:
    page = PAGE.read_text()
    if os.environ.get("TTBR_WRITE_DOCS"):
        page = written(page)
        PAGE.write_text(page)
    assert page == written(page)
    assert len(re.findall(r"^\| `", page, re.MULTILINE)) > len(Session.commands)


def test_every_scenario_and_view_is_explained() -> None:
    page = PAGE.read_text()
    for name in (*shipped_names(), *KERNEL_VIEWS, *PROCESS_VIEWS):
        assert f"`{name}`" in page
