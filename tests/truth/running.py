"""What a running kernel says in /proc, read from recordings."""

from __future__ import annotations

import re


def about_ram(text: str) -> list[str]:
    """/proc/iomem's lines about RAM and reserved memory, and those nested in them."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = line.partition(" : ")[2] in ("System RAM", "reserved", "Crash kernel")
        if inside:
            kept.append(line)
    return kept


def zones(text: str) -> dict[tuple[int, str], dict[str, int]]:
    """/proc/zoneinfo's figures by node and zone; zones without pages are left out."""
    found = {}
    for node, name, body in re.findall(
        r"Node (\d+), zone +(\w+)\n(.*?)(?=\nNode|\Z)", text, re.DOTALL
    ):
        figures = re.findall(r"^ +(start_pfn|spanned|present|managed):? +(\d+)", body, re.MULTILINE)
        row = {key: int(value) for key, value in figures}
        if row["present"]:
            found[int(node), name] = row
    return found
