"""Documents of boots, and of images that are too large to be shown whole."""

from pathlib import Path

import numpy as np
import pytest
from scattered import scattered

from ttbr.boot import Board, qemu
from ttbr.boot.boot import boot_until_failure, default_kernel
from ttbr.findings.attempt import attempt
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image
from ttbr.recover.linux import Linux
from ttbr.report import view

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = 0x1000


def booted(name):
    return attempt(
        (EXAMPLES / name).read_bytes(),
        Board.from_dtb,
        default_kernel,
        lambda board, kernel: qemu(board, kernel, None),
        boot_until_failure,
    )


@pytest.fixture(scope="module")
def boot():
    return booted("qemu-virt-arm64.dtb")


@pytest.fixture(scope="module")
def document(boot):
    return view.view([view.of_attempt("board", boot)])


def test_a_boot_has_a_machine_for_each_stage(boot, document):
    machines = document.head["machines"]
    assert [machine["stage"] for machine in machines] == boot.boot.stages
    for machine, image in zip(machines, boot.boot.images.values(), strict=True):
        for space in machine["spaces"]:
            regions = image.address_space(space["name"]).mappings().regions()
            assert (document.column(space["regions"], "pa") == regions.pa).all()


def test_events_are_in_order(boot, document):
    events = document.head["subjects"][0]["boot"]["events"]
    assert document.column(events, "start").tolist() == [e.start for e in boot.boot.events]
    code = document.column(events, "function").astype(int)
    names = events["columns"]["function"]["values"]
    assert [names[at] for at in code] == [event.function for event in boot.boot.events]


def test_the_end_has_zones_and_free_blocks(boot, document):
    last = document.head["machines"][-1]
    free = boot.boot.machine.handed_over.free
    assert document.column(last["free"], "pa").tolist() == sorted((free.pfn * PAGE).tolist())
    layers = document.column(last["physical"], "layer").astype(int)
    names = last["physical"]["columns"]["layer"]["values"]
    assert {names[at] for at in layers} == {"ram", "memory", "zone", "reserved", "content"}


def test_two_boots_are_held_against_each_other(boot):
    other = booted("board-2g-at-60000000.dtb")
    both = view.view([view.of_attempt("a", boot), view.of_attempt("b", other)])
    stages = [machine["stage"] for machine in both.head["machines"]]
    pairs = [(stages[c["a"]], stages[c["b"]]) for c in both.head["comparisons"]]
    assert pairs == [(name, name) for name in boot.boot.stages[1:]]
    assert any(root["differences"]["rows"] for c in both.head["comparisons"] for root in c["roots"])


def test_too_many_ranges_are_shown_coarser_and_the_document_says_so():
    image = scattered(1 << 15)
    room = view.Room(regions=1 << 10, entries=1 << 12)
    document = view.view([view.of_image("image", image, None)], room)
    space = document.head["machines"][0]["spaces"][0]
    assert "too many" in space["cut"] and space["regions"]["rows"] <= 1 << 10
    assert document.column(space["regions"], "mapped").sum() == 1 << 15
    assert document.head["machines"][0]["pool"]["left_out"] > 0


def test_an_image_without_tables_is_a_document():
    image = Image(Ram([Bank(0, 1 << 20)]))
    document = view.view([view.of_image("nothing", image, None)])
    assert view.unpack(document.packed()) == document
    assert document.head["machines"][0]["spaces"] == []


@pytest.mark.parametrize(
    "registers",
    [
        {"TTBR1_EL1": 0x4000, "TCR_EL1": 0x500074B5503510, "MAIR_EL1": 0x4_0044_FFFF},
        {"TTBR0": 0x4000, "TTBR1": 0x4000, "TTBCR": 0},
        {"TTBR0": 0x4000, "TTBR1": 0x4000, "TTBCR": 1 << 31},
    ],
)
def test_noise_is_a_document(registers):
    ram = Ram([Bank(0, 1 << 22)])
    ram.write(0, np.random.default_rng(3).bytes(1 << 22))
    image = Image(ram, registers)
    document = view.view([view.of_image("noise", image, Linux(image))])
    assert view.unpack(document.packed()) == document
    assert document.head["machines"][0]["spaces"]
