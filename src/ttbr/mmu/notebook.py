"""An image, a space's mappings and a translation as a notebook shows them."""

from typing import TYPE_CHECKING

from ttbr import html
from ttbr.errors import TtbrError
from ttbr.format import about, address, counted, size

if TYPE_CHECKING:
    from ttbr.mmu.image import Image
    from ttbr.mmu.mappings import Mappings
    from ttbr.mmu.translation import Step, Translation


def image_html(image: "Image") -> str:
    """Memory, kernel and roots of an image; no table is read for it."""
    facts, banks = image.facts, image.memory.banks
    kernel = " ".join(part for part in ("Linux", facts.release, f"on {image.arch}") if part)
    stage = f", stage {facts.stage}" if facts.stage else ""
    total = about(sum(bank.size for bank in banks))
    registers = counted(len(image.registers), "register")
    bank_rows = ((hex(bank.base), hex(bank.end - 1), size(bank.size)) for bank in banks)
    return (
        html.line(f"Image: {kernel}{stage}, {total} in {counted(len(banks), 'bank')}, {registers}")
        + html.table(("memory", "last", "size"), bank_rows, len(banks))
        + html.table(("root", "table", "translates"), [_root(image, r) for r in _ROOTS], 0)
    )


_ROOTS = ("kernel", "user")


def _root(image: "Image", name: str) -> tuple[str, str, str]:
    """A root by its register: its table and its geometry, or why there is none."""
    try:
        space = image.address_space(name)
    except TtbrError as error:
        return name, "unknown", str(error)
    regime = space.regime
    return (
        name,
        hex(space.root),
        f"{hex(regime.first)} to {hex(regime.last)} by {regime.format.name}, "
        f"levels {regime.levels[0].number} to {regime.levels[-1].number}",
    )


def mappings_html(mappings: "Mappings") -> str:
    """The first ranges of a space, and what there is in all."""
    regions, values = mappings.regions(), mappings.attribute_values
    shown = slice(html.MOST_ROWS)
    columns = (regions.va, regions.last, regions.size, regions.pa, regions.attributes)
    rows = (
        (hex(va), hex(last), size(extent), hex(pa), values[index].summary() if index >= 0 else "?")
        for va, last, extent, pa, index in zip(*(c[shown].tolist() for c in columns), strict=True)
    )
    sentence = (
        f"Mappings: {about(mappings.mapped_bytes)} by {counted(len(mappings), 'descriptor')} in "
        f"{counted(len(mappings.tables), 'table')}, {counted(len(regions), 'range')}"
    )
    cut = html.line(mappings.truncated) if mappings.truncated else ""
    names = ("va", "last", "size", "pa", "attributes")
    return html.line(sentence) + cut + html.table(names, rows, len(regions))


def translation_html(found: "Translation") -> str:
    """Where an address leads, each descriptor on the way, and its fields when it is opened."""
    va = address(found.va, 64 if found.va >> 32 else 32)
    parts = [html.folded(_step(step), _fields(step)) for step in found.steps]
    if found.pa is not None and found.attributes is not None:
        where = f"level {found.level}, {size(found.size)}, {found.attributes.summary()}"
        parts.insert(0, html.line(f"{va} → {found.pa:#x}: {where}"))
    if found.fault is not None:
        level = "" if found.fault.level is None else f" at level {found.fault.level}"
        parts.insert(0, html.line(f"{va}: {found.fault.kind} fault{level}: {found.fault.text}"))
    return "".join(parts)


def _step(step: "Step") -> str:
    return (
        f"level {step.level}: table {step.table:#x} [{step.index}]: "
        f"{step.descriptor:#x} {step.kind.name.lower()}"
    )


def _fields(step: "Step") -> str:
    rows = ((row.bits, row.name, hex(row.value), row.text) for row in step.fields)
    return html.table(("bits", "field", "value", "meaning"), rows, len(step.fields))
