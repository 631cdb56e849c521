"""Memory nodes, their zones, and what the description of every page costs."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from ttbr.boot.machine import Machine
from ttbr.format import about, address
from ttbr.kernel.structs import section_shift, struct_size


def nodes_json(machine: Machine) -> dict[str, Any]:
    """Nodes and the memory map as JSON; addresses in hex, ``last`` inclusive, sizes in bytes."""
    page = machine.kernel.page_size
    return {
        "nodes": [
            {
                "node": node.number,
                "start": hex(node.start_pfn * page),
                "spanned_bytes": node.spanned * page,
                "present_bytes": node.present * page,
                "data": _hex(machine.numa.node_data.get(node.number)),
                "zones": [
                    {
                        "name": zone.name,
                        "start": hex(zone.start_pfn * page),
                        "spanned_bytes": zone.spanned * page,
                        "present_bytes": zone.present * page,
                    }
                    for zone in node.zones
                ],
            }
            for node in machine.nodes
        ],
        "memory_map": {
            "struct_page_bytes": struct_size(machine.kernel, "page"),
            "bytes": machine.memmap_bytes,
            "sections": len(machine.sections),
            "section_bytes": _section_bytes(machine),
        },
    }


def print_nodes(out: Console, machine: Machine, bits: int) -> None:
    """Nodes and the memory map as text; ``bits``: width of addresses."""
    page = machine.kernel.page_size
    for node in machine.nodes:
        span = _span(node.start_pfn * page, node.spanned * page, bits)
        out.print(f"node {node.number}  {span}  {_present(node.spanned, node.present, page)}")
        for zone in node.zones:
            if not zone.spanned:
                out.print(f"  {zone.name:<8} empty")
                continue
            span = _span(zone.start_pfn * page, zone.spanned * page, bits)
            out.print(f"  {zone.name:<8} {span}  {_present(zone.spanned, zone.present, page)}")
    for line in _memory_map(machine):
        out.print(line)


def _memory_map(machine: Machine) -> Iterator[str]:
    memory = machine.memblock.phys_mem_size()
    if not machine.memmap_bytes or not memory:
        return
    size = struct_size(machine.kernel, "page")
    share = 100 * machine.memmap_bytes / memory
    yield (
        f"memory map: {about(machine.memmap_bytes)} of struct page ({size} bytes each), "
        f"{share:.1f} % of memory"
    )
    unit = _section_bytes(machine)
    if unit is not None:
        more = len(machine.sections) * unit - memory
        beyond = f", {about(more)} more than there is" if more > 0 else ""
        yield f"  for {len(machine.sections)} sections of {about(unit)}{beyond}"


def _section_bytes(machine: Machine) -> int | None:
    return 1 << section_shift(machine.kernel) if machine.sections else None


def _present(spanned: int, present: int, page: int) -> str:
    holes = f", {about((spanned - present) * page)} of holes" if spanned != present else ""
    return f"{about(present * page)}{holes}"


def _span(start: int, size: int, bits: int) -> str:
    return f"{address(start, bits)}-{address(start + max(size, 1) - 1, bits)}"


def _hex(value: int | None) -> str | None:
    return None if value is None else hex(value)
