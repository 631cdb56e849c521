"""/proc/iomem's part about RAM, as the kernel spells it."""

from typing import Any

from ttbr.boot.iomem import Resource


def iomem_lines(resources: list[Resource], depth: int = 0) -> list[str]:
    """The lines, nested ones indented by two blanks (kernel/resource.c: r_show)."""
    lines = []
    for resource in resources:
        indent = "  " * depth
        lines.append(f"{indent}{resource.start:08x}-{resource.end:08x} : {resource.name}")
        lines += iomem_lines(resource.children, depth + 1)
    return lines


def iomem_json(resources: list[Resource]) -> list[dict[str, Any]]:
    """The same as JSON: ``start``, ``end`` (inclusive, hex), ``name``, ``children``."""
    return [
        {
            "start": hex(resource.start),
            "end": hex(resource.end),
            "name": resource.name,
            "children": iomem_json(resource.children),
        }
        for resource in resources
    ]
