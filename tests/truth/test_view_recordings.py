"""The document of a recorded machine holds what the other commands print of it."""

import numpy as np
import pytest
import recorded

from ttbr.arch.format import Kind
from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.linux import Linux
from ttbr.report import view

CASES = ("arm32-vexpress-a9", "arm32-virt-lpae", "arm64-16k-47", "arm64-4k-52")
LARGEST = 3 << 20


@pytest.fixture(scope="module", params=CASES)
def linux(request, truth):
    image = recorded.load(truth, request.param).image
    return Linux(with_registers(Image(image.memory, image.registers))[0])


@pytest.fixture(scope="module")
def document(linux):
    packed = view.view([view.of_image("machine", linux.image, linux)]).packed()
    assert len(packed) * 4 // 3 < LARGEST // 2
    return view.unpack(packed)


@pytest.fixture
def machine(document):
    return document.head["machines"][0]


def test_regions_are_those_of_the_mappings(document, machine, linux):
    assert len(machine["spaces"]) > 5
    for space in machine["spaces"]:
        regions = linux.image.address_space(space["name"]).mappings().regions()
        table = space["regions"]
        assert space["cut"] is None and table["rows"] == len(regions)
        assert (document.column(table, "page") == regions.va >> np.uint64(12)).all()
        assert (document.column(table, "pages") == regions.size >> np.uint64(12)).all()
        assert (document.column(table, "pa") == regions.pa).all()
        assert (document.column(table, "descriptors") == regions.rows.view(np.uint64)).all()


def test_every_word_of_every_table_is_there(document, machine, linux):
    pool = machine["pool"]
    tables, entries, used = (
        document.column(pool["tables"], name).tolist() for name in ("pa", "entries", "used")
    )
    index, word = (document.column(pool["words"], name) for name in ("index", "word"))
    size, at = pool["entry_size"], 0
    for pa, count, some in zip(tables, entries, used, strict=True):
        words = np.zeros(count, np.uint64)
        words[index[at : at + some].astype(np.intp)] = word[at : at + some]
        at += some
        data = np.frombuffer(linux.image.memory.read(pa, count * size), f"<u{size}")
        assert (words == data).all()
    assert pool["left_out"] == 0
    named = {
        pa
        for space in machine["spaces"]
        for pa in linux.image.address_space(space["name"]).mappings().tables.address.tolist()
    }
    assert named <= set(tables)


def test_forms_tell_what_each_word_is(document, machine, linux):
    for space in machine["spaces"]:
        regime = document.head["regimes"][space["regime"]]
        walked = linux.image.address_space(space["name"]).regime
        keys = {tuple(row[:3]): row[3:] for row in regime["attributes"]}
        for level in regime["levels"]:
            words = document.column(machine["pool"]["words"], "word")[:4096]
            kinds = walked.format.kinds(words, level["number"])
            for word, kind in zip(words.tolist(), kinds.tolist(), strict=True):
                form = next(
                    form
                    for form in level["forms"]
                    if word & int(form["mask"], 16) == int(form["value"], 16)
                )
                assert form["kind"] == Kind(kind).name.lower()
                layout = walked.format.layout(word, level["number"])
                assert document.head["layouts"][form["layout"]]["name"] == layout.name
        found = linux.image.address_space(space["name"]).mappings()
        for key, value in zip(found.attribute_keys, found.attribute_values, strict=True):
            number, _ = keys[hex(key[0]), key[1], key[2]]
            assert document.head["meanings"][number]["summary"] == value.summary()


def test_what_the_kernel_says_is_there(document, linux):
    subject = document.head["subjects"][0]
    tasks = subject["relations"]["tasks"]
    assert document.column(tasks, "pid").view(np.int64).tolist() == linux.tasks.pid.tolist()
    assert subject["relations"]["symbols"]["rows"] == len(linux.symbols)
    owners = {pid for s in document.head["machines"][0]["spaces"] for pid in s["owners"]}
    assert owners == set(linux.tasks.pid[linux.tasks.pgd != 0].tolist())
