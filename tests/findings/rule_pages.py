"""The parts of docs/check.md and docs/audit.md about findings; running this file writes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttbr.findings import AUDIT, CHECK, Rule, Rules

FOLDER = Path(__file__).parent.parent.parent / "docs"
DOCS = FOLDER / "check.md"
ALL: dict[Path, Rules[Any]] = {DOCS: CHECK, FOLDER / "audit.md": AUDIT}
MARKS = "<!-- findings -->", "<!-- end of findings -->"


def page(rule: Rule) -> Iterator[str]:
    yield f"### `{rule.code}`"
    yield ""
    yield f"{str(rule.severity).capitalize()}: {rule.title}."
    yield ""
    yield rule.text
    if rule.kernel:
        yield ""
        yield "```"
        yield from rule.kernel
        yield "```"
    yield ""
    yield f"*To do:* {rule.remedy}"
    yield ""
    yield f"*Example:* `{' '.join(rule.example.split())}`"
    yield ""
    yield f"*In Linux:* {rule.source}"
    yield ""


def pages(rules: Rules[Any]) -> str:
    ordered = sorted(rules, key=lambda rule: (-rule.severity, rule.code))
    return "\n".join(line for rule in ordered for line in page(rule))


def main() -> None:
    for file, rules in ALL.items():
        before, first, rest = file.read_text().partition(MARKS[0])
        _, last, after = rest.partition(MARKS[1])
        file.write_text(f"{before}{first}\n\n{pages(rules)}\n{last}{after}")


if __name__ == "__main__":
    main()
