"""The relations and their columns, as text, JSON, and for the documentation."""

from typing import Any

from rich.console import Console

from ttbr.report.relations import RELATIONS


def print_relations(out: Console) -> None:
    """Each relation with its columns below it: name, type, meaning."""
    for relation in RELATIONS.values():
        out.print(f"{relation.name}: {relation.meaning} As ttbr {relation.shows}.", soft_wrap=True)
        width = max(len(column.name) for column in relation.columns)
        for column in relation.columns:
            out.print(f"  {column.name:{width}}  {column.type:8}  {column.meaning}", soft_wrap=True)


def relations_json() -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "relation": relation.name,
            "meaning": relation.meaning,
            "command": relation.shows,
            "columns": [
                {"name": column.name, "type": column.type, "meaning": column.meaning}
                for column in relation.columns
            ],
        }
        for relation in RELATIONS.values()
    ]


def relations_markdown() -> str:
    """The same for docs/query.md."""
    lines = []
    for relation in RELATIONS.values():
        lines += [f"### {relation.name}", "", f"{relation.meaning} (`ttbr {relation.shows}`)", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{c.name}` | {c.type} | {c.meaning} |" for c in relation.columns]
        lines.append("")
    return "\n".join(lines)
