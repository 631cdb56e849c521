"""The page walks tables as ``ttbr translate`` does: every format, every step, every fault."""

from dataclasses import replace

import numpy as np
import pytest
from shown_page import expected, show, walks

from ttbr.arch.regime import FORMATS, make_regime
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.recover.translate import Answer
from ttbr.report.translation import translation_json
from ttbr.report.view import VERSION, Document, Room
from ttbr.report.view.catalogue import Catalogue
from ttbr.report.view.columns import Body
from ttbr.report.view.machines import Pen, machine_json
from ttbr.report.view.page import embedded
from ttbr.report.view.spaces import space_json
from ttbr.report.view.tables import TablePool

BASE = 0x4000_0000
SLOTS, SLOT = 6, 0x20000
USED = (0, 1, 2, 3)
ADDRESSES = 6
MAIR = 0x0000_00FF_4404_0C00

TWO_HALVES = [name for name in FORMATS if name.startswith("arm64") and "-e" not in name]
REGIMES = [
    *((name, False) for name in FORMATS),
    *((name, True) for name in TWO_HALVES if "stage2" not in name),
]


def noise(ram, base, cut, width, draw):
    """Tables that name each other, leaves anywhere, and what is neither."""
    for table in range(SLOTS):
        for index in USED:
            match int(draw.integers(5)):
                case 0 | 1 | 2:
                    word = base + int(draw.integers(SLOTS)) * SLOT | (3 if width == 64 else 1)
                    word |= int(draw.integers(32)) << 59 if width == 64 else 0
                case 3:
                    word = int(draw.integers(1 << 32)) << 12 | int(
                        draw.choice([0x401, 0x403, 0x402, 0x40402])
                    )
                case _:
                    word = int.from_bytes(draw.bytes(width // 8), "little")
            place = base + table * SLOT + index * width // 8
            if place < cut:
                ram.write(place, (word & (1 << width) - 1).to_bytes(width // 8, "little"))


def spaces():
    """A space of every format over tables of its own, and addresses that lead into them."""
    size = SLOTS * SLOT
    # The last table is cut by the end of memory, as in a truncated dump.
    banks = [Bank(BASE + at * size, size - SLOT + 16) for at in range(len(REGIMES))]
    ram = Ram(banks)
    for at, (name, upper) in enumerate(REGIMES):
        # Every third is of a processor with few address bits, which then take a fault
        bits = 36 if at % 3 == 0 else 52
        regime = replace(make_regime(name, upper=upper, mair=MAIR), output_bits=bits)
        draw = np.random.default_rng(at)
        noise(ram, banks[at].base, banks[at].end, 8 * regime.format.entry_size, draw)
        vas = []
        for _ in range(ADDRESSES):
            va = int(draw.integers(1 << regime.levels[-1].shift))
            for level in regime.levels:
                va |= int(draw.choice(USED)) % level.entries << level.shift
            vas.append(regime.base + va)
        yield f"{name}{'-upper' * upper}", AddressSpace(regime, banks[at].base, ram), vas


@pytest.fixture(scope="module")
def every():
    return list(spaces())


@pytest.fixture(scope="module")
def file(every, tmp_path_factory):
    pen = Pen(Body(), Catalogue(), Room(), lambda step: None)
    memory = every[0][1].memory
    pool = TablePool(memory, pen.room)
    machine = machine_json(pen, Image(memory), [], ())
    machine["spaces"] = [
        space_json(pen.body, pen.catalogue, pool, pen.room, name, space, space.mappings())
        for name, space, _ in every
    ]
    machine["pool"] = pool.as_json(pen.body)
    subject = {"name": "all", "kind": "image", "machines": [0], "findings": [], "notes": []}
    head = {
        "version": VERSION,
        "ttbr": "",
        "subjects": [subject],
        "machines": [machine],
        "comparisons": [],
        **pen.catalogue.as_json(),
    }
    path = tmp_path_factory.mktemp("walks") / "all.html"
    path.write_text(embedded(Document(head, pen.body.joined())), "utf-8")
    return path


def test_every_step_of_every_format(page, file, every, say):
    show(page, file, view="walk")
    ends = set()
    for name, space, vas in every:
        answers = [translation_json(Answer(space.translate(va))) for va in vas]
        assert walks(page, name, vas) == [expected(answer) for answer in answers], name
        ends |= {(answer["fault"], len(answer["steps"])) for answer in answers}
    kinds = {fault for fault, _ in ends}
    assert {None, "translation", "address size", "external abort on table walk"} <= kinds
    say(f"page: {len(every) * ADDRESSES} walks in {len(every)} spaces, every step alike")
