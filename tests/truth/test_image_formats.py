"""The RAM of recordings in every format that can be written here: the same mappings as raw."""

import json

import numpy as np
import pytest
from kdump_file import Kdump
from ranges import BLOCK, avml, lime

import ttbr
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.image import Image
from ttbr.recover.registers import registers_in

CASES = ["arm64-4k-48", "arm64-16k-47", "arm64-64k-42", "arm32-virt-lpae", "arm32-vexpress-a9"]
COLUMNS = ("va", "pa", "size", "level", "table")


def blocks(ram):
    """RAM in blocks, without those of zeros only."""
    for base, data in ram.items():
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            if block.any():
                yield base + at, block.tobytes()


def kdump(ram, page: int, flags: int) -> bytes:
    """RAM as makedumpfile writes it with dump level 1: without pages of zeros."""
    pages, frames = {}, set()
    for base, data in ram.items():
        first = base // page
        rows = data.reshape(-1, page)
        frames.update(range(first, first + len(rows)))
        pages.update({first + n: rows[n].tobytes() for n in np.flatnonzero(rows.any(1)).tolist()})
    return Kdump(pages, frames, page_size=page, flags=flags, machine=b"Unknown").build()


WRITERS = {
    "lime": lambda ram: lime(list(blocks(ram))),
    "avml": lambda ram: avml(list(blocks(ram))),
    "kdump-lzo": lambda ram: kdump(ram, 4096, 0x2),
    "kdump-zstd-64k": lambda ram: kdump(ram, 65536, 0x20),
}


@pytest.fixture(scope="module", params=CASES)
def recording(request, truth):
    """A case, its RAM, and the root tables' mappings in its raw memory."""
    case = request.param
    ram = truth.ram(case)
    registers = registers_in(json.loads(truth.text(case, "registers.json")), "registers.json")
    memory = BankedMemory(Piece(base, len(data), data) for base, data in ram.items())
    return case, ram, spaces(Image(memory, registers))


def spaces(image):
    return [image.address_space(root).mappings() for root in ("kernel", "user")]


def same(truth, case, spec, expected):
    image = ttbr.open(spec, str(truth.HERE / case / "registers.json"))
    count = 0
    for one, other in zip(spaces(image), expected, strict=True):
        for column in COLUMNS:
            assert np.array_equal(getattr(one, column), getattr(other, column)), column
        assert [one.attribute_values[n] for n in np.unique(one.attributes)] == [
            other.attribute_values[n] for n in np.unique(other.attributes)
        ]
        count += len(one.va)
    return count


@pytest.mark.parametrize("form", list(WRITERS))
def test_formats(recording, form, truth, tmp_path, say):
    case, ram, expected = recording
    path = tmp_path / "image"
    path.write_bytes(WRITERS[form](ram))
    count = same(truth, case, str(path), expected)
    path.unlink()
    say(f"{case} as {form}: {count} mappings equal")


def test_the_list_of_banks(recording, truth):
    case, _, expected = recording
    folder = truth.HERE / case
    assert same(truth, case, f"{folder / 'ram.raw.zst'}@{folder / 'ram.json'}", expected)
