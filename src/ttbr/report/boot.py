"""A boot as a board engineer wants to see it: physical memory, virtual map, tables, roots."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.boot import Boot
from ttbr.format import about, address, size
from ttbr.kernel.arm64_modules import module_region
from ttbr.mmu.image import Image
from ttbr.mmu.regions import Region, kernel_mappings, linear_map, regions, table_bytes
from ttbr.report.nodes import nodes_json, print_nodes
from ttbr.report.physical import Place, memory_rows, places

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
        "kernel_addresses": kernel_addresses(result, image),
        "modules": _modules_json(result, image),
        "registers": {name: hex(value) for name, value in sorted(image.registers.items())},
        "roots": {name: hex(pa) for name, pa in sorted(image.facts.roots.items())},
        "ttbr": root_holders(image),
        "messages": [message.text for message in result.events.messages],
        "unknown": list(machine.unknowns),
    }
    if result.failure is not None:
        document["failure"] = str(result.failure)
    if machine.nodes:
        document |= nodes_json(machine)
    mappings = kernel_mappings(image)
    if mappings is not None:
        document["virtual"] = regions_json(regions(image, mappings))
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
    where = ", ".join(f"{name} {value}" for name, value in kernel_addresses(result, image).items())
    out.print(f"kernel: {where}", soft_wrap=True)
    modules = _modules_json(result, image)
    if modules is not None:
        parts = [
            f"{words} {modules[key]['start']}-{modules[key]['last']}"
            for key, words in (("near", "next to the kernel"), ("far", "with PLTs"))
            if modules[key]
        ]
        chance = "somewhere in these, by the kernel's random numbers: " if modules["random"] else ""
        out.print(f"modules: {chance}{', '.join(parts)}", soft_wrap=True)

    _heading(out, "physical memory")
    for bank in machine.board.ram:
        out.print(f"{_span(bank.base, bank.end - 1, bits)}  {size(bank.size):>9}  RAM")
    for place in places(result):
        out.print(f"  {_span(place.start, place.last, bits)}  {size(place.size):>9}  {place.what}")

    _heading(out, "memblock")
    for name, start, last, flags in memory_rows(result):
        shown = f"  {flags}" if flags else ""
        out.print(f"{name:<9}{_span(start, last, bits)}  {size(last - start + 1):>9}{shown}")

    if machine.nodes:
        _heading(out, "nodes and zones")
        print_nodes(out, machine, bits)

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


def kernel_addresses(result: Boot, image: Image) -> dict[str, str]:
    """Where the kernel lies and runs, and which physical address its linear map begins with."""
    found = {"physical": hex(result.machine.placement.kernel)}
    if "_text" in image.facts.symbols:
        found["_text"] = hex(image.facts.symbols["_text"])
    state = result.machine.arch_state
    stages, stage = result.stages, image.facts.stage
    done = stages[: stages.index(stage) + 1] if stage in stages else []
    if isinstance(state, Arm64) and "early_map" in done:
        found["kaslr_offset"] = hex(state.kaslr_offset)
    if isinstance(state, Arm64) and "memblock" in done:
        found["memstart_addr"] = hex(state.memstart)
    return found


def _modules_json(result: Boot, image: Image) -> dict[str, Any] | None:
    """Where modules go, once that is known; None without modules, and on arm."""
    state = result.machine.arch_state
    if not isinstance(state, Arm64) or "_text" not in image.facts.symbols:
        return None
    found = module_region(result.machine.kernel, state.layout, state.kaslr_offset)
    if found is None:
        return None

    def extent(window: tuple[int, int] | None) -> dict[str, str] | None:
        return window and {"start": hex(window[0]), "last": hex(window[1] - 1)}

    return {"random": found.random, "near": extent(found.near), "far": extent(found.far)}


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


def regions_json(rows: Iterable[Region]) -> list[dict[str, Any]]:
    """The regions of the virtual space as JSON; addresses in hex, ``last`` inclusive."""
    return [
        {
            "name": row.name,
            "start": hex(row.start),
            "last": hex(row.last),
            "mapped_bytes": row.mapped,
        }
        for row in rows
    ]
