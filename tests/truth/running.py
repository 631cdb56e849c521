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
    figures = zone_figures(text, "start_pfn|spanned|present|managed")
    return {zone: row for zone, row in figures.items() if row["present"]}


def zone_figures(text: str, names: str) -> dict[tuple[int, str], dict[str, int]]:
    """Figures of every zone in /proc/zoneinfo by their ``names``, a regular expression."""
    found = {}
    for node, name, body in re.findall(
        r"Node (\d+), zone +(\w+)\n(.*?)(?=\nNode|\Z)", text, re.DOTALL
    ):
        figures = re.findall(rf"^ +({names}):? +(\d+)$", body, re.MULTILINE)
        # The lists of each CPU, further down, have a "high", too.
        found[int(node), name] = {key: int(value) for key, value in reversed(figures)}
    return found


def protections(text: str) -> dict[tuple[int, str], list[int]]:
    """/proc/zoneinfo: what every zone keeps from allocations that prefer a higher one."""
    return {
        (int(node), name): [int(pages) for pages in reserve.split(",")]
        for node, name, reserve in re.findall(
            r"Node (\d+), zone +(\w+)\n(?:.*\n)*?.*protection: \((.*)\)", text
        )
    }
