"""A machine at one moment: registers, spaces, translation tables, physical memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ttbr.arch.regime import MissingRegister
from ttbr.arch.registers import REGISTERS, register_layout, register_name
from ttbr.errors import InputError, TtbrError
from ttbr.format import hex_value
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings
from ttbr.mmu.regions import regions
from ttbr.report.hostile import shown
from ttbr.report.view.catalogue import Catalogue
from ttbr.report.view.columns import Body, Head, text
from ttbr.report.view.physical import Range, ranges_table
from ttbr.report.view.room import Room
from ttbr.report.view.spaces import space_json
from ttbr.report.view.tables import TablePool

ROOTS = ("kernel", "user", "el2", "el3", "stage2")


@dataclass(frozen=True, slots=True)
class Root:
    """A root table by the name that `Image.address_space` knows it by; ``owners``: pids."""

    name: str
    owners: Sequence[int] = ()


@dataclass
class Pen:
    """What machines are written with: the bytes, the common things, the room that is left."""

    body: Body
    catalogue: Catalogue
    room: Room
    progress: Callable[[str], None]


def machine_json(
    pen: Pen,
    image: Image,
    roots: Iterable[Root],
    physical: Iterable[Range],
    free: Head | None = None,
) -> Head:
    """The machine in an image, with the spaces of ``roots`` that its registers can walk.

    ``free``: the page allocator's blocks, None where they are not known.
    """
    pool = TablePool(image.memory, pen.room)
    spaces: dict[tuple[int, int], Head] = {}
    unknown: list[str] = []
    kernel: Mappings | None = None
    for root in roots:
        pen.progress(root.name)
        try:
            space = image.address_space(root.name)
        except TtbrError as error:
            unknown.append(f"{root.name}: {error}")
            continue
        key = pen.catalogue.regime(space.regime), space.root
        if key in spaces:
            spaces[key]["owners"] += root.owners
            continue
        mappings = space.mappings()
        if root.name == "kernel":
            kernel = mappings
        spaces[key] = space_json(
            pen.body, pen.catalogue, pool, pen.room, root.name, space, mappings, root.owners
        )
    return {
        "arch": image.arch,
        "stage": image.facts.stage,
        "release": image.facts.release,
        "page_offset": None
        if image.facts.page_offset is None
        else hex_value(image.facts.page_offset),
        "registers": _registers(pen, image),
        "roots": {name: hex_value(pa) for name, pa in sorted(image.facts.roots.items())},
        "symbols": {shown(name): hex_value(va) for name, va in sorted(image.facts.symbols.items())},
        "banks": pen.body.table(
            len(image.memory.banks),
            {
                "start": pen.body.integers([bank.base for bank in image.memory.banks]),
                "size": pen.body.integers([bank.size for bank in image.memory.banks]),
            },
        ),
        "spaces": list(spaces.values()),
        "pool": pool.as_json(pen.body),
        "virtual": _virtual(pen, image, kernel),
        "physical": ranges_table(pen.body, list(physical)),
        "free": free,
        "unknown": unknown,
    }


def held_roots(image: Image) -> list[Root]:
    """The roots that the registers hold."""
    found = []
    for name in ROOTS:
        try:
            space = image.address_space(name)
        except (InputError, MissingRegister):
            continue
        if space.root:  # a register that nobody has written holds 0
            found.append(Root(name))
    return found


def _registers(pen: Pen, image: Image) -> list[Head]:
    found = []
    for name, value in sorted(image.registers.items()):
        row: Head = {"name": name, "value": hex_value(value), "layout": None}
        if register_name(name) in REGISTERS:
            layout = register_layout(name, value)
            if value >> layout.width == 0:
                row["layout"] = pen.catalogue.layout(layout)
        found.append(row)
    return found


def _virtual(pen: Pen, image: Image, kernel: Mappings | None) -> Head:
    """The regions of the kernel's layout, ascending; none where it is not known."""
    rows = [] if kernel is None else regions(image, kernel)
    body = pen.body
    return body.table(
        len(rows),
        {
            "start": body.integers([row.start for row in rows], "word"),
            "last": body.integers([row.last for row in rows], "word"),
            "mapped": body.integers([row.mapped for row in rows]),
            "name": text([row.name for row in rows]),
        },
    )
