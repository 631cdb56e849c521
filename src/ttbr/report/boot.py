"""A boot as a board engineer wants to see it: physical memory, virtual map, tables, roots."""

from collections import Counter
from typing import Any

import numpy as np
from rich.console import Console

from ttbr.boot.boot import Boot
from ttbr.format import about, address, size
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings
from ttbr.report.physical import Place, memory_rows, places
from ttbr.report.va_map import Region, regions

EVENTS_KEY = "events"


def boot_json(result: Boot, stage: str, *, events: bool) -> dict[str, Any]:
    """The boot at ``stage`` as JSON: addresses in hex, ``last`` inclusive, sizes in bytes."""
    machine, image = result.machine, result.images[stage]
    document: dict[str, Any] = {
        "board": {
            "model": machine.board.model,
            "compatible": list(machine.board.compatible),
            "cpu": list(machine.board.cpu_compatible),
            "cpus": machine.board.cpus,
        },
        "kernel": {
            "name": machine.kernel.name,
            "arch": machine.kernel.arch,
            "release": str(machine.kernel.release),
        },
        "loader": machine.placement.loader,
        "command_line": machine.params.text,
        "stage": stage,
        "stages": result.stages,
        "physical": [_place_json(place) for place in places(result)],
        "memblock": [
            {"list": name, "start": hex(start), "last": hex(last), "flags": flags}
            for name, start, last, flags in memory_rows(result)
        ],
        "registers": {name: hex(value) for name, value in sorted(image.registers.items())},
        "roots": {name: hex(pa) for name, pa in sorted(image.facts.roots.items())},
        "ttbr": root_holders(image),
        "messages": [message.text for message in result.events.messages],
        "unknown": list(machine.unknowns),
    }
    mappings = kernel_mappings(image)
    if mappings is not None:
        document["virtual"] = [_region_json(row) for row in regions(image, mappings)]
        document["linear_map"] = linear_map(image, mappings)
        document["tables"] = {
            "count": len(mappings.tables),
            "bytes": table_bytes(image, mappings),
        }
    if events:
        document[EVENTS_KEY] = [event.as_dict() for event in result.events]
    return document


def print_boot(out: Console, result: Boot, stage: str) -> None:
    """The boot at ``stage`` as text."""
    machine, image = result.machine, result.images[stage]
    bits = 64 if image.arch == "arm64" else 32
    kernel = machine.kernel
    out.print(
        f"{machine.board.model or 'unnamed board'}: Linux {kernel.release} ({kernel.name}), "
        f"loader {machine.placement.loader}, stage {stage}"
    )
    out.print(f"command line: {machine.params.text or '(empty)'}")

    _heading(out, "physical memory")
    for bank in machine.board.ram:
        out.print(f"{_span(bank.base, bank.end - 1, bits)}  {size(bank.size):>9}  RAM")
    for place in places(result):
        out.print(f"  {_span(place.start, place.last, bits)}  {size(place.size):>9}  {place.what}")

    _heading(out, "memblock")
    for name, start, last, flags in memory_rows(result):
        shown = f"  {flags}" if flags else ""
        out.print(f"{name:<9}{_span(start, last, bits)}  {size(last - start + 1):>9}{shown}")

    mappings = kernel_mappings(image)
    if mappings is not None:
        _heading(out, "virtual addresses")
        for row in reversed(regions(image, mappings)):
            mapped = f"  {about(row.mapped)} mapped" if row.mapped else ""
            out.print(
                f"{_span(row.start, row.last, bits)}  {about(row.last - row.start + 1):>9}  "
                f"{row.name or '-'}{mapped}"
            )
        _heading(out, "the linear map is made of")
        kinds = linear_map(image, mappings)
        if not kinds:
            out.print("nothing: it is not mapped yet")
        for kind in kinds:
            out.print(
                f"{kind['count']:>8} × {size(kind['size']):<8} {kind['kind']:<22} "
                f"{about(kind['bytes'])}"
            )
        cost = table_bytes(image, mappings)
        out.print(f"tables of the kernel's root: {len(mappings.tables)}, {about(cost)}")

    _heading(out, "roots")
    holders = root_holders(image)
    for name, pa in sorted(image.facts.roots.items(), key=lambda root: root[1]):
        held = ", ".join(register for register, root in holders.items() if root == hex(pa))
        out.print(f"{name:<20} {address(pa, bits)}  {held}".rstrip())
    shown = ", ".join(
        f"{name}={value:#x}"
        for name, value in sorted(image.registers.items())
        if not name.startswith("ID_")
    )
    out.print(f"registers: {shown or 'none yet'}")

    if result.events.messages:
        _heading(out, "the kernel says")
        for message in result.events.messages:
            out.print(message.text)
    if machine.unknowns:
        _heading(out, "not known from the inputs")
        for line in machine.unknowns:
            out.print(f"- {line}")


def print_events(out: Console, result: Boot) -> None:
    """The events in order, under their stages, as ``memblock=debug`` spells them."""
    stage = ""
    for event in result.events:
        if event.stage != stage:
            stage = event.stage
            _heading(out, f"events of {stage}")
        detail = f"  ({event.detail})" if event.detail else ""
        out.print(f"{event.kind}: [{event.start:#018x}-{event.end:#018x}] {event.function}{detail}")


def kernel_mappings(image: Image) -> Mappings | None:
    """What the kernel's root maps at this stage; None before there is one."""
    ttbr = "TTBR1" if "TTBCR" in image.registers else "TTBR1_EL1"
    if not image.registers.get(ttbr):
        return None
    return image.address_space("kernel").mappings()


def linear_map(image: Image, mappings: Mappings) -> list[dict[str, Any]]:
    """What the linear map is made of: count and bytes of each size of block or page, largest first.

    The linear map is what lies between the markers of the linear (arm: kernel) mapping.
    """
    rows = [r for r in regions(image, mappings) if r.name in ("Linear Mapping", "Kernel Mapping")]
    counts: Counter[tuple[int, bool]] = Counter()
    values, runs = mappings.attribute_values, mappings.runs
    for row in rows:
        inside = runs.chosen((runs.va >= np.uint64(row.start)) & (runs.va <= np.uint64(row.last)))
        columns = (inside.size.tolist(), inside.attributes.tolist(), inside.leaves.tolist())
        for span, index, leaves in zip(*columns, strict=True):
            counts[span, values[index].contiguous] += leaves
    page = 1 << 12 if image.arch == "arm" else 1 << image.kernel_regime.levels[-1].shift
    return [
        {
            "size": span,
            "count": count,
            "bytes": span * count,
            "contiguous": contiguous,
            "kind": ("pages" if span == page else "blocks")
            + (" in contiguous runs" if contiguous else ""),
        }
        for (span, contiguous), count in sorted(counts.items(), reverse=True)
    ]


def table_bytes(image: Image, mappings: Mappings) -> int:
    """Memory that the kernel's tables take, in bytes, roots of less than a page as they are.

    On ARM32 a second-level table is a page: two hardware tables of 1 KiB and Linux's own two.
    """
    entries = mappings.tables.entries.astype(np.int64)
    total = int(entries.sum()) * image.kernel_regime.format.entry_size
    if image.kernel_regime.format.name == "short":
        pages = np.unique(mappings.tables.address[mappings.tables.level == 2] >> np.uint64(12))
        total = image.kernel_regime.root_size + len(pages) * 4096
    return total


def root_holders(image: Image) -> dict[str, str]:
    """Which root (physical address) each TTBR holds; a register that is not set holds none."""
    held = {}
    for number in (0, 1):
        for name in (f"TTBR{number}", f"TTBR{number}_EL1"):
            if image.registers.get(name):
                space = image.address_space("kernel" if number else "user")
                held[name] = hex(space.root)
    return held


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(text.upper(), style="bold")


def _span(start: int, last: int, bits: int) -> str:
    return f"{address(start, bits)}-{address(last, bits)}"


def _place_json(place: Place) -> dict[str, Any]:
    return {
        "start": hex(place.start),
        "last": hex(place.last),
        "size": place.size,
        "what": place.what,
    }


def _region_json(row: Region) -> dict[str, Any]:
    return {
        "name": row.name,
        "start": hex(row.start),
        "last": hex(row.last),
        "mapped_bytes": row.mapped,
    }
