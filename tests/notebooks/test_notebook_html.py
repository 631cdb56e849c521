"""What a notebook shows of an image: the facts, and no markup that the image's author wrote."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr import html
from ttbr.boot import Board, Boot, Kernel, boot, qemu
from ttbr.boot.boot import boot_until_failure
from ttbr.mmu.image import Image, ImageFacts

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TAGS = {"p", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e'\""


class Seen(HTMLParser):
    """The tags, attributes and text of a fragment; tags have to be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data + "\n"


def seen(value) -> str:
    """The words that a value shows in a notebook."""
    found = Seen(value._repr_html_())
    assert found.attributes <= {"style"}
    return found.words


@pytest.fixture(scope="module")
def booted() -> Boot:
    board = Board.from_dtb((EXAMPLES / "qemu-virt-arm64.dtb").read_bytes())
    kernel = Kernel.from_profile("debian-6.1-arm64")
    return boot(board, kernel, qemu(board, kernel))


def test_a_boot_shows_its_stages(booted):
    words = seen(booted)
    for stage in booted.stages:
        assert f"\n{stage}\n" in words
    assert str(booted.machine.kernel.release) in words
    tables = len(booted.images["mm_init"].address_space("kernel").mappings().tables)
    assert f"\n{tables}\n" in words


def test_a_boot_that_failed_says_why(booted):
    blob = (EXAMPLES / "qemu-virt-arm64.dtb").read_bytes()
    board = Board.from_dtb(blob, [(0x40000000, 4 << 40)])  # by single pages: too many tables
    kernel = booted.machine.kernel
    failed = boot_until_failure(board, kernel, qemu(board, kernel))
    assert failed.failure is not None
    assert "it ended there: " in seen(failed)


def test_an_image_shows_memory_and_roots(booted):
    image = booted.images["paging_init"]
    words = seen(image)
    assert "1 GiB in 1 bank" in words and "stage paging_init" in words
    assert hex(image.address_space("kernel").root) in words


def test_an_image_without_registers_says_what_is_missing(booted):
    words = seen(Image(booted.images["mm_init"].memory))
    assert "0 registers" in words and words.count("unknown") >= 2


def test_mappings_show_the_first_ranges_and_how_many_there_are(booted):
    mappings = booted.images["paging_init"].address_space("kernel").mappings()
    words = seen(mappings)
    regions = mappings.regions()
    assert f"by {len(mappings)} descriptors" in words and f"{len(regions)} ranges" in words
    assert all(hex(va) in words for va in regions.va[: html.MOST_ROWS].tolist())
    every_other = seen(mappings.where(np.arange(len(mappings)) % 2 == 0))
    assert f"… and {(len(mappings) + 1) // 2 - html.MOST_ROWS} more" in every_other


def test_no_mappings(booted):
    mappings = booted.images["paging_init"].address_space("kernel").mappings()
    assert "0 ranges" in seen(mappings.where(np.zeros(len(mappings), np.bool_)))


def test_a_translation_shows_every_step(booted):
    image = booted.images["paging_init"]
    found = image.translate(image.facts.symbols["_text"] + 0x10000)
    words = seen(found)
    assert f"→ {found.pa:#x}" in words
    for step in found.steps:
        assert f"{step.descriptor:#x} {step.kind.name.lower()}" in words
        assert all(row.text in words for row in step.fields)


def test_a_fault_is_named(booted):
    words = seen(booted.images["paging_init"].translate(0xFFFF_FFFF_FFFF_0000))
    assert "translation fault at level 0" in words


def test_a_hostile_image_injects_nothing(booted):
    facts = ImageFacts(release=HOSTILE, stage=HOSTILE, arch=HOSTILE, roots={HOSTILE: 0})
    words = seen(Image(booted.images["mm_init"].memory, {HOSTILE: 1}, facts))
    assert "<img src=x onerror=alert(1)>" in words  # as text
    assert "\x1b" not in words and "\u202e" not in words


@given(st.text())
def test_text_is_inert(text):
    found = Seen(f"<p>{html.text(text)}</p>")
    assert all(letter.isprintable() for letter in found.words.removesuffix("\n"))
    assert len(found.words) <= 12 * html.LONGEST_TEXT
