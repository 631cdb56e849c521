"""The part of docs/check.md about each finding; `python tests/findings/rule_pages.py` writes it."""

from collections.abc import Iterator
from pathlib import Path

from ttbr.findings import CHECK, Rule

DOCS = Path(__file__).parent.parent.parent / "docs" / "check.md"
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


def pages() -> str:
    ordered = sorted(CHECK, key=lambda rule: (-rule.severity, rule.code))
    return "\n".join(line for rule in ordered for line in page(rule))


def main() -> None:
    before, first, rest = DOCS.read_text().partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    DOCS.write_text(f"{before}{first}\n\n{pages()}\n{last}{after}")


if __name__ == "__main__":
    main()
